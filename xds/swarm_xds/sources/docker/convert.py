"""The engine's JSON to the values of ``swarm``: the one place that knows the shape of the engine's answers.

In: decoded JSON of services, tasks, networks, nodes and secrets (Docker Engine API 1.41 and later). Out: a ``Batch`` of
records. Pure: it must not know where the JSON came from or what was known before. It never raises: an object that
cannot be converted is named as unreadable, with a problem, and takes no other object with it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.sources.docker.fields import addresses, mapping, nanoseconds, sequence, subnet, text
from swarm_xds.sources.docker.misplaced import is_job, misplaced
from swarm_xds.swarm import Network, Node, PublishedPort, PublishMode, Secret, Service, Task
from swarm_xds.swarm.marks import (
    FLEET_LABEL,
    PKI_LABEL,
    RELAY_FLEET_LABEL,
    RELAY_LABEL,
    ROUTED_PREFIXES,
    STACK_LABEL,
)

#: A relay carries both, and no other service is one.
_RELAY_LABELS = {RELAY_LABEL, RELAY_FLEET_LABEL}

#: A node in one of these states carries no traffic. Not ``unknown``: that is every node's state for some seconds
#: after the managers elect a new leader, while its tasks run on.
DOWN = frozenset({"down", "disconnected"})
_UPDATING = frozenset({"updating", "rollback_started"})
#: States that a task never leaves.
_ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})

#: The engine's label on networks that every node has.
_PREDEFINED = "com.docker.swarm.predefined"

_MAX_PORT = 65535
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """What became of one answer of the engine.

    Attributes:
        records: By id.
        unreadable: Ids of objects that are there, but cannot be converted.
        blind: An object was there whose very id cannot be read; so nothing may be taken for absent.
        problems: Each with the id of its object, empty if that cannot be read.
    """

    records: dict[str, T] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    blind: bool = False
    problems: tuple[tuple[str, Problem], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """A service without its tasks.

    Attributes:
        kept: It carries a label of ours, or is a fleet's or a relay; all others are nobody's business.
        fleet: The fleet whose proxies it runs, empty for the default fleet; None for any other service.
        image: Of a fleet's service.
        host_ports: Of a fleet's service: it publishes a port of the node itself, of any protocol.
        relay: A control plane has put it into the swarm; nothing is routed to it, whatever its labels say.
        replicas: How many tasks it is to have, None where the engine does not say (global services, jobs).
        updating: The engine is replacing its tasks.
    """

    service: Service
    kept: bool
    fleet: str | None = None
    image: str = ""
    host_ports: bool = False
    relay: bool = False
    replicas: int | None = None
    updating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task that has not ended.

    Attributes:
        task: Its ``serving`` does not take the node's state into account.
        running: Its container runs; only then does it belong in the state.
        state: State and desired state, to see that it moved.
    """

    task: Task
    service_id: str
    running: bool
    state: tuple[str, str]

    @property
    def moving(self) -> bool:
        """Whether it is soon to be something else than it is."""
        return self.running != (self.state[1] == "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node, whether what runs on it can be reached (``up``), and whether it is to run anything."""

    node: Node
    up: bool
    availability: str = ""


def services(raws: Iterable[Any], ingress: frozenset[str] = frozenset()) -> Batch[ServiceRecord]:
    """Convert services, leaving out virtual IPs on the networks named as ``ingress``."""
    return _batch("service", raws, lambda raw, problems: _service(raw, ingress, problems))


def tasks(raws: Iterable[Any], ingress: frozenset[str] = frozenset()) -> Batch[TaskRecord | None]:
    """Convert tasks; those that ended are None."""
    return _batch("task", raws, lambda raw, _: _task(raw, ingress))


def networks(raws: Iterable[Any]) -> Batch[Network | None]:
    """Convert networks; those of a single node are None."""
    return _batch("network", raws, lambda raw, _: _network(raw))


def nodes(raws: Iterable[Any]) -> Batch[NodeRecord]:
    """Convert nodes."""
    return _batch("node", raws, lambda raw, _: _node(raw))


def secrets(raws: Iterable[Any]) -> Batch[Secret]:
    """Convert secrets."""
    return _batch("secret", raws, lambda raw, _: _secret(raw))


def unlisted_secrets(why: str) -> Batch[Secret]:
    """Return what is known of secrets where the engine, or who stands before it, does not list them."""
    problem = Problem(
        severity=Severity.WARNING,
        kind=Kind.UNREAD,
        reason=f"secrets cannot be listed, so that labels cannot name them: {shown(why)}",
        cure="allow GET /secrets, which gives names and never contents",
    )
    return Batch(blind=True, problems=(("", problem),))


def doubted(batch: Batch[T], kind: str, count: int) -> Batch[T]:
    """Return a list beside which all stays that was there, since ``count`` of that is missing from it."""
    problem = Problem(
        severity=Severity.WARNING,
        kind=Kind.UNREAD,
        reason=f"the engine's list lacks {kind}s that it had ({count}), without a word of their end: they are kept",
        cure="see whether this engine knows the whole swarm (docker node ls)",
    )
    return replace(batch, blind=True, problems=(*batch.problems, ("", problem)))


def _batch(what: str, raws: Iterable[Any], convert: Callable[[Any, list[Problem]], T]) -> Batch[T]:
    records: dict[str, T] = {}
    unreadable: set[str] = set()
    problems: list[tuple[str, Problem]] = []
    blind = False
    for raw in raws:
        identifier = _identifier(raw)
        if not identifier:
            blind = True
            problems.append(("", _unreadable(what, raw, "it has no id")))
            continue
        try:
            own: list[Problem] = []
            records[identifier] = convert(raw, own)
            problems.extend((identifier, problem) for problem in own)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            unreadable.add(identifier)
            problems.append((identifier, _unreadable(what, raw, str(error))))
    return Batch(records=records, unreadable=frozenset(unreadable), blind=blind, problems=tuple(problems))


def _identifier(raw: Any) -> str:  # noqa: ANN401 - JSON
    if not isinstance(raw, Mapping):
        return ""
    found = raw.get("ID") or raw.get("Id")
    return found if isinstance(found, str) else ""


def _unreadable(what: str, raw: Any, why: str) -> Problem:  # noqa: ANN401 - JSON
    name = ""
    if what == "service" and isinstance(raw, Mapping) and isinstance(raw.get("Spec"), Mapping):
        name = str(raw["Spec"].get("Name") or "")
    called = "" if name else f" {_identifier(raw)}".rstrip()
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.BAD_VALUE,
        service=name,
        reason=f"the engine's answer for {what}{called} cannot be read: {shown(why)}",
        cure="look at it with docker inspect",
    )


