"""The arrow from a reading to snapshots: the pure stages in a row.

In: a ``Reading``. Out: a ``Build``. It has no I/O, clock or logger; what it remembers (``Memo``, and the last good
form of routes and fleets) lives as long as the object. It must not know which source read, or who is served.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from swarm_xds.labels import Memory, ServiceIntent, parse
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet, RoutingModel
from swarm_xds.plan import build as plan
from swarm_xds.problem import Kind, Problem, Severity, ordered
from swarm_xds.snapshot import Snapshot, Snapshots, snapshot
from swarm_xds.swarm import Service, SwarmState
from swarm_xds.translate import translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What came of one reading: what is to be served, as a model and as resources, and all problems in order."""

    model: RoutingModel
    snapshots: Snapshots
    problems: tuple[Problem, ...]


class Pipeline:
    """Builds snapshots from readings, one after the other."""

    def __init__(self, options: EdgeOptions, default_fleet: str) -> None:
        self._options = options
        self._default_fleet = default_fleet
        self._memo = Memo()
        self._memory = Memory()
        self._last: dict[str, Snapshot] = {}
        self._empty = self._snapshot(Fleet(name=""))

    def build(self, state: SwarmState, problems: Iterable[Problem] = ()) -> Build:
        """Return the build of a state, with the source's own problems among its own."""
        found = list(problems)
        services = sorted(state.services, key=lambda service: (service.created, service.name, service.id))
        intents: list[ServiceIntent] = []
        for service in services:
            intent, bad = self._memo.keep(("parse", service.id), service, partial(parse, service))
            intents.append(intent)
            found += bad
        kept, bad = self._memory.keep_last_good(intents)
        found += bad
        model, bad = self._plan(state, services, kept)
        found += bad
        fleets: dict[str, Snapshot] = {}
        for fleet in model.fleets:
            try:
                fleets[fleet.name] = self._snapshot(fleet)
            except Exception as error:
                found.append(_not_translated(fleet, error))
                fleets[fleet.name] = self._last.get(fleet.name, self._empty)
        self._last = fleets
        self._memo.sweep()
        snapshots = Snapshots(fleets=fleets, empty=self._empty, default=self._default_fleet)
        return Build(model=model, snapshots=snapshots, problems=ordered(found))

    def _plan(
        self, state: SwarmState, services: list[Service], intents: Iterable[ServiceIntent]
    ) -> tuple[RoutingModel, tuple[Problem, ...]]:
        return plan(state, zip(services, intents, strict=True), self._default_fleet)

    def _snapshot(self, fleet: Fleet) -> Snapshot:
        return snapshot(translate(fleet, self._options, self._memo), self._memo)


def _not_translated(fleet: Fleet, error: Exception) -> Problem:
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.NOT_TRANSLATED,
        reason=f"fleet {fleet.name} keeps its last good configuration: {type(error).__name__}: {error}",
        cure="this is a defect of swarm-xds: please report it with the labels of the newest change",
    )
