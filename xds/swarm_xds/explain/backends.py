"""From a backend to its endpoints: the service, the network, the relay, the tasks."""

from collections.abc import Iterator
from dataclasses import dataclass

from swarm_xds.explain.values import Facts, Question, Step, Subject, broken, note, ok
from swarm_xds.labels import BackendIntent, BackendMode, parse
from swarm_xds.model import Backend, Endpoint, UpstreamTls
from swarm_xds.networks.wanted import NetworkUse
from swarm_xds.networks.wanted import Way as NetworkWay
from swarm_xds.plan.reach import Surroundings, UnreachableError, choose_network, uses_host_port
from swarm_xds.swarm import Network, Service
from swarm_xds.swarm.marks import RELAY_FLEET_LABEL, RELAY_LABEL


@dataclass(frozen=True, slots=True)
class Way:
    """The steps to one backend, and the endpoints that they end at."""

    steps: tuple[Step, ...]
    endpoints: tuple[str, ...]


def backend_steps(question: Question, backend: Backend, facts: Facts) -> Way:
    """Return how a backend is reached, or what stands in the way."""
    service = next((each for each in facts.state.services if each.name == backend.service), None)
    endpoints = tuple(_shown(endpoint) for endpoint in backend.endpoints)
    if service is None:
        text = f"service {backend.service} is gone since the last build"
        return Way((broken(Subject.SERVICE, text),), endpoints)
    wanted = _intent(service, backend)
    if wanted is None:
        # The labels have turned bad: what is served is the last good form, of which no intent is left.
        text = f"service {service.name} is served in its last accepted form"
        steps = [note(Subject.SERVICE, text, cure="mend its labels")]
        return Way((*steps, *_task_steps(question, service, None, backend, "")), endpoints)
    steps = [_service_step(service, wanted)]
    around = Surroundings.of(facts.state)
    if around.fleets is not None and uses_host_port(service, wanted):
        steps.append(ok(Subject.NETWORK, _host_mode(wanted.port)))
        return Way((*steps, *_task_steps(question, service, wanted, backend, "")), endpoints)
    try:
        network = choose_network(service, wanted, around)
    except UnreachableError as error:
        steps.append(broken(Subject.NETWORK, error.problem.reason, cure=error.problem.cure))
        return Way(tuple(steps), endpoints)
    steps += _network_steps(question, service, network, around, facts)
    return Way((*steps, *_task_steps(question, service, wanted, backend, network.id)), endpoints)


def _intent(service: Service, backend: Backend) -> BackendIntent | None:
    intent, _ = parse(service)
    name = backend.name.removeprefix(service.name).removeprefix("/")
    return next((route.backend for route in intent.routes if route.name == name), None)


def _service_step(service: Service, wanted: BackendIntent) -> Step:
    return ok(Subject.SERVICE, f"it goes to service {service.name}, port {wanted.port}")


def _host_mode(port: int) -> str:
    return f"its port {port} is published in host mode, so the nodes' own addresses are used"


def _network_steps(
    question: Question, service: Service, network: Network, around: Surroundings, facts: Facts
) -> Iterator[Step]:
    """Return how the fleet reaches a network."""
    fleet = question.fleet
    place = (fleet, network.id)
    waiting = facts.waiting.get((fleet, network.name), "")
    running = len(around.relays.get(place, ()))
    if around.shared(fleet, network.id):
        if place in around.lacking and not running:
            lacking, proxies = around.lacking[place]
            text = f"{lacking} of {proxies} proxies of fleet {fleet} do not stand on network {network.name} yet"
            cure = waiting or "wait for the rolling update of the fleet to end"
            yield broken(Subject.NETWORK, text, cure=cure)
            return
        where = "reachable" if around.fleets is None else f"shared with fleet {fleet}"
        yield ok(Subject.NETWORK, f"network {network.name} is {where}")
        return
    use = _use(facts, fleet, network)
    text = f"fleet {fleet} does not stand on network {network.name}"
    if use is not None and use.way is NetworkWay.DIRECT:
        cure = waiting or "it is being attached, which takes a rolling update of the fleet"
        yield broken(Subject.NETWORK, text, cure=cure)
        return
    if running:
        yield ok(Subject.NETWORK, f"{text}, so a relay passes connections on")
        yield ok(Subject.RELAY, f"{running} tasks of the relay run there")
        return
    yield _no_relay(service, fleet, network, facts)


