"""Certificates from Docker secrets: asked of the readers in the swarm, over mutual TLS, and kept.

In: which readers run where and what each has, as often as that changes. Out: readings. A Docker secret never changes,
so each is asked for once, by its id, and kept until it is gone from the swarm, whatever becomes of its reader. It must
not know labels, Docker or Envoy.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import httpx
import structlog

from swarm_xds.certs import check
from swarm_xds.certs.base import CertificatesReading, Identity
from swarm_xds.certs.check import Checked
from swarm_xds.certs.parse import MAX_SIZE
from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Certificates, Material
from swarm_xds.problem import Kind, Problem, Severity, ordered

_log = structlog.get_logger(__name__)
#: Who hands over secrets: `swarm_xds.pki` issues it.
READER_URI = "spiffe://swarm-xds/relay"
#: Secrets that are asked for at one time.
_HANDS = 8
_OK = 200
_STARTING = "its reader does not run yet"
#: What stands in for a secret that is to be read, so that its name is known, and a version before it serves meanwhile.
_UNREAD = "its reader has not handed it over yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderTimings:
    """How long to wait, in seconds.

    Attributes:
        call: Longest time that one question may take.
        first: How long the first reading waits for what readers have, so that a start does not withdraw it.
        retry_first: Before the first new try after a failure; doubled each time.
        retry_cap: The longest such wait.
        tell: How long a secret may be missing until that is a problem: a reader has to start.
    """

    call: float = 5.0
    first: float = 10.0
    retry_first: float = 0.1
    retry_cap: float = 5.0
    tell: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A reader of secrets: the addresses at which it runs, and id and name of each secret that it hands over."""

    addresses: tuple[str, ...]
    secrets: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Missing:
    """A secret that is to be asked for: since when, and why there is none yet."""

    name: str
    addresses: tuple[str, ...]
    since: float
    reason: str


class NoAnswerError(Exception):
    """A reader gave no secret; the message says why, and has nothing of its content."""


