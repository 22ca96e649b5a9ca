"""From a service's network and tasks to the endpoints of a backend."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from zlib import crc32

from swarm_xds.labels import BackendIntent, BackendMode, Via
from swarm_xds.model import RELAY_PORT, Endpoint
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import FleetService, Network, Node, PublishMode, Service, SwarmState
from swarm_xds.swarm.marks import RELAY_FLEET_LABEL, RELAY_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The endpoints of one backend.

    Attributes:
        endpoints: Sorted, each once; none while no task runs.
        by_name: One of them is a host name.
        relayed: The network is reached through relays.
        running: Tasks that can take traffic: the backend's natural weight.
    """

    endpoints: tuple[Endpoint, ...] = ()
    by_name: bool = False
    relayed: bool = False
    running: int = 0


class UnreachableError(Exception):
    """The labels leave open how the tasks are reached, so that the route is left out."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a backend's reach depends on beside its own service, by id."""

    networks: Mapping[str, Network]
    nodes: Mapping[str, Node]
    fleets: Mapping[str, frozenset[str]] | None = field(default=None)
    #: By fleet and network: node and address, on a network of the fleet, of each relay that runs; sorted.
    relays: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = field(default_factory=dict)
    #: By fleet and network that is the fleet's: how many of its proxies run without standing on it yet, and how many
    #: run in all; only where the first is not 0.
    lacking: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    #: Fleet and network where it is the control plane that has attached the fleet.
    attached: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, state: SwarmState) -> "Surroundings":
        """Index a swarm's state."""
        fleets = state.fleet_networks
        return cls(
            networks={network.id: network for network in state.networks},
            nodes={node.id: node for node in state.nodes},
            fleets=None if fleets is None else {fleet: frozenset(ids) for fleet, ids in fleets},
            relays=dict(_relay(service, dict(fleets or ())) for service in state.relays),
            lacking=_lacking(state.fleet_services, dict(fleets or ())),
            attached=frozenset((each.fleet, network) for each in state.fleet_services for network in each.attached),
        )

    def shared(self, fleet: str, network_id: str) -> bool:
        """Tell whether a fleet's proxies stand on a network."""
        return self.fleets is None or network_id in self.fleets.get(fleet, frozenset())

    def owned(self, fleet: str, network_id: str) -> bool:
        """Tell whether they stand there because whoever runs the fleet has said so."""
        return self.shared(fleet, network_id) and (fleet, network_id) not in self.attached


def reach(
    service: Service, backend: BackendIntent, fleet: str, around: Surroundings
) -> tuple[Reached, tuple[Problem, ...]]:
    """Return the endpoints through which a fleet reaches a service's tasks.

    Raises:
        UnreachableError: No network can be chosen without guessing, or there is no virtual IP.
    """
    # A stack file says itself where its tasks are.
    if around.fleets is not None and uses_host_port(service, backend):
        return _by_host_port(service, backend, around), ()
    network = choose_network(service, backend, around)
    relays = around.relays.get((fleet, network.id), ())
    if around.shared(fleet, network.id):
        lacking = around.lacking.get((fleet, network.id))
        # On the way from one way to the other, the one that is there already serves.
        leaving = backend.via is Via.RELAY and not around.owned(fleet, network.id)
        if relays and (lacking or leaving):
            return _by_relay(service, backend, network, relays), ()
        if lacking:
            return Reached(), (_not_everywhere(service, fleet, network, *lacking),)
        return _on_network(service, backend, network), ()
    if not relays:
        return Reached(relayed=True), (_not_shared(service, fleet, network, around),)
    return _by_relay(service, backend, network, relays), ()


def _on_network(service: Service, backend: BackendIntent, network: Network) -> Reached:
    if backend.mode is BackendMode.VIP:
        return _by_virtual_ip(service, backend, network)
    return _reached([endpoint for _, endpoint in _tasks(service, backend, network)])


def _tasks(service: Service, backend: BackendIntent, network: Network) -> list[tuple[str, Endpoint]]:
    """Return node and endpoint of each task that takes traffic."""
    return [
        (task.node_id, Endpoint(address, task.port or backend.port))
        for task in service.tasks
        if task.serving
        if (address := _address(task.addresses, network.id))
    ]


