"""What stands in the swarm of our own: the engine's answers as values. Pure.

In: decoded JSON of services and configs that carry our labels. Out: ``Observed``. It must not know what is wanted, or
how the JSON was read. An object that cannot be read is an error: half a view would have relays removed or made anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarm_xds.swarm.marks import ATTACHED, FINGERPRINT_LABEL, RELAY_FLEET_LABEL, RELAY_LABEL, STACK_LABEL

#: States of an update in which the engine replaces tasks, and in which it has given up.
UNDER_WAY = frozenset({"updating", "rollback_started"})
FAILED = frozenset({"paused", "rollback_paused", "rollback_completed"})
#: Those in which tasks of the service as it was before still run, or may come back.
_UNSETTLED = UNDER_WAY | {"paused", "rollback_paused"}


class UnreadableError(ValueError):
    """The engine's answer has another shape than its API says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A Docker config of ours."""

    id: str
    name: str
    fleet: str
    network_id: str
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A relay's service.

    Attributes:
        version: Index that an update has to name.
        fingerprint: Of the ``RelaySpec`` that it was made from; empty for one that has just been begun.
        network_ids: In its specification, sorted.
        config_ids: Configs that its tasks may need, sorted; while it is updated, the previous ones too.
    """

    id: str
    name: str
    version: int
    fleet: str
    network_id: str
    stack: str = ""
    fingerprint: str = ""
    network_ids: tuple[str, ...] = ()
    config_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A service whose tasks are a fleet's proxies.

    Attributes:
        version: Index that an update has to name.
        network_ids: In its specification, sorted.
        attached: By id, the names of networks that we have attached it to, also of such that it was detached from and
            about which something may be left to be done.
        update: State of its last update as the engine has it; empty if there was none.
        message: What the engine says of it.
        host_ports: It publishes a port of the node itself.
        parallelism: How many tasks an update replaces at a time; 0 for all.
    """

    id: str
    name: str
    version: int
    network_ids: tuple[str, ...] = ()
    attached: Mapping[str, str] = field(default_factory=dict)
    update: str = ""
    message: str = ""
    host_ports: bool = False
    parallelism: int = 1

    @property
    def detached(self) -> frozenset[str]:
        """Ids of the networks that it was detached from and about which something may be left to be done."""
        return frozenset(self.attached) - frozenset(self.network_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftNetwork:
    """A network that a fleet was detached from.

    Attributes:
        stack: Whose network it is; empty if no stack's.
        gone: It is there no more.
        alive: Something else of the stack is there: a service, secret, config or network.
    """

    id: str
    name: str
    stack: str = ""
    gone: bool = False
    alive: bool = False

    @property
    def lifeless(self) -> bool:
        """Whether it is all that is left of its stack."""
        return bool(self.stack) and not self.gone and not self.alive

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done about it."""
        return not self.lifeless


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything in the swarm that carries our labels, sorted by name."""

    relays: tuple[Relay, ...] = ()
    configs: tuple[Config, ...] = ()
    fleets: tuple[Fleet, ...] = ()
    left: tuple[LeftNetwork, ...] = ()


def observed(services: Iterable[Any], configs: Iterable[Any], fleets: Iterable[Any] = ()) -> Observed:
    """Return what the engine listed: relays, their configs, and fleets' services.

    Raises:
        UnreadableError: Something of it cannot be read.
    """
    try:
        return Observed(
            relays=tuple(sorted(map(relay, services), key=lambda each: each.name)),
            configs=tuple(sorted(map(config, configs), key=lambda each: each.name)),
            fleets=tuple(sorted(map(fleet, fleets), key=lambda each: each.name)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(f"the engine's answer cannot be read: {type(error).__name__}: {error}") from error


def is_ours(raw: Any, fleet: str, network_id: str) -> bool:  # noqa: ANN401 - JSON
    """Tell whether a service or config was made for this fleet and network (or what a reader has in its place)."""
    labels = raw["Spec"].get("Labels") or {}
    return (labels.get(RELAY_FLEET_LABEL), labels.get(RELAY_LABEL)) == (fleet, network_id)


def relay(raw: Any) -> Relay:  # noqa: ANN401 - JSON
    """Return a service of ours."""
    spec = raw["Spec"]
    labels: Mapping[str, str] = spec["Labels"]
    specs = [spec]
    if (raw.get("UpdateStatus") or {}).get("State") in _UNSETTLED:
        specs.append(raw.get("PreviousSpec") or {})
    return Relay(
        id=raw["ID"],
        name=spec["Name"],
        version=raw["Version"]["Index"],
        fleet=labels[RELAY_FLEET_LABEL],
        network_id=labels[RELAY_LABEL],
        stack=labels.get(STACK_LABEL, ""),
        fingerprint=labels.get(FINGERPRINT_LABEL, ""),
        network_ids=_network_ids(spec),
        config_ids=tuple(sorted({each for one in specs for each in _config_ids(one)})),
    )


def config(raw: Any) -> Config:  # noqa: ANN401 - JSON
    """Return a config of ours."""
    labels: Mapping[str, str] = raw["Spec"]["Labels"]
    return Config(
        id=raw["ID"],
        name=raw["Spec"]["Name"],
        fleet=labels[RELAY_FLEET_LABEL],
        network_id=labels[RELAY_LABEL],
        stack=labels.get(STACK_LABEL, ""),
    )


def fleet(raw: Any) -> Fleet:  # noqa: ANN401 - JSON
    """Return a service of proxies."""
    spec, update = raw["Spec"], raw.get("UpdateStatus") or {}
    ports = (spec.get("EndpointSpec") or {}).get("Ports") or ()
    return Fleet(
        id=raw["ID"],
        name=spec["Name"],
        version=raw["Version"]["Index"],
        network_ids=_network_ids(spec),
        attached={
            key.removeprefix(ATTACHED): value for key, value in spec["Labels"].items() if key.startswith(ATTACHED)
        },
        update=update.get("State") or "",
        message=update.get("Message") or "",
        host_ports=any(port.get("PublishMode") == "host" for port in ports),
        parallelism=(spec.get("UpdateConfig") or {}).get("Parallelism", 1),
    )


def _network_ids(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(each["Target"] for each in spec["TaskTemplate"].get("Networks") or ()))


def _config_ids(spec: Mapping[str, Any]) -> list[str]:
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    return [each["ConfigID"] for each in container.get("Configs") or ()]
