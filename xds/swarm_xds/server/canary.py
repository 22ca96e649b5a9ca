"""What each client may have while a new snapshot is tried on one of its fleet first.

In: what is published, and what clients make of it. Out: the snapshots that a client is to have now (``of``), when to
look again (``deadline``), and what happened (``Event``). Pure: time is passed in. It must not know the streams.

A snapshot that differs from what a fleet has is given to one client of the fleet, the first by node id: its *canary*.
When that has accepted all of it, and a quiet moment has passed, the others are given it too. If it rejects something
that it did not reject before, it goes back to what the others have, and they never see it; what the quarantine makes of
that is published, and tried in turn. Endpoints of clusters that stay as they are never wait: tasks that are gone would
be asked in vain (docs/adr/038).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from swarm_xds.snapshot import CLUSTER, ENDPOINT, Resources, Snapshot, Snapshots

#: Canaries that may go away from one snapshot: another may be what makes them go.
_LOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryOptions:
    """How long a new snapshot is tried, in seconds.

    Attributes:
        quiet: How long after the canary's answer the others are given it.
        limit: How long after the first change they are given what there is, if no answer comes.
    """

    quiet: float
    limit: float


class Stage(StrEnum):
    """What happened to a snapshot."""

    TRIED = "tried"
    """It is given to the canary."""
    PASSED = "passed"
    """The others are given it, after the canary's answer."""
    OVERDUE = "overdue"
    """The others are given it without one, or what was accepted last."""
    REJECTED = "rejected"
    """The canary is given back what the others have, which stays."""
    LOST = "lost"
    """The same, since one canary after the other went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, to be told."""

    stage: Stage
    fleet: str
    node: str
    version: str


@dataclass(slots=True, kw_only=True)
class _Trial:
    """A fleet's snapshot on trial.

    Attributes:
        canary: Node id; empty while nobody is there.
        passed: The last that a canary accepted whole, be there a newer one now.
        quiet_until: When it has been accepted for long enough; None while no answer to it is there.
        refused: Whether it is given to nobody any more.
        lost: How many canaries went away.
    """

    candidate: Snapshot
    canary: str
    limit: float
    passed: Snapshot | None = None
    quiet_until: float | None = None
    refused: bool = False
    lost: int = 0

    @property
    def over(self) -> bool:
        """Whether it is refused for what it is, and not only for now."""
        return self.refused and self.lost < _LOST


@dataclass(slots=True)
class _Fleet:
    """What is known of a fleet.

    Attributes:
        proven: What all of its clients may have.
        streams: Node ids by number of stream.
        rejects: By node, the types of which it uses something other than what is proven.
    """

    proven: Snapshot
    trial: _Trial | None = None
    rejects: dict[str, frozenset[str]] = field(default_factory=dict)


