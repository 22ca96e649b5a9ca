"""The members of all fleets: what each is to have of each type, was sent, has accepted and has refused, since when.

In: what happens on streams, the snapshots, the time. Out: ``Member`` values. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from swarm_xds.server import Peer
from swarm_xds.server.subscription import Ack, Nack, Response
from swarm_xds.snapshot import ADS_ORDER, Resources, Snapshot, Snapshots

#: Members that are gone and are still told of.
_GONE = 64
#: Unanswered responses remembered for each type of a stream; more are never pending with a client that answers.
_PENDING = 64


class Standing(StrEnum):
    """How a member stands to what it is to have; of several types the worst counts."""

    CURRENT = "current"
    WAITING = "waiting"
    REFUSED = "refused"
    GONE = "gone"


_WORST = (Standing.GONE, Standing.REFUSED, Standing.WAITING, Standing.CURRENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a member refused, and why; it keeps what it had.

    Attributes:
        version: Of the response.
        message: The proxy's reason, as it gave it.
        names: Resources of that response that it has not accepted since, sorted.
        at: Seconds since the epoch.
    """

    version: str
    message: str
    names: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeState:
    """One type at one member.

    Attributes:
        intended: Version that it is to have.
        sent: Version that it was sent last; empty if none.
        acknowledged: Version that it accepted last; empty if none.
        since: Since when ``standing`` holds, in seconds since the epoch.
    """

    type_url: str
    intended: str
    sent: str = ""
    acknowledged: str = ""
    refusal: Refusal | None = None
    standing: Standing
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One Envoy of a fleet, by its ``node.id``.

    Attributes:
        address: Of its newest stream, as gRPC gives it.
        variant: ``sotw`` or ``delta``.
        streams: How many streams it has open.
        since: When it connected, or from when on it is gone; seconds since the epoch.
        types: Those that it asks for, in the order in which they are sent.
    """

    fleet: str
    node: str
    address: str
    variant: str
    streams: int
    since: float
    standing: Standing
    types: tuple[TypeState, ...] = ()


@dataclass(slots=True)
class _Typed:
    """One type on one stream."""

    since: float
    sent: str = ""
    acknowledged: str = ""
    refusal: Refusal | None = None
    pending: dict[str, frozenset[str]] = field(default_factory=dict)
    standing: Standing = Standing.WAITING

    def settle(self, intended: str, now: float) -> None:
        """Work out the standing anew."""
        standing = Standing.CURRENT if self.acknowledged == intended else Standing.WAITING
        if self.refusal is not None:
            standing = Standing.REFUSED
        if standing is not self.standing:
            self.standing, self.since = standing, now


@dataclass(slots=True)
class _Stream:
    peer: Peer
    fleet: str
    since: float
    types: dict[str, _Typed] = field(default_factory=dict)
    #: Version of the snapshot that the client has answered in full.
    settled: str = ""


class Members:
    """All members that are connected, and the last ones that went."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._gone: dict[tuple[str, str], Member] = {}
        self._snapshots: Snapshots | None = None
        self._versions: dict[str, str] = {}
        #: By type and version, as far as some member is to have it or has accepted it.
        self._known: dict[tuple[str, str], Resources] = {}

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def streams_of(self, fleet: str) -> frozenset[int]:
        """Return the numbers of a fleet's streams."""
        return frozenset(number for number, stream in self._streams.items() if stream.fleet == fleet)

    def settled(self, stream: int) -> str:
        """Return the version of the snapshot that a stream's client has answered in full; empty while it has not."""
        found = self._streams.get(stream)
        return found.settled if found else ""

    def refused(self, stream: int) -> bool:
        """Tell whether a stream's client refuses something that it is to have."""
        found = self._streams.get(stream)
        return found is not None and any(typed.refusal for typed in found.types.values())

    def intend(self, snapshots: Snapshots, now: float) -> None:
        """Take what all members are to have from now on."""
        self._snapshots = snapshots
        self._versions.clear()
        self._remember(snapshots)
        for stream in self._streams.values():
            for type_url, typed in stream.types.items():
                self._forget_refusals(stream, type_url, typed)
                typed.settle(self._intended(stream, type_url), now)

    def opened(self, peer: Peer, now: float) -> None:
        """Note a new stream."""
        fleet = self.fleet(peer)
        self._streams[peer.stream] = _Stream(peer=peer, fleet=fleet, since=now)
        self._gone.pop((fleet, peer.node), None)

    def closed(self, peer: Peer, now: float) -> None:
        """Note the end of a stream; with its last one a member is gone."""
        stream = self._streams.get(peer.stream)
        if stream is None:
            return
        place = (stream.fleet, peer.node)
        before = self._member(place, self._of(place))
        del self._streams[peer.stream]
        if not self._of(place):
            self._gone[place] = Member(
                fleet=before.fleet,
                node=before.node,
                address=before.address,
                variant=before.variant,
                streams=0,
                since=now,
                standing=Standing.GONE,
                types=before.types,
            )
            if len(self._gone) > _GONE:
                del self._gone[next(iter(self._gone))]

    def sent(self, peer: Peer, response: Response, now: float) -> None:
        """Note a response."""
        stream = self._streams.get(peer.stream)
        if stream is None:
            return
        stream.settled = ""
        typed = stream.types.setdefault(response.type_url, _Typed(since=now))
        typed.sent = response.version
        carried = frozenset((*(resource.name for resource in response.resources), *response.removed))
        typed.pending[response.nonce] = carried
        if len(typed.pending) > _PENDING:
            del typed.pending[next(iter(typed.pending))]

    def acked(self, peer: Peer, type_url: str, ack: Ack, now: float) -> None:
        """Note that a response was accepted, and with it what it carried."""
        stream = self._streams.get(peer.stream)
        typed = stream.types.get(type_url) if stream else None
        if stream is None or typed is None:
            return
        carried = typed.pending.pop(ack.nonce, frozenset())
        typed.acknowledged = ack.version
        self._forget_refusals(stream, type_url, typed, carried)
        typed.settle(self._intended(stream, type_url), now)

    def nacked(self, peer: Peer, type_url: str, nack: Nack, now: float) -> Refusal | None:
        """Note that a response was refused."""
        stream = self._streams.get(peer.stream)
        typed = stream.types.get(type_url) if stream else None
        if stream is None or typed is None:
            return None
        typed.pending.pop(nack.nonce, None)
        typed.refusal = Refusal(version=nack.version, message=nack.message, names=tuple(sorted(nack.names)), at=now)
        typed.settle(self._intended(stream, type_url), now)
        return typed.refusal

    def settle(self, peer: Peer, version: str, now: float) -> None:
        """Note that a stream's client has answered all of its fleet's snapshot of a version."""
        stream = self._streams.get(peer.stream)
        if stream is None:
            return
        stream.settled = version
        if version != self._version(stream.fleet):
            return
        for type_url, typed in stream.types.items():
            # Also where no response was due for it, as when only what the client never asked for has changed.
            intended = self._intended(stream, type_url)
            if typed.refusal is None:
                typed.acknowledged = intended
            typed.settle(intended, now)

    def resources(self, type_url: str, version: str) -> Resources | None:
        """Return the resources of a version that some member is to have or has accepted; None if not known."""
        return self._known.get((type_url, version)) if version else Resources()

    def fleet(self, peer: Peer) -> str:
        """Return the fleet that a client belongs to, the default one if it named none."""
        return peer.fleet or (self._snapshots.default if self._snapshots else "")

    def members(self) -> tuple[Member, ...]:
        """Return all, by fleet and node; one that is gone and came back only once."""
        places: dict[tuple[str, str], list[_Stream]] = {}
        for stream in self._streams.values():
            places.setdefault((stream.fleet, stream.peer.node), []).append(stream)
        found = {place: self._member(place, streams) for place, streams in places.items()}
        return tuple(member for _, member in sorted((self._gone | found).items()))

    def _remember(self, snapshots: Snapshots) -> None:
        accepted = {
            (type_url, typed.acknowledged)
            for stream in self._streams.values()
            for type_url, typed in stream.types.items()
        }
        kept = {place: resources for place, resources in self._known.items() if place in accepted}
        intended = (each for snap in (*snapshots.fleets.values(), snapshots.empty) for each in snap.resources.items())
        self._known = kept | {(type_url, resources.version): resources for type_url, resources in intended}

    def _of(self, place: tuple[str, str]) -> list[_Stream]:
        return [each for each in self._streams.values() if (each.fleet, each.peer.node) == place]

    def _member(self, place: tuple[str, str], streams: list[_Stream]) -> Member:
        newest = max(streams, key=lambda stream: stream.peer.stream)
        typed: dict[str, tuple[_Stream, _Typed]] = {}
        for stream in streams:  # in the order in which they were opened: the newest has the last word
            typed |= {type_url: (stream, each) for type_url, each in stream.types.items()}
        order = (*ADS_ORDER, *sorted(typed.keys() - set(ADS_ORDER)))
        types = tuple(self._state(type_url, *typed[type_url]) for type_url in order if type_url in typed)
        return Member(
            fleet=place[0],
            node=place[1],
            address=newest.peer.address,
            variant=newest.peer.variant,
            streams=len(streams),
            since=min(stream.since for stream in streams),
            standing=worst(state.standing for state in types) if types else Standing.WAITING,
            types=types,
        )

    def _state(self, type_url: str, stream: _Stream, typed: _Typed) -> TypeState:
        return TypeState(
            type_url=type_url,
            intended=self._intended(stream, type_url),
            sent=typed.sent,
            acknowledged=typed.acknowledged,
            refusal=typed.refusal,
            standing=typed.standing,
            since=typed.since,
        )

    def _forget_refusals(
        self, stream: _Stream, type_url: str, typed: _Typed, accepted: frozenset[str] = frozenset()
    ) -> None:
        """Keep of a refusal only what was not accepted since and is still to be had."""
        if typed.refusal is None:
            return
        wanted = self._snapshot(stream.fleet).of(type_url)
        left = tuple(name for name in typed.refusal.names if name not in accepted and name in wanted)
        if left != typed.refusal.names:
            refusal = typed.refusal
            typed.refusal = (
                Refusal(version=refusal.version, message=refusal.message, names=left, at=refusal.at) if left else None
            )

    def _snapshot(self, fleet: str) -> Snapshot:
        return Snapshot() if self._snapshots is None else self._snapshots.of(fleet)

    def _intended(self, stream: _Stream, type_url: str) -> str:
        return self._snapshot(stream.fleet).of(type_url).version

    def _version(self, fleet: str) -> str:
        if fleet not in self._versions:
            self._versions[fleet] = self._snapshot(fleet).version
        return self._versions[fleet]


def worst(standings: Iterable[Standing]) -> Standing:
    """Return the worst of some standings."""
    return min(standings, key=_WORST.index)


def by_standing(members: Iterable[Member]) -> Mapping[tuple[str, Standing], int]:
    """Count members by fleet and standing."""
    counts: dict[tuple[str, Standing], int] = {}
    for member in members:
        place = (member.fleet, member.standing)
        counts[place] = counts.get(place, 0) + 1
    return counts
