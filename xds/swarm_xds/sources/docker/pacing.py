"""What to read next, and when: the engine tells of no change to a task, so tasks are polled.

In: what happened (an event, a reading and what it cost) and the time. Out: which services' tasks are due, and how long
to wait. Pure: ``now`` is an argument, in seconds of any clock that does not go back.

A service in flux is read often, the rest seldom, and one that stays in flux with nothing happening (it cannot be
placed, it crashes) ever less often. Reads never take more than a quarter of the time, however slow the engine.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf

#: Services asked for in one call: a longer question would hold up the answers to others.
BATCH = 64
#: After a read that took t seconds, the next of its kind waits at least this many times t.
REST = 3.0
#: The same after a full resync.
RESYNC_REST = 20.0
#: Nothing has happened for t seconds: the next read may wait t divided by this.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How often to read and how long to wait, in seconds.

    Attributes:
        burst: Between the first reads after a change, which seldom comes alone.
        fast: Between reads of a service in flux.
        slow: Between reads of any other service.
        resync: Between readings of everything, each with a fresh event stream, since events can be lost.
        linger: How long a service counts as in flux after an event.
        retry_first: Before the first new try when no engine answers; doubled each time.
        retry_cap: The longest such wait.
        call: Longest time that a call may take.
        doubt: Until what is missing from a list against all odds, with nothing telling of it, is believed to be gone.
    """

    burst: float = 0.01
    fast: float = 0.05
    slow: float = 1.0
    resync: float = 30.0
    linger: float = 3.0
    retry_first: float = 0.1
    retry_cap: float = 5.0
    call: float = 10.0
    doubt: float = 30.0


@dataclass(slots=True)
class _Service:
    read_at: float = -inf
    changed_at: float = -inf
    hot_until: float = -inf
    moving: bool = False
    updating: bool = False


class Pacing:
    """Decides which reads are due."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._services: dict[str, _Service] = {}
        self._fast_gate = -inf
        self._slow_gate = -inf
        self._resync_at = -inf

    def watch(self, service_ids: Collection[str]) -> None:
        """Make these the services that are read."""
        for gone in self._services.keys() - set(service_ids):
            del self._services[gone]
        for service_id in service_ids:
            self._services.setdefault(service_id, _Service())

    def touched(self, service_ids: Iterable[str], now: float) -> None:
        """An event told of these services (or of a node that they run on)."""
        for service_id in service_ids:
            if service := self._services.get(service_id):
                service.changed_at = now
                service.hot_until = now + self._timings.linger

    def noted(self, service_id: str, now: float, *, moving: bool, updating: bool, changed: bool) -> None:
        """A reading showed the service.

        Args:
            service_id: The service; one that is not watched is ignored.
            now: The time.
            moving: It does not yet have what it is to have.
            updating: The engine is replacing its tasks; that ends by itself, so patience with it does not run out.
            changed: It, or a task of it, is not what it was at the last reading.
        """
        if service := self._services.get(service_id):
            service.moving, service.updating = moving, updating
            if changed:
                service.changed_at = now

    def tasks_read(self, service_ids: Collection[str], now: float, cost: float) -> None:
        """The tasks of these services were read; the call ended now and took ``cost`` seconds."""
        hot = False
        for service_id in service_ids:
            if service := self._services.get(service_id):
                hot = hot or self._is_hot(service, now)
                service.read_at = now
        if hot:
            self._fast_gate = now + REST * cost
        else:
            self._slow_gate = now + REST * cost

    def resynced(self, now: float, cost: float) -> None:
        """Everything was read; it ended now and took ``cost`` seconds."""
        self._resync_at = now + max(self._timings.resync, RESYNC_REST * cost)

    def resync_soon(self) -> None:
        """Something was lost: read everything at once."""
        self._resync_at = -inf

    def resync_due(self, now: float) -> bool:
        """Whether to read everything."""
        return now >= self._resync_at

    def due(self, now: float) -> tuple[str, ...]:
        """Return the services whose tasks to read in one call, at most ``BATCH``; services in flux go first."""
        for gate, hot in ((self._fast_gate, True), (self._slow_gate, False)):
            if now < gate:
                continue
            waits = {i: self._wait(s, now) for i, s in self._services.items() if self._is_hot(s, now) is hot}
            if any(now >= self._services[i].read_at + wait for i, wait in waits.items()):
                # Take along what is due soon, so that services settle on common calls.
                return self._longest_unread([i for i, w in waits.items() if now >= self._services[i].read_at + w / 2])
        return ()

    def delay(self, now: float) -> float:
        """Return the seconds until something is due."""
        at = self._resync_at
        for service in self._services.values():
            gate = self._fast_gate if self._is_hot(service, now) else self._slow_gate
            at = min(at, max(gate, service.read_at + self._wait(service, now)))
        return max(0.0, at - now)

    def _is_hot(self, service: _Service, now: float) -> bool:
        return service.moving or service.updating or now < service.hot_until

    def _wait(self, service: _Service, now: float) -> float:
        if not self._is_hot(service, now):
            return self._timings.slow
        quiet = service.read_at - service.changed_at if service.read_at > -inf else 0.0
        wait = min(self._timings.fast, max(self._timings.burst, quiet / 2))
        if service.updating:
            return wait
        return min(max(wait, quiet / PATIENCE), max(self._timings.fast, self._timings.slow))

    def _longest_unread(self, service_ids: list[str]) -> tuple[str, ...]:
        oldest = sorted(service_ids, key=lambda i: self._services[i].read_at)[:BATCH]
        return tuple(sorted(oldest))
