"""The record: the last build, the members, the changes and the totals, and whoever wants to hear of events.

In: ``published`` from ``app``, calls of ``server.Observer``. Out: values, and ``Event`` to its listeners. Pure: the two
clocks are passed in. Everything runs on one event loop.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from swarm_xds.certs.stock import Stock
from swarm_xds.certs.values import Certificates
from swarm_xds.observe.changes import Change, Changes, Phase
from swarm_xds.observe.difference import Difference, differences
from swarm_xds.observe.members import Member, Members, Refusal, Standing
from swarm_xds.pipeline import Build
from swarm_xds.problem import Problem
from swarm_xds.server import Peer, SilentObserver
from swarm_xds.server import Refusal as TurnedAway
from swarm_xds.server.subscription import Ack, Nack, Response
from swarm_xds.snapshot import Snapshots
from swarm_xds.snapshot.kept import Kept
from swarm_xds.swarm import SwarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What was read last and what came of it; ``at`` in seconds since the epoch."""

    state: SwarmState
    build: Build
    cause: str
    at: float
    stock: tuple[Stock, ...] = ()
    certificates: Certificates = field(default_factory=Certificates, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A change was published."""

    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Every proxy has answered a change."""

    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """One proxy has accepted a change, so many seconds after the source noticed it."""

    fleet: str
    node: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A proxy has opened a stream."""

    fleet: str
    node: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A stream of a proxy has ended."""

    fleet: str
    node: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A proxy has refused a response."""

    fleet: str
    node: str
    type_url: str
    refusal: Refusal


Event = Published | Answered | Acknowledged | Joined | Left | Refused


@dataclass(slots=True)
class Totals:
    """Counts since the start: failures of the file by kind, clients turned away by reason, tried snapshots by stage.

    Everything else is by type URL.
    """

    readings: int = 0
    file_failures: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    clients: Counter[TurnedAway] = field(default_factory=Counter)
    canary: Counter[str] = field(default_factory=Counter)


class Record(SilentObserver):
    """Everything that is known, as it stands now.

    Args:
        clock: Seconds on a clock that does not jump, the one of ``Reading.noticed``.
        wall: Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._members = Members()
        self._changes = Changes()
        self._snapshots: Snapshots | None = None
        self._problems: frozenset[Problem] = frozenset()
        self._listeners: list[Callable[[Event], None]] = []
        self.totals = Totals()
        #: None until the first reading.
        self.situation: Situation | None = None
        #: When what is served was written to the file that it is from; None if it is from a reading, or nothing is.
        self.restored: datetime | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """All members by fleet and node, also those that went a while ago."""
        return self._members.members()

    def differences(self, fleet: str = "", node: str = "") -> tuple[Difference, ...]:
        """Return where members do not have what they are to have; empty names for all of them."""
        chosen = (
            member
            for member in self.members
            if fleet in {"", member.fleet} and node in {"", member.node} and member.standing is not Standing.GONE
        )
        return tuple(differences(chosen, self._members.resources))

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._members.streams

    @property
    def changes(self) -> tuple[Change, ...]:
        """The last changes, the oldest first."""
        return self._changes.changes

    @property
    def pending(self) -> int:
        """How many changes some proxy has not answered."""
        return self._changes.pending

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have ``listener`` called for each event, at once; return what ends it. It must not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def restore(self, kept: Kept) -> None:
        """Take what is served from the file, as nothing else is to be had."""
        self.restored = kept.written
        self._snapshots = kept.snapshots
        self._members.intend(kept.snapshots, self._wall())

    def published(
        self,
        state: SwarmState,
        build: Build,
        *,
        cause: str,
        resources: Mapping[str, int],
        seconds: float,
        noticed: float | None = None,
        stock: tuple[Stock, ...] = (),
        certificates: Certificates | None = None,
    ) -> None:
        """Take what one reading led to.

        Args:
            state: What was read.
            build: What came of it.
            cause: What made the source read.
            resources: How many resources of each type have changed.
            seconds: How long the build took.
            noticed: When the source noticed, on ``clock``; None for now.
            stock: The certificates that there are.
            certificates: Those of them that the build could choose from.
        """
        now, before, after = self._clock(), self._snapshots, build.snapshots
        wall = self._wall()
        self.totals.readings += 1
        self.restored = None
        self.situation = Situation(
            state=state, build=build, cause=cause, at=wall, stock=stock, certificates=certificates or Certificates()
        )
        self._snapshots = after
        self._members.intend(after, wall)
        found = tuple(problem for problem in build.problems if problem not in self._problems)
        gone = tuple(sorted(self._problems.difference(build.problems)))
        self._problems = frozenset(build.problems)
        fleets = sorted({*after.fleets, *(before.fleets if before else ())})
        versions = {fleet: after.of(fleet).version for fleet in fleets}
        moved = {
            fleet: version
            for fleet, version in versions.items()
            if before is None or before.of(fleet).version != version
        }
        if not (moved or found or gone):
            return
        streams: set[int] = set()
        for fleet, version in moved.items():
            for stream in self._members.streams_of(fleet):
                if self._members.settled(stream) == version:
                    # It never took up what was in between, and is at its end already.
                    self._over(self._changes.left(stream))
                else:
                    streams.add(stream)
        change = Change(
            number=0,
            at=wall,
            cause=cause,
            build_seconds=seconds,
            resources=tuple(resources.items()),
            fleets=tuple(moved),
            found=found,
            gone=gone,
        )
        change = self._changes.published(
            change, noticed=now if noticed is None else noticed, versions=moved, streams=streams
        )
        self._tell(Published(change=change))
        if change.phase is not Phase.PUBLISHED:
            self._tell(Answered(change=change))

    def opened(self, peer: Peer) -> None:
        """Note a new stream."""
        self._members.opened(peer, self._wall())
        self._tell(Joined(fleet=self._members.fleet(peer), node=peer.node, address=peer.address))

    def closed(self, peer: Peer) -> None:
        """Note the end of a stream."""
        self._members.closed(peer, self._wall())
        self._over(self._changes.left(peer.stream))
        self._tell(Left(fleet=self._members.fleet(peer), node=peer.node, address=peer.address))

    def sent(self, peer: Peer, response: Response, size: int) -> None:
        """Note a response of ``size`` bytes."""
        self.totals.sent[response.type_url] += 1
        self.totals.sent_bytes[response.type_url] += size
        self._members.sent(peer, response, self._wall())

    def acked(self, peer: Peer, type_url: str, ack: Ack) -> None:
        """Note an acceptance."""
        self.totals.accepted[type_url] += 1
        self._members.acked(peer, type_url, ack, self._wall())

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """Note a refusal."""
        self.totals.refused[type_url] += 1
        refusal = self._members.nacked(peer, type_url, nack, self._wall())
        if refusal is not None:
            fleet = self._members.fleet(peer)
            self._tell(Refused(fleet=fleet, node=peer.node, type_url=type_url, refusal=refusal))

    def refused(self, peer: Peer, refusal: TurnedAway, reason: str) -> None:  # noqa: ARG002 - the protocol has them
        """Note a client that was turned away."""
        self.totals.clients[refusal] += 1

    def settled(self, peer: Peer, version: str) -> None:
        """Note that a client has answered all of a snapshot."""
        self._members.settle(peer, version, self._wall())
        fleet = self._members.fleet(peer)
        refused = self._members.refused(peer.stream)
        seconds, over = self._changes.answered(peer.stream, peer.node, fleet, version, self._clock(), refused=refused)
        for each in seconds:
            self._tell(Acknowledged(fleet=fleet, node=peer.node, seconds=each))
        self._over(over)

    def _over(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self._tell(Answered(change=change))

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)
