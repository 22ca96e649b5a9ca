"""A directory of certificates as a source: read, and again whenever a file of it changes or a certificate expires.

Files are those of the directory and of its folders, one level deep, behind links too: ``site.crt``, ``site.key``,
``example.org/fullchain.pem``, ``tls.crt`` as mounted secrets have it. A file's name is its path below the directory,
in full. Passed over are names that begin with a dot, as editors and mounts use, copies (``~``, ``.bak``, ``.tmp``),
and files that hold no PEM and are not called as if they did.

Which of it is served while files change is ``hold``'s business; what a file means is ``check``'s.
"""

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
import watchfiles

from swarm_xds.certs import check
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.check import Checked
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.parse import MAX_SIZE
from swarm_xds.certs.stock import Origin
from swarm_xds.certs.values import Material, version_of
from swarm_xds.problem import Kind, Problem, Severity, ordered, shown

_log = structlog.get_logger(__name__)
#: Milliseconds: how long changes are gathered, and how long quiet ends the gathering.
_GATHER, _QUIET = 200, 10
#: Milliseconds after which files are looked at even without a notice: links lead to where nobody watches.
_LOOK_AGAIN = 500
_RETRY_SECONDS = 1.0
#: A file written less than so many nanoseconds before it was read may change again without its times telling.
_FRESH = 2_000_000_000
#: Files that are read of one directory, the first by name.
MAX_FILES = 10_000
_CAUSES_SHOWN = 3

