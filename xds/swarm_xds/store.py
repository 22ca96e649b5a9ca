"""The file in which the last good snapshots survive the process.

In: snapshots as they are published. Out: a file that is whole at any time, and what it holds at the next start. It must
not know what is in a snapshot, nor who is served.
"""

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

import structlog

from swarm_xds.snapshot import Snapshots
from swarm_xds.snapshot.kept import DamagedError, Failure, Kept, dump, parse

_log = structlog.get_logger("swarm_xds")
#: Seconds between two writings at least: a busy swarm must not wear out a disk.
_PAUSE = 1.0
#: Seconds until a file that could not be written is tried again.
_RETRY = 30.0
_OWNER_ONLY = 0o600


def read(path: Path) -> Kept:
    """Read a file.

    Raises:
        OSError: It cannot be read.
        DamagedError: It is not what was written.
    """
    return parse(path.read_bytes())


def write(path: Path, content: bytes) -> None:
    """Put a new file in the place of the one before, in one step and for its owner only.

    Raises:
        OSError: It cannot be written; then the one before is untouched.
    """
    # Not by the number of the process, which two containers on one volume may share.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    # The new name is on the disk only when the folder is.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Store:
    """Keeps the latest snapshots in a file, and never stands in the way of serving them.

    Args:
        path: The file; its folder must exist.
        now: Returns the time of day.
        pause: Seconds between two writings at least.
        retry: Seconds until a file that could not be written is tried again.
        on_failure: Is told each time that the file is of no use.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: float = _PAUSE,
        retry: float = _RETRY,
        on_failure: Callable[[Failure], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._now = now
        self._pause = pause
        self._retry = retry
        self._on_failure = on_failure
        self._latest: Snapshots | None = None
        self._kept: object = None
        self._wake = asyncio.Event()
        self._failure = ""

    def restore(self) -> Kept | None:
        """Return what the file holds; ``None`` if there is none or it is damaged, which sets it aside.

        Call it before anything is kept: what a killed process had begun to write is taken away.
        """
        for begun in self._path.parent.glob(f".{escape(self._path.name)}.*"):
            with suppress(OSError):
                begun.unlink()
        try:
            kept = read(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._on_failure(Failure.UNREADABLE)
            _log.warning("snapshot.unreadable", file=str(self._path), error=error.strerror)
            return None
        except DamagedError as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            moved: dict[str, str] = {}
            with suppress(OSError):
                self._path.replace(aside)
                moved["moved_to"] = str(aside)
            self._on_failure(Failure.DAMAGED)
            _log.error("snapshot.damaged", file=str(self._path), error=str(error), **moved)
            return None
        self._kept = _version(kept.snapshots)
        return kept

    def keep(self, snapshots: Snapshots) -> None:
        """Have these written soon."""
        self._latest = snapshots
        self._wake.set()

    async def run(self) -> None:
        """Write what is to be kept, the latest only, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if await self._write():
                await asyncio.sleep(self._pause)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._retry):
                    await self._wake.wait()
            await asyncio.sleep(self._pause)
            self._wake.set()

    async def flush(self) -> None:
        """Write what is to be kept and was not written yet."""
        if self._wake.is_set():
            self._wake.clear()
            await self._write()

    async def _write(self) -> bool:
        """Write what is to be kept, and say whether the file holds it now."""
        snapshots = self._latest
        if snapshots is None or _version(snapshots) == self._kept:
            return True
        try:
            await asyncio.to_thread(self._dump, snapshots)
        except OSError as error:
            self._on_failure(Failure.NOT_WRITTEN)
            reason = error.strerror or str(error)
            if reason != self._failure:
                self._failure = reason
                _log.warning("snapshot.not_kept", file=str(self._path), error=reason)
            return False
        self._kept, self._failure = _version(snapshots), ""
        return True

    def _dump(self, snapshots: Snapshots) -> None:
        write(self._path, dump(Kept(snapshots=snapshots, written=self._now())))


def _version(snapshots: Snapshots) -> object:
    fleets = {name: fleet.version for name, fleet in snapshots.fleets.items()}
    return fleets, snapshots.empty.version, snapshots.default
