"""The network plan: from what the labels ask for to the relays that have to stand in the swarm. Pure.

In: the ``SwarmState``, the intents and the ``RelayOptions``. Out: a ``NetworkPlan`` and problems. It must not know what
exists already, the engine or the clock: whoever applies the plan compares.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from swarm_xds.labels import ServiceIntent
from swarm_xds.networks.wanted import NetworkPlan, NetworkUse, RelaySpec, Way
from swarm_xds.plan.reach import Surroundings, UnreachableError, choose_network, uses_host_port
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import Network, Service, SwarmState

#: Makes a relay's configuration from the fleet's subnets and the network's; it raises ``ValueError`` if it cannot.
Configure = Callable[[tuple[str, ...], tuple[str, ...]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """The operator's choices for relays.

    Attributes:
        network: Name of the fleet's network that relays stand on; empty for the first that is not internal.
        image: Empty for the image of the fleet's own service.
        replicas: How many of each; two survive the loss of a node.
        memory: Limit of each, in bytes.
        constraints: Placement constraints, as Docker has them.
    """

    network: str = ""
    image: str = ""
    replicas: int = 2
    memory: int = 128 * 1024 * 1024
    constraints: tuple[str, ...] = ()


def plan_networks(
    state: SwarmState,
    intents: Iterable[tuple[Service, ServiceIntent]],
    default_fleet: str,
    options: RelayOptions,
    configure: Configure,
) -> tuple[NetworkPlan, tuple[Problem, ...]]:
    """Return how each routed network is reached, the relays that this takes, and what stands in their way."""
    around = Surroundings.of(state)
    wanted = _wanted(intents, default_fleet, around)
    uses: list[NetworkUse] = []
    relays: list[RelaySpec] = []
    problems: list[Problem] = []
    for (fleet, network_id), services in sorted(wanted.items()):
        if not network_id:
            uses.append(_use(fleet, None, Way.HOST, services, "the port is published in host mode"))
            continue
        network = around.networks[network_id]
        if around.shared(fleet, network_id):
            uses.append(_use(fleet, network, Way.SHARED, services, f"fleet {fleet} stands on it"))
            continue
        uses.append(_use(fleet, network, Way.RELAY, services, f"fleet {fleet} does not stand on it"))
        try:
            relay, warnings = _relay(fleet, network, state, options, configure)
        except ValueError as error:
            problems += [_problem(service, network, str(error)) for service in services]
        else:
            relays.append(relay)
            problems += [_problem(service, network, warning) for service in services for warning in warnings]
    by_name = sorted(relays, key=lambda relay: relay.name)
    return NetworkPlan(uses=tuple(uses), relays=tuple(by_name)), tuple(problems)


def _wanted(
    intents: Iterable[tuple[Service, ServiceIntent]], default_fleet: str, around: Surroundings
) -> dict[tuple[str, str], list[Service]]:
    """Return the services by fleet and network id, the id empty for a port in host mode."""
    wanted: dict[tuple[str, str], dict[str, Service]] = {}
    for service, intent in intents:
        for route in intent.routes:
            if route.backend is None:
                continue
            fleet = route.fleet or default_fleet
            try:
                host = uses_host_port(service, route.backend)
                network_id = "" if host else choose_network(service, route.backend, around).id
            except UnreachableError:
                continue  # the plan of the routes has told it
            wanted.setdefault((fleet, network_id), {})[service.id] = service
    return {place: list(services.values()) for place, services in wanted.items()}


def _use(fleet: str, network: Network | None, way: Way, services: list[Service], reason: str) -> NetworkUse:
    return NetworkUse(
        fleet=fleet,
        network_id=network.id if network else "",
        network=network.name if network else "",
        stack=network.stack if network else "",
        way=way,
        services=tuple(sorted(service.name for service in services)),
        reason=reason,
    )


def _relay(
    fleet: str, network: Network, state: SwarmState, options: RelayOptions, configure: Configure
) -> tuple[RelaySpec, list[str]]:
    """Return the relay of a network, and what may go wrong with it.

    Raises:
        ValueError: There can be none, with the reason.
    """
    home = _home(fleet, state, options)
    members = [service for service in state.fleet_services if service.fleet == fleet]
    image = options.image or next((member.image for member in members if member.image), "")
    if not image:
        raise ValueError(f"no image for a relay: no service is labelled as fleet {fleet}, and none is set")
    if not network.subnets:
        raise ValueError(f"network {network.name} has no subnet yet")
    if _overlap(network.subnets, home.subnets):
        raise ValueError(f"network {network.name} overlaps with {home.name}, on which fleet {fleet} stands")
    warnings = []
    if network.encrypted and not home.encrypted:
        warnings.append(f"network {network.name} is encrypted and {home.name} is not, over which requests come to it")
    relay = RelaySpec(
        fleet=fleet,
        stack=network.stack,
        network_id=network.id,
        network_name=network.name,
        fleet_network_id=home.id,
        image=image,
        replicas=options.replicas,
        configuration=configure(home.subnets, network.subnets),
        memory=options.memory,
        constraints=options.constraints,
    )
    return relay, warnings


def _home(fleet: str, state: SwarmState, options: RelayOptions) -> Network:
    """Return the fleet's network that its relays stand on."""
    ids = dict(state.fleet_networks or ()).get(fleet, ())
    usable = sorted(
        (network for network in state.networks if network.id in ids and not network.internal),
        key=lambda network: network.name,
    )
    named = [network for network in usable if options.network in {"", network.name}]
    if not named:
        which = f"network {options.network}" if options.network else "any network that is not internal"
        raise ValueError(f"fleet {fleet} does not stand on {which}, so that no relay can meet it")
    return named[0]


def _overlap(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    nets, rest = ([ipaddress.ip_network(each, strict=False) for each in side] for side in (some, others))
    return any(net.overlaps(other) for net in nets for other in rest)


def _problem(service: Service, network: Network, reason: str) -> Problem:
    return Problem(
        severity=Severity.WARNING,
        kind=Kind.UNREACHABLE_NETWORK,
        service=service.name,
        reason=reason,
        cure=f"use another network than {network.name}, or mend what the reason names",
        source=service.source,
    )
