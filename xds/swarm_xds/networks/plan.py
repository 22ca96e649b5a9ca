"""The network plan: from what the labels ask for to what has to stand in the swarm. Pure.

In: the ``SwarmState``, the intents and the ``NetworkOptions``. Out: a ``NetworkPlan`` and problems. It must not know
what exists already, but for what keeps a network reached on the way from one way to another; nor the engine or the
clock: whoever applies the plan compares.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from swarm_xds.labels import ServiceIntent, Via
from swarm_xds.networks.capacity import shortages
from swarm_xds.networks.home import RelayOptions, home, image, overlap
from swarm_xds.networks.readers import ConfigureReader, plan_readers
from swarm_xds.networks.wanted import Attachment, NetworkPlan, NetworkUse, RelaySpec, Way
from swarm_xds.plan.reach import Surroundings, UnreachableError, choose_network, uses_host_port
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import FleetService, Network, Service, SwarmState

_MORE = "run more proxies, or lower direct_min_serving"

#: The services that are reached on one network, by id, each with what its labels say of the way.
_Users = Mapping[str, tuple[Service, Via | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """How configurations are made; each raises ``ValueError`` if it cannot.

    Attributes:
        relay: A relay's, from the fleet's subnets and the network's.
        reader: A reader's.
    """

    relay: Callable[[tuple[str, ...], tuple[str, ...]], str]
    reader: ConfigureReader


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """The operator's choices for networks.

    Attributes:
        via: The way to a network that the fleet does not stand on, if no label asks for one: relay or direct.
        allow_direct: Whether a label may have the fleet attached to a network, which replaces its proxies one by one.
        min_serving: How many proxies of a fleet go on serving while it is attached or detached.
        asks: Whether this control plane has a certificate to ask readers of secrets with.
    """

    via: Via = Via.RELAY
    allow_direct: bool = True
    min_serving: int = 1
    relay: RelayOptions = field(default_factory=RelayOptions)
    asks: bool = True


def plan_networks(
    state: SwarmState,
    intents: Iterable[tuple[Service, ServiceIntent]],
    default_fleet: str,
    options: NetworkOptions,
    configure: Configure,
) -> tuple[NetworkPlan, tuple[Problem, ...]]:
    """Return how each routed network is reached, what that takes, and what stands in its way."""
    asking = tuple(intents)
    around = Surroundings.of(state)
    planner = _Planner(state, around, options, configure)
    for (fleet, network_id), users in sorted(_wanted(asking, default_fleet, around).items()):
        planner.add(fleet, around.networks[network_id] if network_id else None, users)
    planner.tell_of_kept()
    readers, unread = plan_readers(state, asking, default_fleet, options.relay, configure.reader, asks=options.asks)
    relays = tuple(sorted((*planner.relays, *readers), key=lambda relay: relay.name))
    plan = NetworkPlan(uses=tuple(planner.uses), relays=relays, attachments=tuple(planner.attachments))
    return plan, (*planner.problems, *unread, *shortages(state, relays))


@dataclass(slots=True)
class _Planner:
    """The plan while it is made, one network after the other."""

    state: SwarmState
    around: Surroundings
    options: NetworkOptions
    configure: Configure
    uses: list[NetworkUse] = field(default_factory=list)
    relays: list[RelaySpec] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, fleet: str, network: Network | None, users: _Users) -> None:
        """Plan one network of one fleet; None stands for ports in host mode."""
        if network is None:
            self._use(fleet, None, Way.HOST, users, "the port is published in host mode")
        elif self.around.owned(fleet, network.id):
            self._use(fleet, network, Way.SHARED, users, f"fleet {fleet} stands on it")
        elif reason := self._direct(fleet, network, users):
            self._use(fleet, network, Way.DIRECT, users, reason)
            self._attach(fleet, network, reason)
            if self._relayed(fleet, network) and not self._attached(fleet, network):
                self._relay(fleet, network, users)  # the one that is there serves until then
        else:
            self._use(fleet, network, Way.RELAY, users, f"fleet {fleet} does not stand on it")
            self._relay(fleet, network, users)
            if (fleet, network.id) in self.around.attached and not self._relayed(fleet, network):
                self._attach(fleet, network, "no relay runs there yet")

    def _relayed(self, fleet: str, network: Network) -> bool:
        return bool(self.around.relays.get((fleet, network.id)))

    def _attached(self, fleet: str, network: Network) -> bool:
        return self.around.shared(fleet, network.id) and (fleet, network.id) not in self.around.lacking

    def _direct(self, fleet: str, network: Network, users: _Users) -> str:
        """Return why the fleet is to be attached to a network; empty if it is not."""
        direct, relay = (
            sorted((service for service, via in users.values() if via is asked), key=lambda service: service.name)
            for asked in (Via.DIRECT, Via.RELAY)
        )
        if not direct and (relay or self.options.via is not Via.DIRECT):
            return ""
        services = [service for service, _ in users.values()]
        obstacle, cure = self._obstacle(fleet, network, asked=bool(direct)), ""
        if not obstacle and (obstacle := self._too_few(fleet, network)):
            cure = f"{_MORE}, or ask for the relay with the label network.via"
        if obstacle:
            text = f"{obstacle}: network {network.name} is reached by a relay instead"
            self._tell(network, services, text, cure=cure)
            return ""
        if direct:
            text = f"service {direct[0].name} asks for it"
            self._tell(network, relay, f"{text} to be reached directly, and so it is for all of its services")
            return text
        return "it is the way that the settings ask for"

    def _obstacle(self, fleet: str, network: Network, *, asked: bool) -> str:
        """Return why a fleet cannot be attached to a network; empty if it can."""
        members = [service for service in self.state.fleet_services if service.fleet == fleet]
        if asked and not self.options.allow_direct:
            return "the settings do not allow direct attachment"
        if not members:
            return f"no service is labelled as fleet {fleet}"
        others = {each for member in members for each in member.network_ids}
        others |= {each.network_id for each in self.attachments if each.fleet == fleet}
        for other in sorted(others - {network.id}):
            known = self.around.networks.get(other)
            if known and overlap(network.subnets, known.subnets):
                return f"its subnet overlaps with that of {known.name}, on which fleet {fleet} stands"
        return ""

    def _too_few(self, fleet: str, network: Network) -> str:
        """Return why a fleet can never be attached to a network as things are; empty if it can.

        Once it is being attached this no longer counts: an update leaves fewer serving for a while.
        """
        members = [service for service in self.state.fleet_services if service.fleet == fleet]
        if any(network.id in member.network_ids for member in members):
            return ""
        return next(filter(None, (_no_proxy_to_spare(member, self.options) for member in members)), "")

    def tell_of_kept(self) -> None:
        """Tell of networks that a fleet is to be detached from and cannot be: no removal of their stacks succeeds."""
        wanted = {(each.fleet, each.network_id) for each in self.attachments}
        for member in self.state.fleet_services:
            kept = [each for each in member.attached if (member.fleet, each) not in wanted]
            if kept and (reason := _no_proxy_to_spare(member, self.options)):
                known = self.around.networks
                names = ", ".join(known[each].name if each in known else each for each in kept)
                self.problems.append(
                    Problem(
                        severity=Severity.WARNING,
                        kind=Kind.NETWORK_CAVEAT,
                        service=member.name,
                        reason=f"{reason}: it stays on {names}, which cannot be removed meanwhile",
                        cure=_MORE,
                    )
                )

    def _attach(self, fleet: str, network: Network, reason: str) -> None:
        self.attachments.append(
            Attachment(
                fleet=fleet, network_id=network.id, network_name=network.name, stack=network.stack, reason=reason
            )
        )

    def _relay(self, fleet: str, network: Network, users: _Users) -> None:
        services = [service for service, _ in users.values()]
        try:
            relay = _relay(fleet, network, self.state, self.options.relay, self.configure)
        except ValueError as error:
            self.problems += [_problem(service, network, str(error)) for service in services]
            return
        self.relays.append(relay.spec)
        for warning in relay.warnings:
            self._tell(network, services, warning)
        if network.internal:
            text = f"network {network.name} is internal, and requests of fleet {fleet} come in through the relay"
            self._tell(network, services, text, Severity.INFO)

    def _tell(
        self,
        network: Network,
        services: Iterable[Service],
        text: str,
        severity: Severity = Severity.WARNING,
        cure: str = "",
    ) -> None:
        for service in services:
            problem = _problem(service, network, text)
            self.problems.append(
                replace(problem, severity=severity, kind=Kind.NETWORK_CAVEAT, cure=cure or problem.cure)
            )

    def _use(self, fleet: str, network: Network | None, way: Way, users: _Users, reason: str) -> None:
        self.uses.append(
            NetworkUse(
                fleet=fleet,
                network_id=network.id if network else "",
                network=network.name if network else "",
                stack=network.stack if network else "",
                way=way,
                services=tuple(sorted(service.name for service, _ in users.values())),
                reason=reason,
            )
        )


def _no_proxy_to_spare(member: FleetService, options: NetworkOptions) -> str:
    """Return why the tasks of a fleet's service cannot be replaced; empty if they can."""
    serving = sum(task.serving for task in member.tasks)
    # With no task at all there is nothing to be stopped, and none that waits for the network.
    if not member.host_ports or not member.tasks or serving > options.min_serving:
        return ""
    return (
        f"the proxies of {member.name} hold ports of their nodes, so one must stop before another starts,"
        f" and only {serving} serve where direct_min_serving is {options.min_serving}"
    )


