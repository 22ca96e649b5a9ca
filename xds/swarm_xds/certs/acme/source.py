"""ACME as a source of certificates: every replica serves what is in the shared directory, and one at a time orders.

In: the hosts wanted, told at any time. Out: readings with certificates and the challenges that are under way. The shell
around ``pacing`` and ``order``: the clock, the lock and the log are here. It must not know why a host is wanted.
"""

import asyncio
import hashlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import structlog

from swarm_xds.certs import check, files
from swarm_xds.certs.acme import pacing
from swarm_xds.certs.acme.options import AcmeOptions, ChallengeType
from swarm_xds.certs.acme.order import Ordered, OrderError, order
from swarm_xds.certs.acme.pacing import Attempts, Suggestion
from swarm_xds.certs.acme.state import Folder, State, StateError
from swarm_xds.certs.acme.suggest import suggested
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.directory import CertificateDirectory, looks
from swarm_xds.certs.parse import spki
from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Certificates, Chain, Material
from swarm_xds.problem import Kind, Problem, Severity, ordered, shown

T = TypeVar("T")

_log = structlog.get_logger(__name__)
#: Seconds: after which another replica's order is looked at again, after which nobody's mistake is, and between looks.
_BUSY, _BROKEN, _LOOK = 5.0, 60.0, 3_600.0
_RETRY_SECONDS = 1.0
_MAX_NAME = 253
_ORDERED = "it is being ordered"


class _Next(NamedTuple):
    """What is to be done next: an order for a host, or a question after its renewal, in some seconds."""

    rest: float
    state: State
    host: str = ""
    asks: bool = False