def _address(addresses: Iterable[tuple[str, str]], network_id: str) -> str:
    """Return the one address on a network, IPv4 where there are both (docs/adr/069); empty if there is none."""
    found = [address for network, address in addresses if network == network_id]
    return min(found, key=lambda address: (":" in address, address), default="")


def _by_relay(
    service: Service, backend: BackendIntent, network: Network, relays: tuple[tuple[str, str], ...]
) -> Reached:
    """Return the endpoints, each through the relay on its own node or else one that its address always leads to.

    Of two or more, not all go through the same relay if there is another: losing one leaves a way to be tried next.
    """
    if backend.mode is BackendMode.VIP:
        reached = _by_virtual_ip(service, backend, network)
        found = [("", endpoint) for endpoint in reached.endpoints]
    else:
        found = _tasks(service, backend, network)
        reached = _reached([endpoint for _, endpoint in found])
    every = {address for _, address in relays}
    chosen = {}
    for node, endpoint in sorted(found, key=lambda each: each[1]):
        near = {address for at, address in relays if at == node}
        chosen[endpoint] = _relay_for(endpoint, near or every)
    used = set(chosen.values())
    if len(used) == 1 and len(chosen) > 1 and every - used:
        last = max(chosen)
        chosen[last] = _relay_for(last, every - used)
    via = (replace(endpoint, via=(relay, RELAY_PORT)) for endpoint, relay in chosen.items())
    return replace(reached, endpoints=tuple(sorted(via)), relayed=True)


def _relay_for(endpoint: Endpoint, relays: Iterable[str]) -> str:
    """Choose by weight of a hash (rendezvous hashing): losing a relay moves only the endpoints that it had."""
    return max(relays, key=lambda address: (crc32(f"{endpoint.address} {address}".encode()), address))


