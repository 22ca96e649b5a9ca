"""Beside the arrow: what is published is shown to ``envoy --mode validate`` too, off the hot path.

In: snapshots. Out: a ``Finding`` for each, given to a callback. It must not know services, nor what becomes of it.

One process at a time, of the latest snapshots only, and for no longer than a limit. The configuration is a file of mode
0600 in a folder of its own that only its owner can enter, since keys are in it; both are gone when Envoy has ended.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource, Resources, Snapshot, Snapshots
from swarm_xds.snapshot.static import static

_log = structlog.get_logger("swarm_xds")
_WORDS = re.compile(r"error initializing configuration '[^']*': (.*)", re.DOTALL)
_KEY = re.compile(r"-----BEGIN[^-]*PRIVATE KEY-----.*?(?:-----END[^-]*PRIVATE KEY-----|$)", re.DOTALL)
#: Bytes of what Envoy says that are read.
_SAID = 65_536
#: Envoy opens no port while it only validates.
_NO_PORT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What Envoy says to a fleet's snapshot.

    Attributes:
        version: The snapshot's.
        type_url: The type that is to blame; empty if all is well.
        message: Envoy's words; a private key is not in them.
        suspects: Name, version and the version that was good before (empty if none) of what may be to blame.
    """

    fleet: str
    version: str
    type_url: str = ""
    message: str = ""
    suspects: tuple[tuple[str, str, str], ...] = ()


class Examiner:
    """Has snapshots examined one after the other.

    Args:
        binary: The Envoy; None: nothing is examined.
        limit: Seconds that one examination may take.
        found: Is given each finding.
    """

    def __init__(self, binary: Path | None, limit: float, found: Callable[[Finding], None]) -> None:
        self._binary = binary
        self._limit = limit
        self._found = found
        self._latest: Snapshots | None = None
        self._wake = asyncio.Event()
        self._good: dict[str, Snapshot] = {}
        self._seen: dict[str, str] = {}

    def want(self, snapshots: Snapshots) -> None:
        """Have these examined instead of what still waits."""
        self._latest = snapshots
        self._wake.set()

    async def run(self) -> None:
        """Examine what is wanted, for ever."""
        while self._binary is not None:
            await self._wake.wait()
            self._wake.clear()
            if self._latest is not None:
                await self._examine(self._binary, self._latest)

    async def _examine(self, binary: Path, snapshots: Snapshots) -> None:
        for fleet, snapshot in snapshots.fleets.items():
            if self._wake.is_set():
                return
            if self._seen.get(fleet) == snapshot.version:
                continue
            try:
                finding = await self._judge(binary, fleet, snapshot)
            except TimeoutError:
                _log.warning("examination.too_long", fleet=fleet, seconds=self._limit)
                continue
            except Exception as error:
                # Nobody is served less for it.
                _log.warning("examination.failed", fleet=fleet, error=f"{type(error).__name__}: {error}")
                continue
            self._seen[fleet] = snapshot.version
            if not finding.type_url:
                self._good[fleet] = snapshot
            self._found(finding)

    async def _judge(self, binary: Path, fleet: str, snapshot: Snapshot) -> Finding:
        message = await self._words(binary, snapshot)
        if not message:
            return Finding(fleet=fleet, version=snapshot.version)
        good = self._good.get(fleet, Snapshot())
        type_url = LISTENER
        for step, part in _steps(good, snapshot):
            words = await self._words(binary, part)
            if words:
                type_url, message = step, words
                break
        before = good.of(type_url)
        known = {name: each.version for name, each in before.items()}
        suspects = tuple(
            (name, each.version, known.get(name, ""))
            for name, each in snapshot.of(type_url).items()
            if known.get(name) != each.version
        )
        return Finding(fleet=fleet, version=snapshot.version, type_url=type_url, message=message, suspects=suspects)

    async def _words(self, binary: Path, snapshot: Snapshot) -> str:
        """Return what Envoy says against a snapshot; nothing if that is all right.

        Raises:
            OSError: Envoy cannot be started.
            TimeoutError: It takes too long.
        """
        content = await asyncio.to_thread(lambda: static(snapshot, _NO_PORT).SerializeToString())
        with tempfile.TemporaryDirectory(prefix="swarm-xds-") as folder:
            path = os.path.join(folder, "envoy.pb")  # noqa: PTH118 - a text is what the command takes
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: ASYNC230, PTH123
                file.write(content)
            process = await asyncio.create_subprocess_exec(
                *(str(binary), "--mode", "validate", "-c", path, "-l", "critical"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(self._limit):
                    said = await _read(process)
                    status = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return "" if status == 0 else _text(said)


async def _read(process: asyncio.subprocess.Process) -> bytes:
    """Return the end of what a process says."""
    said = b""
    while process.stderr is not None and (more := await process.stderr.read(_SAID)):
        said = (said + more)[-_SAID:]
    return said


def _text(said: bytes) -> str:
    text = said.decode(errors="replace").strip()
    found = _WORDS.search(text)
    return _KEY.sub("[redacted]", found[1] if found else text) or "it ended without a word"


def _steps(good: Snapshot, wanted: Snapshot) -> Iterator[tuple[str, Snapshot]]:
    """Yield what leads from a good snapshot to one that is not, each step with the type that is new in it.

    Make before break, as Envoys are sent it, so that no step lacks what it refers to.
    """
    endpoints, clusters = _over(good, wanted, ENDPOINT), wanted.of(CLUSTER)
    same = (name for name in good.of(ENDPOINT) if clusters.get(name) == good.of(CLUSTER).get(name))
    old = {each: good.of(each) for each in (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET)}
    fresh = {**good.of(ENDPOINT), **{name: endpoints[name] for name in same}}
    yield ENDPOINT, Snapshot({**old, ENDPOINT: Resources(fresh.values())})
    old[SECRET] = _over(good, wanted, SECRET)
    yield SECRET, Snapshot(dict(old))
    old[CLUSTER], old[ENDPOINT] = _over(good, wanted, CLUSTER), endpoints
    yield CLUSTER, Snapshot(dict(old))
    yield ROUTE, Snapshot({**old, ROUTE: _over(good, wanted, ROUTE)})


def _over(good: Snapshot, wanted: Snapshot, type_url: str) -> Resources:
    """Return what is wanted of a type, and what is there without being wanted."""
    both: dict[str, Resource] = {**good.of(type_url), **wanted.of(type_url)}
    return Resources(both.values())
