"""From what is known to the API's messages. Pure."""

from collections.abc import Iterable, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from swarm_xds.debug.redact import redacted
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.explain import Explanation, Verdict
from swarm_xds.model import Endpoint, Fleet, Forward, RedirectTo, RedirectToHttps, Route
from swarm_xds.networks.decision import Decision
from swarm_xds.networks.wanted import NetworkUse
from swarm_xds.observe import Change, Member, Phase, Refusal, Situation, Standing, TypeState
from swarm_xds.problem import Problem, Severity
from swarm_xds.snapshot import ADS_ORDER, Snapshot
from swarm_xds.swarm import Service
from swarm_xds.swarm.marks import RELAY_FLEET_LABEL, RELAY_LABEL

_SEVERITIES = {
    Severity.INFO: pb.Problem.SEVERITY_INFO,
    Severity.WARNING: pb.Problem.SEVERITY_WARNING,
    Severity.ERROR: pb.Problem.SEVERITY_ERROR,
}
_STANDINGS = {
    Standing.CURRENT: pb.STANDING_CURRENT,
    Standing.WAITING: pb.STANDING_WAITING,
    Standing.REFUSED: pb.STANDING_REFUSED,
    Standing.GONE: pb.STANDING_GONE,
}
_PHASES = {
    Phase.PUBLISHED: pb.Change.PHASE_PUBLISHED,
    Phase.SERVED: pb.Change.PHASE_SERVED,
    Phase.REFUSED: pb.Change.PHASE_REFUSED,
    Phase.UNSEEN: pb.Change.PHASE_UNSEEN,
}
_VERDICTS = {
    Verdict.OK: pb.ExplainStep.VERDICT_OK,
    Verdict.NOTE: pb.ExplainStep.VERDICT_NOTE,
    Verdict.BROKEN: pb.ExplainStep.VERDICT_BROKEN,
}


def problem(each: Problem) -> pb.Problem:
    """Return a problem."""
    return pb.Problem(
        severity=_SEVERITIES[each.severity],
        kind=str(each.kind),
        service=each.service,
        label=each.label,
        value=each.value,
        reason=each.reason,
        cure=each.cure,
        source=each.source,
    )


def problems(found: Iterable[Problem], at_least: int = 0, service: str = "") -> list[pb.Problem]:
    """Return the problems of a severity or worse, and of one service if it is named."""
    return [problem(each) for each in found if _SEVERITIES[each.severity] >= at_least and service in {"", each.service}]


def routes(fleets: Iterable[Fleet]) -> list[pb.Route]:
    """Return all routes of some fleets; over TLS there is none of a host without a certificate."""
    return [
        _route(fleet, scheme, host.host, route)
        for fleet in fleets
        for refused in ({each.host for each in fleet.secure_hosts if each.tls.certificate is None},)
        for scheme, host in fleet.served
        if scheme != "https" or host.host not in refused
        for route in host.routes
    ]


def _route(fleet: Fleet, scheme: str, host: str, route: Route) -> pb.Route:
    message = pb.Route(fleet=fleet.name, scheme=scheme, host=host, path=route.path, services=route.services)
    if isinstance(route.action, Forward):
        message.strip_prefix = route.action.strip_prefix
        backends = {backend.name: backend for backend in fleet.backends}
        for share in route.action.backends:
            endpoints = [_endpoint(each) for each in backends[share.backend].endpoints]
            message.shares.add(cluster=share.backend, weight=share.weight, endpoints=endpoints)
    else:
        message.redirect = redirect(route.action)
    return message


def redirect(action: RedirectTo | RedirectToHttps) -> str:
    """Return a redirect's target; host and path are left out where they stay."""
    if isinstance(action, RedirectToHttps):
        return "https://"
    port = f":{action.port}" if action.port else ""
    return f"{action.scheme}://{action.host}{port}{action.path}"


def _endpoint(endpoint: Endpoint) -> str:
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{endpoint.via[0]} → {address}:{endpoint.port}" if endpoint.via else f"{address}:{endpoint.port}"


def services(situation: Situation) -> list[pb.Service]:
    """Return all services by name."""
    build, names = situation.build, {network.id: network.name for network in situation.state.networks}
    served: dict[str, list[str]] = {}
    for route in routes(build.model.fleets):
        fleet = "" if route.fleet == build.model.default_fleet else f"{route.fleet}: "
        for name in route.services:
            scheme = "" if route.scheme == "http" else f"{route.scheme}://"
            served.setdefault(name, []).append(f"{fleet}{scheme}{route.host}{route.path}")
    return [
        _service(each, served.get(each.name, []), names, build.problems)
        for each in sorted(situation.state.services, key=lambda service: service.name)
    ]