def _relay(
    service: Service, fleets: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Return a relay's fleet and network, and where it runs; a relay without an address there is of no use yet."""
    labels = dict(service.labels)
    fleet, network_id = labels.get(RELAY_FLEET_LABEL, ""), labels.get(RELAY_LABEL, "")
    networks = frozenset(fleets.get(fleet, ())) - {network_id}
    return (fleet, network_id), tuple(
        sorted(
            (task.node_id, address)
            for task in service.tasks
            if task.serving
            for network in networks
            if (address := _address(task.addresses, network))
        )
    )


def _lacking(
    fleet_services: tuple[FleetService, ...], fleets: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return where a network is a fleet's by specification, and not yet every running proxy's."""
    running: dict[str, list[frozenset[str]]] = {}
    for service in fleet_services:
        stands = [frozenset(network for network, _ in task.addresses) for task in service.tasks if task.serving]
        running.setdefault(service.fleet, []).extend(stands)
    found = {
        (fleet, network): (sum(network not in stands for stands in proxies), len(proxies))
        for fleet, proxies in running.items()
        for network in fleets.get(fleet, ())
    }
    return {place: counts for place, counts in found.items() if counts[0]}


def _reached(found: list[Endpoint]) -> Reached:
    by_name = any(_is_name(endpoint.address) for endpoint in found)
    return Reached(endpoints=tuple(sorted(set(found))), by_name=by_name, running=len(found))


def _is_name(address: str) -> bool:
    """Tell a host name from an IP address. Sources give nothing else, and ``ipaddress`` would cost ten times more."""
    return ":" not in address and not address.replace(".", "").isdigit()


def uses_host_port(service: Service, backend: BackendIntent) -> bool:
    """Tell whether the tasks are reached by a port published in host mode, whatever their networks."""
    if backend.via is not None:
        return backend.via is Via.HOST
    if backend.network or backend.mode is not BackendMode.TASK:
        return False
    return any(_in_host_mode(port.target, port.mode, backend) for port in service.ports)


def _in_host_mode(target: int, mode: PublishMode, backend: BackendIntent) -> bool:
    return mode is PublishMode.HOST and target == backend.port


def _by_host_port(service: Service, backend: BackendIntent, around: Surroundings) -> Reached:
    if not any(_in_host_mode(port.target, port.mode, backend) for port in service.ports):
        problem = _problem(
            service,
            Kind.NO_HOST_PORT,
            f"the service does not publish port {backend.port} in host mode",
            f"publish it: target: {backend.port}, mode: host; or take the label away",
        )
        raise UnreachableError(replace(problem, label=backend.via_label, value=str(backend.via or "")))
    return _reached(
        [
            Endpoint(around.nodes[task.node_id].address, port.published)
            for task in service.tasks
            if task.serving and task.node_id in around.nodes and around.nodes[task.node_id].address
            for port in task.host_ports
            if _in_host_mode(port.target, port.mode, backend) and port.published
        ]
    )


def _by_virtual_ip(service: Service, backend: BackendIntent, network: Network) -> Reached:
    address = _address(service.virtual_ips, network.id)
    if not address:
        raise UnreachableError(
            _problem(
                service,
                Kind.NO_VIRTUAL_IP,
                f"the service has no virtual IP on network {network.name}",
                "use endpoint mode vip, or backend_mode task",
            )
        )
    running = sum(task.serving for task in service.tasks)
    return replace(_reached([Endpoint(address, backend.port)] if running else []), running=running)


def choose_network(service: Service, backend: BackendIntent, around: Surroundings) -> Network:
    """Choose the network: the one that the label names, or the only one; never the ingress network.

    Raises:
        UnreachableError: It cannot be chosen without guessing.
    """
    usable = [
        around.networks[network_id]
        for network_id in service.network_ids
        if network_id in around.networks and not around.networks[network_id].ingress
    ]
    if backend.network:
        for name in (backend.network, f"{service.stack}_{backend.network}"):
            named = [network for network in usable if network.name == name]
            if named:
                return named[0]
        raise UnreachableError(_unknown_network(service, backend, [network.name for network in usable], around))
    if len(usable) == 1:
        return usable[0]
    names = ", ".join(sorted(network.name for network in usable))
    if usable:
        reason = f"the service stands on several networks ({names}) and no label says which one to use"
        cure = "name one of them in the label network"
    else:
        reason = "the service stands on no network that a proxy could share"
        cure = "attach it to an overlay network, or publish its port in host mode"
    raise UnreachableError(_problem(service, Kind.AMBIGUOUS_NETWORK, reason, cure))


def _unknown_network(service: Service, backend: BackendIntent, usable: list[str], around: Surroundings) -> Problem:
    wanted = backend.network
    known = {network.name for network in around.networks.values()}
    ingress = {network.name for network in around.networks.values() if network.ingress}
    if wanted in ingress:
        reason = f"{wanted} is the routing mesh's network, on which no proxy reaches a task"
    elif wanted in known or f"{service.stack}_{wanted}" in known:
        reason = f"the service does not stand on network {wanted}"
    else:
        reason = f"there is no network {wanted}"
    bare = {name.removeprefix(f"{service.stack}_"): name for name in sorted(usable)}
    close = difflib.get_close_matches(wanted, [*bare, *usable], n=1)
    if close:
        cure = f"did you mean {close[0]}?"
    else:
        cure = f"name one of its networks: {', '.join(sorted(usable))}" if usable else "attach it to a network"
    problem = _problem(service, Kind.UNKNOWN_NETWORK, reason, cure)
    return replace(problem, label=backend.network_label, value=wanted)


def _not_everywhere(service: Service, fleet: str, network: Network, lacking: int, running: int) -> Problem:
    problem = _problem(
        service,
        Kind.UNREACHABLE_NETWORK,
        f"{running - lacking} of {running} proxies of fleet {fleet} stand on network {network.name} so far: until all "
        "do, requests are answered 503",
        "wait for the end of the fleet's update, or look at it with docker service ps",
    )
    return replace(problem, severity=Severity.WARNING)


def _not_shared(service: Service, fleet: str, network: Network, around: Surroundings) -> Problem:
    ids = (around.fleets or {}).get(fleet, frozenset())
    names = sorted(around.networks[network_id].name for network_id in ids if network_id in around.networks)
    cure = f"attach it to {' or '.join(names)} and name that in the label network" if names else ""
    return _problem(
        service,
        Kind.UNREACHABLE_NETWORK,
        f"fleet {fleet} does not stand on network {network.name} and no relay there runs: requests are answered 503",
        cure or f"attach the proxies of fleet {fleet} to a network that the service shares",
    )


def _problem(service: Service, kind: Kind, reason: str, cure: str) -> Problem:
    return Problem(
        severity=Severity.ERROR, kind=kind, service=service.name, reason=reason, cure=cure, source=service.source
    )