def _no_relay(service: Service, fleet: str, network: Network, facts: Facts) -> Step:
    text = f"fleet {fleet} does not stand on network {network.name}"
    waiting = facts.waiting.get((fleet, network.name), "")
    plan = facts.build.networks
    if plan is None:
        shared = dict(facts.state.fleet_networks or ()).get(fleet, ())
        names = sorted(each.name for each in facts.state.networks if each.id in shared)
        cure = f"attach {service.name} to {' or '.join(names)}" if names else f"attach fleet {fleet} to {network.name}"
        text = f"{text}, and networks are not managed"
        return broken(Subject.NETWORK, text, cure=f"{cure}, or set manage_networks")
    if not any((each.fleet, each.network_id) == (fleet, network.id) for each in plan.relays):
        problems = [
            each for each in facts.build.problems if each.service == service.name and network.name in each.reason
        ]
        reason = problems[-1].reason if problems else "no relay is planned"
        cure = problems[-1].cure if problems else ""
        return broken(Subject.NETWORK, f"{text}; {reason}", cure=cure)
    exists = any(
        (labels.get(RELAY_FLEET_LABEL), labels.get(RELAY_LABEL)) == (fleet, network.id)
        for relay in facts.state.relays
        for labels in (dict(relay.labels),)
    )
    if waiting:
        return broken(Subject.RELAY, f"{text}, and its relay waits", cure=waiting)
    if not exists:
        text = f"{text}, and its relay is not there yet"
        cure = "wait a moment; if it does not come, the log's network.failed says why"
        return broken(Subject.RELAY, text, cure=cure)
    text = f"{text}, and no task of its relay runs"
    cure = "docker service ps of the relay says why: most often its image is missing on the nodes"
    return broken(Subject.RELAY, text, cure=cure)


def _use(facts: Facts, fleet: str, network: Network) -> NetworkUse | None:
    uses = facts.build.networks.uses if facts.build.networks else ()
    return next((each for each in uses if (each.fleet, each.network_id) == (fleet, network.id)), None)


def _task_steps(
    question: Question, service: Service, wanted: BackendIntent | None, backend: Backend, network_id: str
) -> Iterator[Step]:
    """Return whether tasks run where they are looked for, and what cannot be seen from here."""
    serving = [task for task in service.tasks if task.serving]
    ps = f"docker service ps {service.name} says why"
    if not serving:
        stopping = f"; {len(service.tasks)} are being stopped" if service.tasks else ""
        text = f"no task of {service.name} runs{stopping}"
        yield broken(Subject.TASK, text, cure=f"scale it up, or {ps}")
        return
    if not backend.endpoints:
        lost = [task for task in serving if network_id not in {network for network, _ in task.addresses}]
        if network_id and len(lost) == len(serving):
            text = f"{len(serving)} tasks run, and none has an address on the network yet"
            yield broken(Subject.TASK, text, cure=f"wait a moment; {ps}")
        elif not network_id and wanted is not None:
            text = f"{len(serving)} tasks run, and none has published port {wanted.port} on a node that is known"
            yield broken(Subject.TASK, text, cure=f"wait a moment; {ps}")
        else:
            yield broken(
                Subject.TASK, f"{len(serving)} tasks run, and none can be reached", cure="mend what is said above"
            )
        return
    shown = ", ".join(_shown(endpoint) for endpoint in backend.endpoints)
    count = (
        f"{len(serving)} task{'s' if len(serving) > 1 else ''} of {service.name} run{'' if len(serving) > 1 else 's'}"
    )
    what = "its virtual IP" if wanted is not None and wanted.mode is BackendMode.VIP else "at"
    yield ok(Subject.TASK, f"{count}, {what} {shown}")
    if backend.tls is not None:
        yield _tls_step(backend.tls, question)
    if wanted is not None:
        yield from _doubts(service, wanted)


def _tls_step(tls: UpstreamTls, question: Question) -> Step:
    """Return what the task's TLS has to be, which the edge is alone to see."""
    if not tls.verify:
        text = "TLS is spoken to it, whatever its certificate; whether it speaks TLS only a request can tell"
        return note(Subject.TASK, text, cure="if it answers 503, take the label ssl_backend away")
    whose = "the label ssl_backend_ca" if tls.authorities is not None else "the edge's system"
    text = (
        f"TLS is spoken to it, and only if its certificate names {question.host} and leads to an authority of {whose}"
    )
    return note(Subject.TASK, text, cure="if it answers 503, see what certificate it has, and whether it speaks TLS")


def _doubts(service: Service, wanted: BackendIntent) -> Iterator[Step]:
    """Return what speaks for a port that nobody listens on."""
    targets = sorted({port.target for port in service.ports})
    if targets and wanted.port not in targets:
        listed = " and ".join(str(target) for target in targets)
        yield note(
            Subject.TASK,
            f"the label says port {wanted.port}, and the service publishes {listed}: which one does it listen on?",
            cure=f"if it answers 503, set the label port to {targets[0]}",
        )
    elif not targets and not any(task.port for task in service.tasks):
        yield note(
            Subject.TASK,
            f"whether it listens on port {wanted.port} only a request can tell",
            cure="if it answers 503, see that the container listens there, and not on 127.0.0.1 alone",
        )


def _shown(endpoint: Endpoint) -> str:
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    via = f" by {endpoint.via[0]}" if endpoint.via else ""
    return f"{address}:{endpoint.port}{via}"