def _service(raw: Mapping[str, Any], ingress: frozenset[str], problems: list[Problem]) -> ServiceRecord:
    spec = mapping(raw, "Spec")
    name = text(spec, "Name")
    if not name:
        raise ValueError("it has no name")
    labels = _labels(spec, name, problems)
    problems += misplaced(spec, name)
    if is_job(spec):
        labels = {key: value for key, value in labels.items() if not key.startswith(ROUTED_PREFIXES)}
    relay = labels.keys() >= _RELAY_LABELS
    fleet = None if relay else labels.get(FLEET_LABEL)
    identifier = _identifier(raw)
    if not relay and fleet is None and not any(key.startswith(ROUTED_PREFIXES) for key in labels):
        return ServiceRecord(service=Service(id=identifier, name=name), kept=False)
    endpoint = mapping(raw, "Endpoint")
    return ServiceRecord(
        service=Service(
            id=identifier,
            name=name,
            stack=labels.get(STACK_LABEL, ""),
            created=nanoseconds(text(raw, "CreatedAt")),
            labels=tuple(sorted(labels.items())),
            network_ids=_network_ids(spec),
            virtual_ips=_virtual_ips(endpoint, ingress),
            ports=_spec_ports(mapping(spec, "EndpointSpec"), endpoint),
        ),
        kept=True,
        fleet=fleet,
        image="" if fleet is None else text(mapping(mapping(spec, "TaskTemplate"), "ContainerSpec"), "Image"),
        host_ports=fleet is not None and _has_host_ports(mapping(spec, "EndpointSpec")),
        relay=relay,
        replicas=_replicas(spec),
        updating=mapping(raw, "UpdateStatus").get("State") in _UPDATING,
    )