def _service(service: Service, served: list[str], networks: Mapping[str, str], found: Iterable[Problem]) -> pb.Service:
    running = sum(task.serving for task in service.tasks)
    return pb.Service(
        name=service.name,
        stack=service.stack,
        routes=served,
        tasks_running=running,
        tasks_stopping=len(service.tasks) - running,
        networks=[networks.get(each, each) for each in service.network_ids],
        problems=problems(found, service=service.name),
        source=service.source,
    )


def node(member: Member) -> pb.Node:
    """Return a proxy."""
    return pb.Node(
        fleet=member.fleet,
        node=member.node,
        address=member.address,
        variant=member.variant,
        streams=member.streams,
        since=timestamp(member.since),
        standing=_STANDINGS[member.standing],
        types=[_type(state) for state in member.types],
    )


def _type(state: TypeState) -> pb.TypeState:
    return pb.TypeState(
        type_url=state.type_url,
        intended=state.intended,
        sent=state.sent,
        acknowledged=state.acknowledged,
        standing=_STANDINGS[state.standing],
        since=timestamp(state.since),
        refusal=None if state.refusal is None else refusal(state.refusal),
    )


def refusal(each: Refusal) -> pb.Refusal:
    """Return a refusal."""
    return pb.Refusal(version=each.version, message=each.message, names=each.names, at=timestamp(each.at))


def networks(situation: Situation, decision: Decision | None) -> pb.ListNetworksResponse:
    """Return how networks are reached, and what is to be written for it."""
    plan = situation.build.networks
    message = pb.ListNetworksResponse(managed=plan is not None)
    if plan is None:
        return message
    relays = {(relay.fleet, relay.network_id): relay for relay in plan.relays}
    running = {
        (labels.get(RELAY_FLEET_LABEL, ""), labels.get(RELAY_LABEL, "")): sum(task.serving for task in service.tasks)
        for service in situation.state.relays
        for labels in (dict(service.labels),)
    }
    for use in plan.uses:
        added = message.networks.add()
        added.CopyFrom(_use(use))
        relay = relays.get((use.fleet, use.network_id))
        if relay is not None:
            added.relay, added.relay_tasks_wanted = relay.name, relay.replicas
            added.relay_tasks_running = running.get((use.fleet, use.network_id), 0)
    waits = [(step, "") for step in decision.steps] if decision else []
    waits += [(delayed.step, delayed.reason) for delayed in decision.later] if decision else []
    for step, reason in waits:
        message.steps.add(
            action=str(step.action),
            name=step.name,
            network=step.network,
            fleet=step.fleet,
            reason=step.reason,
            waits_for=reason,
        )
    return message


def _use(use: NetworkUse) -> pb.NetworkUse:
    return pb.NetworkUse(
        fleet=use.fleet,
        network=use.network,
        stack=use.stack,
        way=str(use.way),
        reason=use.reason,
        services=use.services,
    )


def snapshot(fleet: str, snap: Snapshot, type_url: str = "") -> pb.GetSnapshotResponse:
    """Return all resources of a fleet, or those of one type."""
    message = pb.GetSnapshotResponse(fleet=fleet, version=snap.version)
    for each in ADS_ORDER:
        if type_url in {"", each}:
            for resource in snap.of(each).values():
                message.resources.add(
                    name=resource.name, version=resource.version, resource=redacted(each, resource.value)
                )
    return message


def explanation(found: Explanation) -> pb.ExplainResponse:
    """Return an explanation."""
    return pb.ExplainResponse(
        outcome=str(found.outcome),
        answer=found.answer,
        steps=[
            pb.ExplainStep(subject=str(step.subject), verdict=_VERDICTS[step.verdict], text=step.text, cure=step.cure)
            for step in found.steps
        ],
        service=found.service,
        endpoints=found.endpoints,
    )


def change(each: Change) -> pb.Change:
    """Return a change."""
    return pb.Change(
        number=each.number,
        phase=_PHASES[each.phase],
        at=timestamp(each.at),
        cause=each.cause,
        build=_duration(each.build_seconds),
        served_after=None if each.seconds is None else _duration(each.seconds),
        resources=dict(each.resources),
        fleets=each.fleets,
        proxies=each.proxies,
        answered=each.answered,
        refused=each.refused,
        problems_new=[problem(one) for one in each.found],
        problems_gone=[problem(one) for one in each.gone],
    )


def timestamp(seconds: float) -> Timestamp:
    """Return seconds since the epoch, exact to the microsecond."""
    made = Timestamp()
    made.FromMicroseconds(round(seconds * 1e6))
    return made


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromMicroseconds(round(seconds * 1e6))
    return made