@dataclass(slots=True)
class ReaderSource:
    """Docker secrets as a source of certificates; ``follow`` says what there is to be read.

    Args:
        identity: By which the control plane shows itself, and whom it trusts.
        port: Of all readers.
    """

    identity: Identity
    port: int
    timings: ReaderTimings = field(default_factory=ReaderTimings)
    clock: Callable[[], float] = time.time
    _kept: dict[str, tuple[str, Checked]] = field(default_factory=dict, init=False)
    _missing: dict[str, _Missing] = field(default_factory=dict, init=False)
    _known: bool = field(default=False, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def follow(self, readers: Iterable[Reader], there: Collection[str]) -> None:
        """Take the readers of the swarm, and the ids of all secrets that there are."""
        now = _now()
        missing: dict[str, _Missing] = {}
        for reader in readers:
            for identifier, name in reader.secrets:
                if identifier not in self._kept:
                    before = self._missing.get(identifier)
                    since, reason = (before.since, before.reason) if before else (now, _STARTING)
                    more = missing[identifier].addresses if identifier in missing else ()
                    missing[identifier] = _Missing(name, (*more, *reader.addresses), since, reason)
        kept = {identifier: each for identifier, each in self._kept.items() if identifier in there}
        if missing != self._missing or kept.keys() != self._kept.keys() or not self._known:
            self._missing, self._kept, self._known = missing, kept, True
            self._changed.set()

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a reading when what readers have is read, then after each change; see ``CertificateSource``."""
        await self._changed.wait()
        first_at, wait = _now() + self.timings.first, self.timings.retry_first
        last: CertificatesReading | None = None
        while True:
            self._changed.clear()
            read = await self._ask()
            reading = self._reading(f"secret {read[0]}" if read else "secrets")
            whole = last is not None or not self._missing or _now() >= first_at
            if whole and (last is None or (last.certificates, last.problems) != _content(reading)):
                last = reading
                yield reading
            wait = self.timings.retry_first if read else min(self.timings.retry_cap, wait * 2)
            limit = wait if any(each.addresses for each in self._missing.values()) else self._pause(first_at, last)
            try:
                async with asyncio.timeout(limit):
                    await self._changed.wait()
                wait = self.timings.retry_first
            except TimeoutError:
                pass

    def _pause(self, first_at: float, last: CertificatesReading | None) -> float | None:
        """Return the seconds until a reading comes out differently by time alone; None: never."""
        now, clock = _now(), self.clock()
        ends = [first_at - now] if last is None else []
        ends += [each.since + self.timings.tell - now for each in self._missing.values()]
        ends += [moment - clock for _, checked in self._kept.values() for moment in check.moments(checked.material)]
        return min((max(0.01, end) for end in ends if end > 0), default=None)

    async def _ask(self) -> list[str]:
        """Ask for every secret that is missing; return the names of those that were read."""
        missing = {identifier: each for identifier, each in self._missing.items() if each.addresses}
        if not missing:
            return []
        try:
            context = await asyncio.to_thread(client_context, self.identity)
        except (OSError, ValueError) as error:
            reason = f"the control plane's own certificate cannot be used: {error}"
            self._failed(dict.fromkeys(missing, reason))
            return []
        hands = asyncio.Semaphore(_HANDS)
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=self.timings.call) as client:

            async def one(identifier: str, addresses: tuple[str, ...]) -> bytes | str:
                async with hands:
                    return await self._read(client, identifier, addresses)

            answers = await asyncio.gather(*(one(identifier, each.addresses) for identifier, each in missing.items()))
        read = []
        for (identifier, each), answer in zip(missing.items(), answers, strict=True):
            # It may have gone meanwhile, and come back elsewhere.
            if isinstance(answer, bytes) and self._missing.pop(identifier, None) is not None:
                self._kept[identifier] = (each.name, await asyncio.to_thread(check.read, each.name, answer))
                read.append(each.name)
        self._failed({i: answer for i, answer in zip(missing, answers, strict=True) if isinstance(answer, str)})
        return read

    async def _read(self, client: httpx.AsyncClient, identifier: str, addresses: tuple[str, ...]) -> bytes | str:
        """Return a secret's content, or why no reader gives it."""
        reason = ""
        for address in addresses:
            try:
                async with asyncio.timeout(self.timings.call):
                    host = f"[{address}]" if ":" in address else address
                    return await fetch(client, f"https://{host}:{self.port}/{identifier}")
            except TimeoutError:
                reason = f"{address} gives no answer in {self.timings.call:g} s"
            except NoAnswerError as error:
                reason = f"{address} {error}"
        return reason

    def _failed(self, reasons: dict[str, str]) -> None:
        for identifier, reason in reasons.items():
            if (each := self._missing.get(identifier)) is not None:
                self._missing[identifier] = _Missing(each.name, each.addresses, each.since, reason)
                _log.debug("secrets.unread", secret=each.name, reason=reason)

    def _reading(self, cause: str) -> CertificatesReading:
        now = self.clock()
        problems = list(self._unread())
        for name, checked in self._kept.values():
            problems += _of(name, checked, now)
        materials = [check.at(checked.material, now) for _, checked in self._kept.values()]
        told = [replace(each, key=None) for each in materials if each.key is None or each.chain is not None]
        told += [Material(name=each.name, reason=each.reason) for each in self._missing.values()]
        materials += [Material(name=each.name, reason=_UNREAD) for each in self._missing.values()]
        materials.sort(key=lambda each: each.name)
        return CertificatesReading(
            certificates=Certificates(materials=tuple(materials)),
            problems=ordered(problems),
            cause=cause,
            stock=tuple(Stock(origin=Origin.SECRET, material=each) for each in told),
        )

    def _unread(self) -> Iterator[Problem]:
        """Yield a problem for each secret that has been missing for long."""
        for each in self._missing.values():
            if _now() >= each.since + self.timings.tell:
                cure = "look at the reader with docker service ps; what was read before is served until then"
                yield _problem(Severity.ERROR, Kind.UNREAD, each.name, each.reason, cure)


def client_context(identity: Identity) -> ssl.SSLContext:
    """Return the control plane's side of mutual TLS with readers, from files as they are now.

    Raises:
        OSError: A file cannot be read, or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A reader is known by who it is, wherever it runs: ``fetch`` looks at that.
    context.check_hostname = False
    context.load_verify_locations(identity.authorities)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


async def fetch(client: httpx.AsyncClient, url: str) -> bytes:
    """Return what a reader has at a URL.

    Raises:
        NoAnswerError: It cannot be reached, is none, or has no such secret.
    """
    try:
        async with client.stream("GET", url) as response:
            if READER_URI not in _uris(response):
                raise NoAnswerError(f"is not {READER_URI} by its certificate")
            if response.status_code != _OK:
                raise NoAnswerError(f"answers {response.status_code}")
            content = b""
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_SIZE:
                    raise NoAnswerError("gives more than a secret can hold")
            return content
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        OSError,
    ) as error:  # that it does not let us in comes after the handshake, as it is
        raise NoAnswerError(f"cannot be asked: {error or type(error).__name__}") from error


def _uris(response: httpx.Response) -> tuple[str, ...]:
    """Return who the other side is by its certificate, which its authority has confirmed."""
    connection: ssl.SSLObject | None = response.extensions["network_stream"].get_extra_info("ssl_object")
    names = (connection.getpeercert() or {}).get("subjectAltName", ()) if connection is not None else ()
    return tuple(str(each[1]) for each in names if each[0] == "URI")


def _content(reading: CertificatesReading) -> tuple[Certificates, tuple[Problem, ...]]:
    return (reading.certificates, reading.problems)


def _of(name: str, checked: Checked, now: float) -> Iterator[Problem]:
    """Yield what is wrong with a secret's content; what cannot be used is told by whoever names it, too."""
    material = check.at(checked.material, now)
    if material.reason:
        yield _problem(Severity.ERROR, Kind.BAD_FILE, name, material.reason, "make a new version of it")
    elif material.chain is not None and now >= check.soon(material.chain):
        text = f"it expires on {check.date(material.chain.not_after)}"
        yield _problem(Severity.WARNING, Kind.BAD_FILE, name, text, "make a new version of it")
    for remark in checked.remarks:
        yield _problem(Severity.WARNING, Kind.BAD_FILE, name, remark, "")


def _problem(severity: Severity, kind: Kind, name: str, reason: str, cure: str) -> Problem:
    return Problem(severity=severity, kind=kind, source=f"secret {name}", reason=reason, cure=cure)


def _now() -> float:
    return asyncio.get_running_loop().time()