def _wanted(
    intents: Iterable[tuple[Service, ServiceIntent]], default_fleet: str, around: Surroundings
) -> dict[tuple[str, str], dict[str, tuple[Service, Via | None]]]:
    """Return the users by fleet and network id, the id empty for a port in host mode."""
    wanted: dict[tuple[str, str], dict[str, tuple[Service, Via | None]]] = {}
    for service, intent in intents:
        for route in intent.routes:
            if route.backend is None:
                continue
            fleet, via = route.fleet or default_fleet, route.backend.via
            try:
                host = uses_host_port(service, route.backend)
                network_id = "" if host else choose_network(service, route.backend, around).id
            except UnreachableError:
                continue  # the plan of the routes has told it
            users = wanted.setdefault((fleet, network_id), {})
            # Where one route of a service asks for it, the network is there for the others too.
            if service.id not in users or via is Via.DIRECT:
                users[service.id] = (service, via)
    return wanted


@dataclass(frozen=True, slots=True)
class _Relay:
    """A relay, and what may go wrong with it."""

    spec: RelaySpec
    warnings: tuple[str, ...] = ()


def _relay(fleet: str, network: Network, state: SwarmState, options: RelayOptions, configure: Configure) -> _Relay:
    """Return the relay of a network.

    Raises:
        ValueError: There can be none, with the reason.
    """
    stand, runs = home(fleet, state, options), image(fleet, state, options)
    if not network.subnets:
        raise ValueError(f"network {network.name} has no subnet yet")
    if overlap(network.subnets, stand.subnets):
        raise ValueError(f"network {network.name} overlaps with {stand.name}, on which fleet {fleet} stands")
    warnings: tuple[str, ...] = ()
    if network.encrypted and not stand.encrypted:
        warnings = (f"network {network.name} is encrypted and {stand.name} is not, over which requests come to it",)
    spec = RelaySpec(
        fleet=fleet,
        stack=network.stack,
        network_id=network.id,
        network_name=network.name,
        fleet_network_id=stand.id,
        image=runs,
        replicas=options.replicas,
        configuration=configure.relay(stand.subnets, network.subnets),
        memory=options.memory,
        constraints=options.constraints,
        pauses=options.pauses if network.stack else 0,
    )
    return _Relay(spec, warnings)


def _problem(service: Service, network: Network, reason: str) -> Problem:
    return Problem(
        severity=Severity.WARNING,
        kind=Kind.UNREACHABLE_NETWORK,
        service=service.name,
        reason=reason,
        cure=f"use another network than {network.name}, or mend what the reason names",
        source=service.source,
    )
