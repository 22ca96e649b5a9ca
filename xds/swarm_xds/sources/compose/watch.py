"""The source itself: reads the files, and again whenever one of them changes.

A file that is bad, half written or gone keeps its last good content and is a problem until it is mended. Until each
file was read whole once, nothing is yielded: proxies keep what an earlier control plane gave them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog
import watchfiles

from swarm_xds.sources.base import Reading
from swarm_xds.sources.compose.convert import StackFile
from swarm_xds.sources.compose.files import bad_file, read, together

_log = structlog.get_logger(__name__)
#: Milliseconds: how long changes are gathered, and how long quiet ends the gathering.
_GATHER, _QUIET = 200, 10
#: Milliseconds after which files are looked at even without a notice, since notices can be lost.
_LOOK_AGAIN = 500
_RETRY_SECONDS = 1.0


class ComposeSource:
    """Stack files as a source; ``stack`` is the name that they are deployed under, if it is not in them."""

    def __init__(self, paths: Iterable[Path], environ: Mapping[str, str], stack: str = "") -> None:
        self._paths = tuple(paths)
        self._environ = dict(environ)
        self._stack = stack
        self._contents: dict[Path, bytes | str] = {}
        self._files: dict[Path, StackFile] = {}
        self._broken: set[Path] = set()
        self._read_at: float | None = None

    @property
    def read_at(self) -> float | None:
        """When all files were last looked at and could be read."""
        return self._read_at

    def read(self) -> Reading | None:
        """Look at every file; return the reading if one of them is not as it was, else None."""
        changed = [path for path in self._paths if self._read(path)]
        if not changed:
            return None
        state, problems = together(self._files[path] for path in self._paths)
        return Reading(state=state, problems=problems, cause=f"{', '.join(str(path) for path in changed)} changed")

    @property
    def unread(self) -> tuple[Path, ...]:
        """The files that were never read whole, as of the last ``read``."""
        return tuple(path for path in self._paths if not self._files[path].whole)

    async def readings(self) -> AsyncIterator[Reading]:
        """Yield a reading at the start and after each change; see ``Source``."""
        while True:
            try:
                async for _ in self._looks():
                    noticed = asyncio.get_running_loop().time()
                    reading = await asyncio.to_thread(self.read)
                    if not self._broken:
                        self._read_at = noticed
                    if reading is None:
                        continue
                    if self.unread:
                        self._tell_waiting()
                    else:
                        yield replace(reading, noticed=noticed)
            except (OSError, RuntimeError, ValueError) as error:
                _log.warning("compose.unwatched", error=str(error), retry_seconds=_RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _looks(self) -> AsyncIterator[None]:
        """Yield whenever the files are worth a look: at once, after a notice, and now and then without one."""
        yield
        names = {str(path.absolute()) for path in self._paths}
        async for _ in watchfiles.awatch(
            *{path.absolute().parent for path in self._paths},
            watch_filter=lambda _, name: name in names,
            debounce=_GATHER,
            step=_QUIET,
            rust_timeout=_LOOK_AGAIN,
            yield_on_timeout=True,
            recursive=False,
        ):
            yield

    def _tell_waiting(self) -> None:
        for path in self.unread:
            for problem in self._files[path].problems:
                _log.error("compose.waiting", source=problem.source, reason=problem.reason, cure="mend the file")

    def _read(self, path: Path) -> bool:
        content: bytes | str
        try:
            content = path.read_bytes()
        except OSError as error:
            content = f"cannot be read: {error.strerror or error}"
        if self._contents.get(path) == content:
            return False
        self._contents[path] = content
        if isinstance(content, bytes):
            file = read(path, content, self._environ, self._stack)
        else:
            file = StackFile(whole=False, problems=(bad_file(str(path), content),))
        (self._broken.discard if file.whole else self._broken.add)(path)
        last = self._files.get(path)
        if not file.whole and last is not None:
            file = replace(last, problems=file.problems)
        elif last is not None:
            file = _with_last(file, last)
        self._files[path] = file
        return True


def _with_last(file: StackFile, last: StackFile) -> StackFile:
    """Return the file, an equal service as the same object and a bad one in its last good form, on its networks."""
    before = {service.id: service for service in last.services}
    good = [before[each.id] if before.get(each.id) == each else each for each in file.services]
    kept = [before[each] for each in sorted(file.bad & before.keys())]
    known = {network.id for network in file.networks}
    wanted = {network_id for service in kept for network_id in service.network_ids} - known
    networks = [network for network in last.networks if network.id in wanted]
    return replace(file, services=(*good, *kept), networks=(*file.networks, *networks))