class AcmeSource:
    """Certificates by ACME.

    Args:
        options: Settings.
        clock: The time in seconds since the epoch.
    """

    def __init__(self, options: AcmeOptions, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._clock = clock
        self._folder = Folder(options.folder)
        self._directory = CertificateDirectory(self._folder.certificates, clock)
        self._certificates: CertificatesReading | None = None
        self._wanted: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._last: CertificatesReading | None = None
        self._known: dict[str, tuple[bytes, Material]] = {}
        self._tidied = -math.inf

    def want(self, hosts: Iterable[str]) -> None:
        """Take the hosts that are to have certificates; those of others are not renewed, and leave some time after."""
        wanted = frozenset(host.lower() for host in hosts)
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a reading at the start and after each change; see ``CertificateSource``."""
        while True:
            try:
                await asyncio.to_thread(self._folder.make)
                async for _ in looks(self._options.folder):
                    reading = await asyncio.to_thread(self._read)
                    if reading is not None:
                        yield reading
            except (OSError, RuntimeError, ValueError) as error:
                _log.warning("acme.unreadable", folder=str(self._options.folder), error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def run(self) -> None:
        """Order what is due, for ever, whenever no other replica does."""
        while True:
            self._changed.clear()
            try:
                rest = await self._turn()
            except (OSError, StateError) as error:
                _log.error("acme.stopped", error=str(error), retry_seconds=_BROKEN)
                rest = _BROKEN
            try:
                async with asyncio.timeout(rest):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _turn(self) -> float:
        """Do one thing if it is due and nobody else is at it; return for how long there is nothing to do."""
        try:
            rest = (await asyncio.to_thread(self._look)).rest
        except StateError:
            rest = 0
        if rest > 0 and time.monotonic() < self._tidied + _LOOK:
            return rest
        with files.locked(self._options.folder, wait=False) as mine:
            if not mine:
                return _BUSY
            await asyncio.to_thread(self._tidy)
            due = await asyncio.to_thread(self._look)
            if due.rest > 0:
                return due.rest
            await (self._ask if due.asks else self._order)(due.host, due.state)
        return 0

    def _tidy(self) -> None:
        """Take away what is of no use any more, with the lock held."""
        folder, now = self._folder, self._clock()
        self._tidied = time.monotonic()
        self._known = {host: known for host, known in self._known.items() if host in self._wanted}
        folder.clear_challenges()
        folder.clear_parts()
        try:
            state = folder.state()
        except StateError as error:
            _log.error("acme.state_set_aside", error=str(error))
            folder.set_aside()
            account, tried = pacing.unknown(folder.hosts(), self._options.directory, now)
            folder.save(State(account=account, hosts=tried))
            return
        if state == State():
            # Lost, with certificates that are still there: they are not ordered anew, all at once.
            _, tried = pacing.unknown(folder.hosts(), self._options.directory, now)
            state = State(hosts=tried)
            if tried:
                folder.save(state)
        for host in folder.hosts():
            if host not in self._wanted and self._ended(host) + pacing.KEPT < now:
                folder.remove_certificate(host)
                _log.info("acme.removed", host=host)
        kept = self._wanted.union(folder.hosts())
        hosts = {
            host: pacing.plausible(each, now)
            for host, each in state.hosts.items()
            if host in kept or not pacing.forgotten(each, now)
        }
        tidy = State(account=pacing.plausible(state.account, now), hosts=hosts)
        if tidy != state:
            folder.save(tidy)

    def _ended(self, host: str) -> float:
        """Return when a host's certificate ends, in seconds since the epoch; never, if it is none of ours to judge."""
        try:
            chain = check.read(host, self._folder.certificate(host)).material.chain
        except OSError:
            return math.inf
        return math.inf if chain is None else chain.not_after

    def _look(self) -> _Next:
        """Return what is due next, with what was tried so far."""
        self._folder.make()
        state = self._folder.state()
        hosts = [host for host in self._wanted if not _obstacle(host)]
        if not hosts or not self._options.terms_agreed:
            return _Next(_LOOK, state)
        now, directory = self._clock(), self._options.directory
        times = []
        for host in hosts:
            chain, attempts = self._chain(host), state.hosts.get(host, Attempts())
            order_at = pacing.due_at(host, chain, attempts, state.account, directory)
            ask_at = pacing.ask_at(chain, attempts, state.account, directory)
            times += [(max(order_at - now, 0.0), False, host), (max(ask_at - now, 0.0), True, host)]
        rest, asks, host = min(times)
        return _Next(min(rest, _LOOK), state, host, asks)

    def _chain(self, host: str) -> Chain | None:
        """Return what there is for a host, if it can be served, now or as soon as the clock says so."""
        content = self._folder.certificate(host)
        if not content:
            return None
        digest = hashlib.sha256(content).digest()
        known = self._known.get(host)
        if known is None or known[0] != digest:
            known = self._known[host] = (digest, check.read(host, content).material)
        material = known[1]
        return None if material.reason or material.key is None else material.chain

    async def _ask(self, host: str, state: State) -> None:
        """Ask when the authority would have a host's certificate renewed, with the lock held."""
        chain, attempts = self._chain(host), state.hosts[host]
        if chain is None:
            return
        known = attempts.suggestion
        before = known if known.about == chain.fingerprint else Suggestion(about=chain.fingerprint)
        after = await _in_thread(partial(suggested, chain.pem, before, self._options, self._clock()))
        if after.renew_at not in {0, before.renew_at}:
            _log.info("acme.renewal_suggested", host=host, at=check.date(after.renew_at))
        attempts = replace(attempts, suggestion=after)
        self._folder.save(State(account=state.account, hosts={**state.hosts, host: attempts}))

    async def _order(self, host: str, state: State) -> None:
        """Order a certificate, with the lock held, and write down what came of it."""
        key = self._folder.account_key()
        owner = (self._options.directory, spki(key.public_key()))
        account, attempts = state.account, state.hosts.get(host, Attempts())
        if (account.directory, account.key) != owner:
            account = replace(account, directory=owner[0], key=owner[1], uri="")
        types = pacing.in_turn(self._options.challenges, attempts)
        attempts, account = pacing.ordered(attempts, account, self._clock(), types[0])
        # Before it is made: an order of which nobody came to know counts too.
        self._folder.save(State(account=account, hosts={**state.hosts, host: attempts}))
        _log.info("acme.ordering", host=host, authority=self._options.directory)
        work = partial(order, host, types, self._options, key=key, account=account.uri, show=partial(self._show, host))
        try:
            done: Ordered = await _in_thread(work)
        except OrderError as error:
            attempts = pacing.failed(attempts, host, self._clock(), error.reason)
            account = pacing.paused(replace(account, uri=error.account), self._clock(), error.rest, error.reason)
            _log.warning(
                "acme.failed",
                host=host,
                error=error.reason,
                attempt=attempts.failures,
                next=check.date(attempts.next_at),
            )
        else:
            self._folder.save_certificate(host, done.content)
            attempts = pacing.succeeded(attempts, self._options.directory)
            account = replace(account, uri=done.account)
            _log.info("acme.issued", host=host)
        finally:
            self._folder.clear_challenges()
        self._folder.save(State(account=account, hosts={**state.hosts, host: attempts}))

    def _show(self, host: str, kind: ChallengeType, token: str, answer: str) -> None:
        """Have every replica hand a challenge to its proxies, and give them time; called in the order's thread."""
        self._folder.save_challenge(host, kind, token, answer)
        time.sleep(self._options.settle)

    def _read(self) -> CertificatesReading | None:
        """Return what there is, if it comes out differently than before."""
        changed = self._directory.read()
        self._certificates = changed or self._certificates
        if self._certificates is None:
            return None
        certificates = self._certificates.certificates
        reading = CertificatesReading(
            certificates=replace(self._folder.challenges(), certificates=certificates.certificates),
            problems=ordered([*self._certificates.problems, *self._problems(certificates)]),
            cause=changed.cause if changed else "ACME",
        )
        last = self._last
        if last is not None and (last.certificates, last.problems) == (reading.certificates, reading.problems):
            return None
        self._last = reading
        return replace(reading, stock=self._stock(self._certificates))

    def _stock(self, read: CertificatesReading) -> tuple[Stock, ...]:
        """Return what there is and what is waited for, by host, with what is in the way."""
        try:
            failed = {host: each.reason for host, each in self._folder.state().hosts.items() if each.reason}
        except StateError as error:
            failed = dict.fromkeys(self._wanted, str(error))
        failed |= {host: obstacle for host in self._wanted if (obstacle := _obstacle(host))}
        there = {each.material.name.removesuffix(".pem"): each for each in read.stock}
        waiting = (Material(name=host, reason=failed.get(host, _ORDERED)) for host in self._wanted - there.keys())
        return (
            *(
                replace(each, origin=Origin.ACME, kept=each.kept or failed.get(host, ""))
                for host, each in sorted(there.items())
            ),
            *(Stock(origin=Origin.ACME, material=each) for each in sorted(waiting, key=lambda each: each.name)),
        )

    def _problems(self, certificates: Certificates) -> list[Problem]:
        if self._wanted and not self._options.terms_agreed:
            cure = "agree to them by the setting, after reading them"
            return [_problem(Severity.ERROR, "nothing is ordered: the authority's terms are not agreed to", cure)]
        try:
            state = self._folder.state()
        except StateError as error:
            return [_problem(Severity.ERROR, f"nothing is ordered: {error}", "it is set aside by whoever orders next")]
        problems = []
        if self._wanted and self._clock() < state.account.next_at:
            until = check.date(state.account.next_at)
            reason = f"nothing is ordered before {until}: {state.account.reason}"
            problems.append(_problem(Severity.WARNING, reason, "wait; what there is is served"))
        for host in self._wanted:
            if obstacle := _obstacle(host):
                cure = "give it a certificate by a directory or by secrets"
                problems.append(_problem(Severity.ERROR, f"{shown(host)} gets no certificate: {obstacle}", cure))
            elif (attempts := state.hosts.get(host)) is not None and attempts.reason:
                severity = Severity.WARNING if host in certificates.newest else Severity.ERROR
                reason = f"no certificate was issued for {host}: {attempts.reason}"
                cure = f"mend it; tried again after {check.date(attempts.next_at)}"
                problems.append(_problem(severity, reason, cure))
        return problems


def _obstacle(host: str) -> str:
    """Return why no certificate can be ordered for a host; empty if nothing is in the way."""
    if "*" in host:
        return "one for a wildcard would need a challenge by DNS, which is not done"
    if "." not in host or host.rpartition(".")[2].isdigit() or ":" in host:
        return "it is no public host name"
    if len(host) > _MAX_NAME or not all(each.isascii() and (each.isalnum() or each in "-.") for each in host):
        return "it is no host name"
    return ""


def _problem(severity: Severity, reason: str, cure: str) -> Problem:
    return Problem(severity=severity, kind=Kind.NO_CERTIFICATE, reason=reason, cure=cure, source="ACME")


async def _in_thread(work: Callable[[], T]) -> T:
    """Do ``work`` in a daemon thread: an order takes long, and the process does not wait for it when it ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # there is one without an error

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(finish, result, failure)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="acme-order", daemon=True).start()
    return await future
