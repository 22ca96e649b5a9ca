"""The latest snapshots, and which streams have them.

In: ``publish`` from the pipeline. Out: a wake-up for each stream, which then looks at ``latest``; so a slow one skips
what it has missed, and nobody waits for it. It must not know gRPC or the protocol.

Everything here runs on one event loop; another thread goes through ``loop.call_soon_threadsafe(publisher.publish, …)``.
"""

import asyncio
from collections.abc import Callable

from swarm_xds.snapshot import Snapshots


class Watcher:
    """One stream's place at the publisher."""

    __slots__ = ("_fleet", "_settled", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        #: Called on each publication; must return at once.
        self.wake = wake
        self._fleet: str | None = None
        self._settled: str | None = None

    def settle(self, fleet: str, version: str | None) -> None:
        """Note the snapshot that the stream's client has answered in full; ``None`` while it is on its way."""
        self._fleet, self._settled = fleet, version

    def has(self, snapshots: Snapshots) -> bool:
        """Whether the stream's client has answered its fleet's snapshot in full."""
        return self._fleet is not None and self._settled == snapshots.of(self._fleet).version


class Publisher:
    """Holds the latest snapshots and wakes the streams."""

    def __init__(self) -> None:
        self._latest: Snapshots | None = None
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

    def publish(self, snapshots: Snapshots) -> None:
        """Make these the snapshots that every client is to have, and return at once.

        Streams whose fleet's snapshot has the same version send nothing.
        """
        self._latest = snapshots
        for watcher in self._watchers:
            watcher.wake()
        self._notify()

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

    def settle(self, watcher: Watcher, fleet: str, version: str | None) -> None:
        """Note the snapshot that a watcher's client has answered in full; ``None`` while it is on its way."""
        watcher.settle(fleet, version)
        self._notify()

    def _all_have(self, streams: int) -> bool:
        latest = self._latest
        if latest is None or len(self._watchers) < streams:
            return False
        return all(watcher.has(latest) for watcher in self._watchers)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