_COPIES = ("~", ".bak", ".tmp", ".swp", ".old", ".orig", ".new", ".part")
_ENDINGS = (".pem", ".crt", ".cer", ".cert", ".key")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was read last.

    Attributes:
        mark: Where it is, how large, and when it was written.
        settled: Whether it cannot have changed since without another mark.
        digest: Of its content, or why it cannot be read.
        checked: What it means; None for one that has nothing to do with certificates.
    """

    mark: tuple[int, ...]
    settled: bool
    digest: str
    checked: Checked | None


class CertificateDirectory:
    """A directory as a source of certificates."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._listed = False
        self._held = Held()
        self._last: CertificatesReading | None = None
        self._troubles: tuple[Problem, ...] = ()

    def read(self) -> CertificatesReading | None:
        """Look at every file; return the reading if it comes out differently than before, else None.

        Nothing is returned until the directory could be listed once; after that it keeps what it held.
        """
        now = self._clock()
        troubles, changed = self._look()
        if not self._listed:
            self._tell_waiting(troubles)
            return None
        due = self._held.next_change is not None and now >= self._held.next_change
        if changed or due or self._last is None or troubles != self._troubles:
            self._troubles = troubles
            files = {name: seen.checked for name, seen in self._seen.items() if seen.checked is not None}
            self._held = hold(self._held, files, now)
            return self._if_new(_cause(changed))
        return None

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a reading at the start and after each change; see ``CertificateSource``."""
        while True:
            try:
                async for _ in looks(self._path):
                    reading = await asyncio.to_thread(self.read)
                    if reading is not None:
                        yield reading
            except (OSError, RuntimeError, ValueError) as error:
                _log.warning("certs.unwatched", directory=str(self._path), error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    def _if_new(self, cause: str) -> CertificatesReading | None:
        problems = (replace(each, source=shown(str(self._path / each.source))) for each in self._held.problems)
        reading = CertificatesReading(
            certificates=self._held.certificates,
            problems=ordered([*self._troubles, *problems]),
            cause=cause,
            stock=self._held.stock(Origin.DIRECTORY),
        )
        last = self._last
        if last is not None and (last.certificates, last.problems) == (reading.certificates, reading.problems):
            return None
        self._last = reading
        return reading

    def _tell_waiting(self, troubles: tuple[Problem, ...]) -> None:
        if troubles != self._troubles:
            for each in troubles:
                _log.error("certs.waiting", source=each.source, reason=each.reason, cure=each.cure)
        self._troubles = troubles

    def _look(self) -> tuple[tuple[Problem, ...], list[str]]:
        """Read what may have changed; return what is wrong with folders, and the names of files that have changed."""
        try:
            names, troubles = _list(self._path)
        except OSError as error:
            return (_trouble(self._path, f"cannot be read: {_words(error)}"),), []
        self._listed = True
        seen = {name: each for name in names if (each := self._read(name)) is not None}
        changed = [name for name, each in seen.items() if _differs(self._seen.get(name), each)]
        changed += [name for name, each in self._seen.items() if name not in seen and each.checked is not None]
        self._seen = seen
        return tuple(troubles), changed

    def _read(self, name: str) -> _Seen | None:
        """Return a file as it is now; None if there is none, and the same object as before if it did not change."""
        path, before = self._path / name, self._seen.get(name)
        mark: tuple[int, ...] = ()
        settled, content, reason = False, b"", ""
        try:
            status = path.stat()
            mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if before is not None and before.settled and before.mark == mark:
                return before
            if not stat.S_ISREG(status.st_mode):
                return None
            settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _FRESH
            content = _content(path)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not path.is_symlink():
                return None
            mark, settled, reason = (), False, f"it cannot be read: {_words(error)}"
        digest = reason or hashlib.sha256(content).hexdigest()
        if before is not None and before.digest == digest:
            return replace(before, mark=mark, settled=settled)
        if reason:
            return _Seen(mark, settled, digest, Checked(material=Material(name=name, reason=reason)))
        known = before is not None and before.checked is not None
        return _Seen(mark, settled, digest, _checked(name, content, known=known))


async def looks(path: Path) -> AsyncIterator[None]:
    """Yield whenever a directory is worth a look: at once, after a notice, and now and then without one.

    Raises:
        OSError, RuntimeError, ValueError: It cannot be watched, or not any more.
    """
    yield
    async for _ in watchfiles.awatch(
        path, watch_filter=None, debounce=_GATHER, step=_QUIET, rust_timeout=_LOOK_AGAIN, yield_on_timeout=True
    ):
        yield


def _list(path: Path) -> tuple[list[str], list[Problem]]:
    """Return the names of the files in a directory and its folders, and what is wrong with folders.

    Raises:
        OSError: The directory itself cannot be listed.
    """
    names: list[str] = []
    troubles: list[Problem] = []
    for entry in _entries(path):
        if not _is_folder(entry):
            names.append(entry.name)
            continue
        try:
            names += [f"{entry.name}/{each.name}" for each in _entries(path / entry.name)]
        except OSError as error:
            troubles.append(_trouble(path / entry.name, f"cannot be read: {_words(error)}"))
    if len(names) > MAX_FILES:
        troubles.append(_trouble(path, f"it has more than {MAX_FILES} files; the others are not read"))
    return sorted(names)[:MAX_FILES], troubles


def _entries(path: Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return [each for each in entries if not each.name.startswith(".") and not each.name.endswith(_COPIES)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: reading it tells
        return False


def _content(path: Path) -> bytes:
    """Read a file, one byte more than may be at the most; what is no file is not waited for."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        return file.read(MAX_SIZE + 1)


def _checked(name: str, content: bytes, *, known: bool) -> Checked | None:
    named = version_of(name)[0].lower().endswith(_ENDINGS)
    return check.read(name, content) if known or named or b"-----BEGIN " in content else None


def _differs(before: _Seen | None, after: _Seen) -> bool:
    return (before.checked if before is not None else None) is not after.checked


def _trouble(path: Path, reason: str) -> Problem:
    cure = "mend it; until then what was read of it before is served"
    return Problem(severity=Severity.ERROR, kind=Kind.BAD_FILE, source=shown(str(path)), reason=reason, cure=cure)


def _cause(changed: list[str]) -> str:
    more = f" and {len(changed) - _CAUSES_SHOWN} more" if len(changed) > _CAUSES_SHOWN else ""
    return f"{', '.join(changed[:_CAUSES_SHOWN])}{more} changed" if changed else "the time"


def _words(error: OSError) -> str:
    return error.strerror or str(error)
