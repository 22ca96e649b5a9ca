"""The next writes as values: what is done now, and what has to wait, and until when. Pure.

``relays`` and ``attach`` make them, ``steps`` puts them together, ``apply`` takes them.
"""

from dataclasses import dataclass
from enum import StrEnum

from swarm_xds.networks.wanted import RelaySpec


class Action(StrEnum):
    """What a step does."""

    CREATE_CONFIG = "create config"
    CREATE_PAUSE = "create pause"
    CREATE_RELAY = "create relay"
    UPDATE_RELAY = "update relay"
    REMOVE_RELAY = "remove relay"
    REMOVE_CONFIG = "remove config"
    UPDATE_FLEET = "update fleet"
    FORGET_NETWORK = "forget network"
    REMOVE_NETWORK = "remove network"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChange:
    """What is to be different about a fleet's own service.

    Attributes:
        attach: Id and name of networks that it is to stand on from now on.
        detach: Ids of networks that it stands on because of us, and is not to any more.
        forget: Ids of networks that it was detached from and about which nothing is left to be done.
        order: ``start-first`` or ``stop-first``, as the engine has it.
        parallelism: How many tasks are replaced at a time.
    """

    attach: tuple[tuple[str, str], ...] = ()
    detach: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    order: str = ""
    parallelism: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One write.

    Attributes:
        name: Of the service, config or network that is written.
        network: Name of the network that it is for, or its id where that is not known; several with commas.
        reason: One sentence without a full stop.
        subject: What fails if this fails: the relay's name, or the config's own if it is in nobody's way.
        spec: The relay that is to be, unless something is removed.
        change: What is to be different about a fleet's service.
        id: Of what is there, unless it is created.
        version: The index that an update names.
    """

    action: Action
    name: str
    network: str
    stack: str
    fleet: str
    reason: str
    subject: str
    spec: RelaySpec | None = None
    change: FleetChange | None = None
    id: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """A step that is to be taken at a later time if nothing changes, and what it waits for.

    Attributes:
        at: In seconds of the manager's clock.
        stuck: It waits for something that may never come by itself, so that somebody has to know.
    """

    step: Step
    at: float
    reason: str
    stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The steps to take now, in this order, and those that have to wait."""

    steps: tuple[Step, ...] = ()
    later: tuple[Delayed, ...] = ()

    @property
    def next_at(self) -> float | None:
        """When the first of those that wait is due."""
        return min((delayed.at for delayed in self.later), default=None)
