"""The latest snapshots, and which streams have them.

In: ``publish`` from the pipeline, and what clients make of it (``canary``). Out: a wake-up for each stream, which then
looks at what it is to have (``of``); so a slow one skips what it has missed, and nobody waits for it. It must not know
gRPC or the protocol.

Everything here runs on one event loop; another thread goes through ``loop.call_soon_threadsafe(publisher.publish, …)``.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from swarm_xds.server.canary import Canary, CanaryOptions, Event
from swarm_xds.snapshot import Snapshots


class Watcher:
    """One stream's place at the publisher."""

    __slots__ = ("_fleet", "_node", "_settled", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        #: Called on each publication; must return at once.
        self.wake = wake
        self._node = ""
        self._fleet: str | None = None
        self._settled: str | None = None

    def settle(self, node: str, fleet: str, version: str | None) -> None:
        """Note the snapshot that the stream's client has answered in full; ``None`` while it is on its way."""
        self._node, self._fleet, self._settled = node, fleet, version

    def has(self, canary: Canary) -> bool:
        """Whether the stream's client has answered in full what it is to have."""
        if self._fleet is None:
            return False
        snapshots = canary.of(self._node, self._fleet)
        return snapshots is not None and self._settled == snapshots.of(self._fleet).version


class Publisher:
    """Holds the latest snapshots and wakes the streams.

    Args:
        options: How a new snapshot is tried on one client of a fleet first; None: it is everybody's at once.
        told: Is told what comes of that.
        served: Is told what a client that connects from now on is given.
    """

    def __init__(
        self,
        options: CanaryOptions | None = None,
        *,
        told: Callable[[Event], None] = lambda _: None,
        served: Callable[[Snapshots], None] = lambda _: None,
    ) -> None:
        self._canary = Canary(options)
        self._told = told
        self._served = served
        self._timer: asyncio.TimerHandle | None = None
        self._latest: Snapshots | None = None
        self._everyones: Snapshots | None = None
        self._watchers: set[Watcher] = set()
        self._changed = asyncio.Event()

    @property
    def latest(self) -> Snapshots | None:
        """What was published last; ``None`` before the first time, when streams answer nothing."""
        return self._latest

    @property
    def streams(self) -> int:
        """How many streams are connected."""
        return len(self._watchers)

    def of(self, node: str, fleet: str) -> Snapshots | None:
        """Return the snapshots of which a client is to have its fleet's now; ``None`` before the first publication."""
        return self._canary.of(node, fleet)

    def publish(self, snapshots: Snapshots) -> None:
        """Make these the snapshots that every client is to have in the end, and return at once.

        Streams whose fleet's snapshot has the same version send nothing.
        """
        self._latest = snapshots
        self._canary.publish(snapshots, time.monotonic())
        self._go_on()
        self._wake()

    def opened(self, stream: int, node: str, fleet: str) -> None:
        """Note that a client has sent its first request."""
        self._canary.opened(stream, node, fleet)

    def closed(self, stream: int) -> None:
        """Note that a client's stream has ended."""
        self._canary.closed(stream, time.monotonic())
        self._go_on()

    def rejected(self, node: str, fleet: str, type_url: str, versions: Iterable[tuple[str, str]]) -> None:
        """Note that a client has rejected resources of these names and versions."""
        self._canary.rejected(node, fleet, type_url, versions)
        self._go_on()

    def verdict(self, node: str, fleet: str, version: str, rejected: frozenset[str]) -> None:
        """Note that a client has answered all of a snapshot, and of which types it rejected something."""
        self._canary.answered(node, fleet, version, rejected, time.monotonic())
        self._go_on()

    def _go_on(self) -> None:
        """Do what follows from anything that happened."""
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._canary.deadline
        self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - time.monotonic()), self._tick)
        events, everyones = self._canary.events(), self._canary.everyones
        for event in events:
            self._told(event)
        if everyones is not None and everyones is not self._everyones:
            self._served(everyones)
        if events or everyones is not self._everyones:
            self._everyones = everyones
            self._wake()

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake()
        self._notify()

    def _tick(self) -> None:
        self._canary.tick(time.monotonic())
        self._go_on()

    async def published(self) -> Snapshots:
        """Wait for the first publication, and return the latest."""
        while self._latest is None:
            await self._changed.wait()
        return self._latest

    async def answered(self, *, streams: int = 1) -> None:
        """Wait until the clients of all connected streams, at least ``streams``, have answered their snapshot.

        That is: everything is sent and accepted or rejected, and nothing stale is left. It holds for the snapshots
        that are the latest then. For tests and the demo, which wait on facts.
        """
        while not self._all_have(streams):
            await self._changed.wait()

    def watch(self, wake: Callable[[], None]) -> Watcher:
        """Have ``wake`` called on each publication, until ``leave``."""
        watcher = Watcher(wake)
        self._watchers.add(watcher)
        self._notify()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)
        self._notify()

    def settle(self, watcher: Watcher, node: str, fleet: str, version: str | None) -> None:
        """Note the snapshot that a watcher's client has answered in full; ``None`` while it is on its way."""
        watcher.settle(node, fleet, version)
        self._notify()

    def _all_have(self, streams: int) -> bool:
        if self._latest is None or len(self._watchers) < streams:
            return False
        return all(watcher.has(self._canary) for watcher in self._watchers)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