class Canary:
    """Tries snapshots; without options everything published is everybody's at once."""

    def __init__(self, options: CanaryOptions | None = None) -> None:
        self._options = options
        self._latest: Snapshots | None = None
        self._everyones: Snapshots | None = None
        self._fleets: dict[str, _Fleet] = {}
        self._streams: dict[int, tuple[str, str]] = {}
        self._events: list[Event] = []

    @property
    def everyones(self) -> Snapshots | None:
        """What a client that connects now is given; ``None`` before the first publication."""
        return self._everyones

    @property
    def deadline(self) -> float | None:
        """When ``tick`` is to be called if nothing else happens; ``None`` for never."""
        trials = (each.trial for each in self._fleets.values() if each.trial is not None and not each.trial.over)
        ends = (trial.limit if trial.quiet_until is None else min(trial.limit, trial.quiet_until) for trial in trials)
        return min(ends, default=None)

    def of(self, node: str, fleet: str) -> Snapshots | None:
        """Return what a client is to have now."""
        known = self._known(fleet)
        trial = known.trial if known is not None else None
        return self._latest if trial is not None and trial.canary == node and not trial.refused else self._everyones

    def events(self) -> tuple[Event, ...]:
        """Return what has happened since this was asked last."""
        told, self._events = tuple(self._events), []
        return told

    def publish(self, snapshots: Snapshots, now: float) -> None:
        """Take what all are to have in the end."""
        self._latest = snapshots
        fleets: dict[str, _Fleet] = {}
        for name, wanted in snapshots.fleets.items():
            fleets[name] = known = self._fleets.get(name) or _Fleet(wanted)
            self._want(name, known, wanted, now)
        self._fleets = fleets
        self._compose()

    def opened(self, stream: int, node: str, fleet: str) -> None:
        """Note that a client is there; it is given what is everybody's."""
        self._streams[stream] = node, fleet

    def closed(self, stream: int, now: float) -> None:
        """Note that a stream ended; the canary is another if it was its last."""
        node, fleet = self._streams.pop(stream, ("", ""))
        known, name = self._known(fleet), self._name(fleet)
        if known is None or node in self._nodes(name):
            return
        known.rejects.pop(node, None)
        trial = known.trial
        if trial is None or trial.canary != node:
            return
        if trial.refused:
            # It may have been for reasons of its own: another is asked.
            known.trial = None
            self._want(name, known, trial.candidate, now)
            self._compose()
            return
        trial.lost += 1
        trial.quiet_until = None
        trial.canary = self._first(name)
        if trial.lost >= _LOST:
            self._refuse(name, trial, Stage.LOST, node)
        elif trial.canary:
            self._tell(Stage.TRIED, name, trial.canary, trial.candidate)

    def rejected(self, node: str, fleet: str, type_url: str, versions: Iterable[tuple[str, str]]) -> None:
        """Note that a client rejected resources of these names and versions."""
        known = self._known(fleet)
        trial = known.trial if known is not None else None
        if known is None or trial is None or trial.canary != node or trial.refused:
            return
        resources, proven = trial.candidate.of(type_url), known.proven.of(type_url)
        about = [(name, version) for name, version in versions if name in resources]
        if not about or any(resources[name].version != version for name, version in about):
            # It is about what was published before, and the answer to this is still to come.
            return
        if any(name not in proven or proven[name].version != version for name, version in about):
            self._refuse(self._name(fleet), trial, Stage.REJECTED, node)

    def answered(self, node: str, fleet: str, version: str, rejected: frozenset[str], now: float) -> None:
        """Note that a client has answered all of a snapshot, and the types of which it does not use all."""
        known, name = self._known(fleet), self._name(fleet)
        if known is None:
            return
        trial = known.trial
        if version == known.proven.version:
            known.rejects[node] = rejected
            if trial is not None and not trial.canary and not trial.refused:
                trial.canary = node
                self._tell(Stage.TRIED, name, node, trial.candidate)
        if self._options is None or trial is None or trial.canary != node or trial.candidate.version != version:
            return
        if trial.refused:
            return
        if rejected - known.rejects.get(node, frozenset()):
            self._refuse(name, trial, Stage.REJECTED, node)
        else:
            trial.passed, trial.quiet_until = trial.candidate, now + self._options.quiet
            self.tick(now)

    def tick(self, now: float) -> None:
        """Go on with what has been tried for long enough."""
        for name, known in self._fleets.items():
            trial = known.trial
            if trial is None or trial.over:
                continue
            if trial.refused:
                if now >= trial.limit:
                    known.trial = None
                    self._want(name, known, trial.candidate, now)
            elif trial.quiet_until is not None and now >= trial.quiet_until:
                self._tell(Stage.PASSED, name, trial.canary, trial.candidate)
                known.proven, known.trial = trial.candidate, None
            elif now >= trial.limit:
                self._go_on(name, known, trial, now)
        self._compose()

    def _go_on(self, name: str, known: _Fleet, trial: _Trial, now: float) -> None:
        """Give everybody what was accepted last, or else what there is."""
        target = trial.passed or trial.candidate
        self._tell(Stage.OVERDUE, name, trial.canary, target)
        known.proven, known.trial = target, None
        self._want(name, known, trial.candidate, now)

    def _want(self, name: str, known: _Fleet, wanted: Snapshot, now: float) -> None:
        trial = known.trial
        if self._options is None or not self._nodes(name):
            known.proven, known.trial = wanted, None
            return
        known.proven = _refreshed(known.proven, wanted)
        if wanted.version == known.proven.version:
            known.trial = None
        elif trial is not None and _refreshed(trial.candidate, wanted).version == wanted.version:
            # No more than endpoints are new, which every client is given anyway.
            trial.passed = wanted if trial.quiet_until is not None else trial.passed
            trial.candidate = wanted
        elif trial is not None and not trial.refused:
            trial.candidate, trial.quiet_until, trial.lost = wanted, None, 0
        else:
            known.trial = _Trial(candidate=wanted, canary=self._first(name), limit=now + self._options.limit)
            self._tell(Stage.TRIED, name, known.trial.canary, wanted)

    def _refuse(self, name: str, trial: _Trial, stage: Stage, node: str) -> None:
        trial.refused = True
        self._tell(stage, name, node, trial.candidate)

    def _known(self, fleet: str) -> _Fleet | None:
        return self._fleets.get(self._name(fleet))

    def _name(self, fleet: str) -> str:
        return fleet or (self._latest.default if self._latest is not None else "")

    def _nodes(self, name: str) -> set[str]:
        return {node for node, fleet in self._streams.values() if self._name(fleet) == name}

    def _first(self, name: str) -> str:
        return min(self._nodes(name), default="")

    def _tell(self, stage: Stage, fleet: str, node: str, snapshot: Snapshot) -> None:
        if self._options is not None:
            self._events.append(Event(stage=stage, fleet=fleet, node=node, version=snapshot.version))

    def _compose(self) -> None:
        """Put together what everybody is to have, which is the very same object while nothing in it changes."""
        latest, before = self._latest, self._everyones
        if latest is None:
            return
        proven = {name: known.proven for name, known in self._fleets.items()}
        if all(proven[name] is latest.fleets[name] for name in proven):
            self._everyones = latest
        elif before is None or before.empty is not latest.empty or before.fleets != proven:
            self._everyones = Snapshots(fleets=proven, empty=latest.empty, default=latest.default)


def _refreshed(proven: Snapshot, wanted: Snapshot) -> Snapshot:
    """Return what is proven with the endpoints that are wanted of clusters that stay as they are."""
    if wanted.version == proven.version:
        return wanted
    clusters, endpoints = wanted.of(CLUSTER), wanted.of(ENDPOINT)
    fresh = [
        endpoints[name] if name in endpoints and clusters.get(name) == proven.of(CLUSTER).get(name) else each
        for name, each in proven.of(ENDPOINT).items()
    ]
    if fresh == list(proven.of(ENDPOINT).values()):
        return proven
    return Snapshot({**proven.resources, ENDPOINT: Resources(fresh)})