def _labels(spec: Mapping[str, Any], name: str, problems: list[Problem]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for key, value in mapping(spec, "Labels").items():
        if isinstance(value, str):
            labels[key] = value
        elif value is None:
            labels[key] = ""
        elif isinstance(value, bool | int | float):
            labels[key] = str(value).lower()
        else:
            problems.append(
                Problem(
                    severity=Severity.ERROR,
                    kind=Kind.BAD_VALUE,
                    service=name,
                    label=key,
                    value=shown(str(value)),
                    reason="a label's value must be a string",
                )
            )
    return labels


def _network_ids(spec: Mapping[str, Any]) -> tuple[str, ...]:
    template = mapping(spec, "TaskTemplate")
    attached = sequence(template, "Networks") or sequence(spec, "Networks")  # the second is from before API 1.25
    found = {entry.get("Target") for entry in attached if isinstance(entry, Mapping)}
    return tuple(sorted(target for target in found if isinstance(target, str) and target))


def _virtual_ips(endpoint: Mapping[str, Any], ingress: frozenset[str]) -> tuple[tuple[str, str], ...]:
    found: set[tuple[str, str]] = set()
    for entry in sequence(endpoint, "VirtualIPs"):
        if isinstance(entry, Mapping) and (network := text(entry, "NetworkID")) and network not in ingress:
            found.update((network, address) for address in addresses([entry.get("Addr")]))
    return tuple(sorted(found))


def _spec_ports(spec: Mapping[str, Any], endpoint: Mapping[str, Any]) -> tuple[PublishedPort, ...]:
    """The ports asked for; where the number was left to the engine, the one it chose."""
    chosen = {(port.target, port.mode): port.published for port in _ports(sequence(endpoint, "Ports"))}
    return tuple(
        sorted(
            PublishedPort(
                target=port.target,
                published=port.published or chosen.get((port.target, port.mode), 0),
                mode=port.mode,
            )
            for port in _ports(sequence(spec, "Ports"))
        )
    )


def _has_host_ports(spec: Mapping[str, Any]) -> bool:
    return any(isinstance(port, Mapping) and port.get("PublishMode") == "host" for port in sequence(spec, "Ports"))


def _ports(entries: Iterable[Any]) -> tuple[PublishedPort, ...]:
    """Each TCP port once: the engine repeats a task's."""
    found = set()
    for entry in entries:
        if not isinstance(entry, Mapping) or (entry.get("Protocol") or "tcp") != "tcp":
            continue
        target: Any = entry.get("TargetPort")
        published: Any = entry.get("PublishedPort") or 0
        if _is_port(target, 1) and _is_port(published, 0):
            mode = PublishMode.HOST if entry.get("PublishMode") == "host" else PublishMode.INGRESS
            found.add(PublishedPort(target=target, published=published, mode=mode))
    return tuple(sorted(found))


def _is_port(value: Any, least: int) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MAX_PORT


def _replicas(spec: Mapping[str, Any]) -> int | None:
    count = mapping(mapping(spec, "Mode"), "Replicated").get("Replicas")
    return count if isinstance(count, int) else None


def _task(raw: Mapping[str, Any], ingress: frozenset[str]) -> TaskRecord | None:
    status = mapping(raw, "Status")
    state, desired = text(status, "State"), text(raw, "DesiredState")
    if state in _ENDED:
        return None
    host_ports = _ports(sequence(mapping(status, "PortStatus"), "Ports"))
    return TaskRecord(
        task=Task(
            id=_identifier(raw),
            node_id=text(raw, "NodeID"),
            serving=desired == "running",
            addresses=_task_addresses(raw, ingress),
            host_ports=tuple(port for port in host_ports if port.mode is PublishMode.HOST),
        ),
        service_id=text(raw, "ServiceID"),
        running=state == "running",
        state=(state, desired),
    )


def _task_addresses(raw: Mapping[str, Any], ingress: frozenset[str]) -> tuple[tuple[str, str], ...]:
    found: set[tuple[str, str]] = set()
    for entry in sequence(raw, "NetworksAttachments"):
        if not isinstance(entry, Mapping):
            continue
        network = mapping(entry, "Network")
        identifier = _identifier(network)
        if not identifier or identifier in ingress or mapping(network, "Spec").get("Ingress") is True:
            continue
        found.update((identifier, address) for address in addresses(sequence(entry, "Addresses")))
    return tuple(sorted(found))


def _network(raw: Mapping[str, Any]) -> Network | None:
    # A node's own ``host`` and ``bridge`` have an id in the swarm too, by which the engine gives them, and no subnet.
    if raw.get("Scope") != "swarm" or mapping(raw, "Labels").get(_PREDEFINED) == "true":
        return None
    name = text(raw, "Name")
    if not name:
        raise ValueError("it has no name")
    configs = [entry for entry in sequence(mapping(raw, "IPAM"), "Config") if isinstance(entry, Mapping)]
    subnets = {subnet(entry.get("Subnet")) for entry in configs} - {""}
    stack = mapping(raw, "Labels").get(STACK_LABEL)
    return Network(
        id=_identifier(raw),
        name=name,
        stack=stack if isinstance(stack, str) else "",
        ingress=raw.get("Ingress") is True,
        internal=raw.get("Internal") is True,
        # The engine's overlay driver asks whether the option is there, and not for its value.
        encrypted="encrypted" in mapping(raw, "Options"),
        subnets=tuple(sorted(subnets)),
    )


def _secret(raw: Mapping[str, Any]) -> Secret:
    spec = mapping(raw, "Spec")
    name, labels = text(spec, "Name"), mapping(spec, "Labels")
    if not name:
        raise ValueError("it has no name")
    return Secret(id=_identifier(raw), name=name, stack=text(labels, STACK_LABEL), pki=text(labels, PKI_LABEL))


def _node(raw: Mapping[str, Any]) -> NodeRecord:
    status = mapping(raw, "Status")
    manager = text(mapping(raw, "ManagerStatus"), "Addr").rpartition(":")[0].strip("[]")
    candidates = addresses([text(status, "Addr"), manager])
    # A manager that was told to listen everywhere gives 0.0.0.0 in the first of the two places, which leads nowhere.
    candidates = [a for a in candidates if not ip_address(a).is_unspecified]
    usable = [a for a in candidates if not ip_address(a).is_loopback]
    return NodeRecord(
        node=Node(
            id=_identifier(raw),
            hostname=text(mapping(raw, "Description"), "Hostname"),
            address=(usable or candidates or [""])[0],
        ),
        up=text(status, "State") not in DOWN,
        availability=text(mapping(raw, "Spec"), "Availability"),
    )
