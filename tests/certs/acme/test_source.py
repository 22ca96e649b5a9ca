"""Orders at a real authority on loopback: issue, renew, fail, two replicas."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from support.certificates import secret_lines
from support.pebble import Pebble, asked_often
from swarm_xds.certs import choose, files
from swarm_xds.certs.acme.options import AcmeOptions, ChallengeType
from swarm_xds.certs.acme.pacing import Account, Attempts
from swarm_xds.certs.acme.source import AcmeSource
from swarm_xds.certs.acme.state import Folder, State
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.parse import spki
from swarm_xds.certs.values import Certificate, Certificates, Challenge
from swarm_xds.problem import Severity

HOST = "a.example.org"
SECONDS = 60


class Edge:
    """Answers challenges as proxies do, from what one replica serves."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self.challenges: tuple[Challenge, ...] = ()
        edge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = self.headers["Host"].partition(":")[0]
                edge.asked.append(self.path)
                found = [each.answer for each in edge.challenges if (each.host, each.path) == (host, self.path)]
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write("".join(found).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def wait(self, token: str) -> None:
        """Wait until it answers a challenge."""
        end = time.monotonic() + SECONDS
        while not any(each.path.endswith(token) for each in self.challenges):
            assert time.monotonic() < end, "no replica has handed the challenge over"
            time.sleep(0.01)


class Orders(AcmeSource):
    """Has the authority look once the proxy answers, if there is one, where the product waits for ``settle``."""

    proxy: Edge | None = None

    def _show(self, host: str, kind: ChallengeType, token: str, answer: str) -> None:
        super()._show(host, kind, token, answer)
        if self.proxy is not None:
            self.proxy.wait(token)


@dataclass
class Replica:
    """A control plane's part in it; its clock can be set forward."""

    source: Orders
    edge: Edge | None = None
    reading: CertificatesReading = field(default_factory=lambda: CertificatesReading(certificates=Certificates()))
    ahead: float = 0.0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self) -> None:
        """Read, and serve what was read."""
        async for reading in self.source.readings():
            self.reading = reading
            if self.edge is not None:
                self.edge.challenges = reading.certificates.challenges
            async with self.changed:
                self.changed.notify_all()

    async def until(self, holds: Callable[["Replica"], bool]) -> None:
        """Wait until something holds of what was read."""
        async with asyncio.timeout(SECONDS), self.changed:
            await self.changed.wait_for(lambda: holds(self))

    def served(self, host: str = HOST) -> Certificate | None:
        """Return what a host is served with."""
        return choose.for_host(self.reading.certificates, host)


@asynccontextmanager
async def running(
    options: AcmeOptions, *hosts: str, edge: Edge | None = None, proxy: Edge | None = None, orders: bool = True
) -> AsyncIterator[Replica]:
    """Run a replica, whose proxy is ``edge`` or, where that is another replica's, ``proxy``."""
    replica = Replica(Orders(options, lambda: time.time() + replica.ahead), edge)
    replica.source.proxy = edge or proxy
    replica.source.want(hosts)
    tasks = [asyncio.create_task(replica.follow())]
    if orders:
        tasks.append(asyncio.create_task(replica.source.run()))
    try:
        yield replica
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """An authority."""
    pebble = Pebble(tmp_path_factory.mktemp("pebble"))
    with asked_often():
        yield pebble
    pebble.stop()


@pytest.fixture
def edge(pebble: Pebble) -> Iterator[Edge]:
    """A proxy to which every name leads."""
    edge = Edge(pebble.http_port)
    yield edge
    edge.stop()


@pytest.fixture
def options(pebble: Pebble, tmp_path: Path) -> AcmeOptions:
    """Settings."""
    return AcmeOptions(
        folder=tmp_path / "acme",
        terms_agreed=True,
        email="admin@example.org",
        directory=pebble.directory,
        ca=pebble.ca,
        settle=0,
    )


def private_lines(folder: Path) -> set[str]:
    """Return the secret lines of all keys in a folder."""
    return {line for path in folder.rglob("*.pem") for line in secret_lines(path.read_text(encoding="utf-8"))}


async def test_two_replicas_order_once_and_both_serve(pebble: Pebble, edge: Edge, options: AcmeOptions) -> None:
    """The challenge is answered through the replica that may not be the one that orders; nothing shows a key."""
    before = pebble.log.count("/order-plz -> calling")
    with capture_logs() as events:
        async with running(options, HOST, edge=edge) as one, running(options, HOST, proxy=edge) as two:
            await one.until(lambda replica: replica.served() is not None)
            await two.until(lambda replica: replica.served() is not None)
            await one.until(lambda replica: not replica.reading.certificates.challenges)
            assert one.served() == two.served()
            assert not one.reading.problems
    found = one.served()
    assert found is not None
    assert found.chain.names == (HOST,)
    assert found.chain.pem.count(b"BEGIN CERTIFICATE") == 2
    assert pebble.log.count("/order-plz -> calling") - before == 1
    assert [event["event"] for event in events if event["event"] == "acme.issued"] == ["acme.issued"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in options.folder.rglob("*")}
    assert modes == {
        "certs": 0o700,
        "challenges": 0o700,
        "state.json": 0o600,
        "account.pem": 0o600,
        f"{HOST}.pem": 0o600,
        ".lock": 0o600,
    }
    told = f"{events} {one.reading} {vars(one.source)} {(options.folder / 'state.json').read_text(encoding='utf-8')}"
    assert private_lines(options.folder)
    assert not [line for line in private_lines(options.folder) if line in told or line in pebble.log]


async def test_it_is_renewed_in_time(pebble: Pebble, edge: Edge, options: AcmeOptions) -> None:
    """By a replica that comes later, with the same account; the old one is served until the new one is there."""
    async with running(options, HOST, edge=edge) as replica:
        await replica.until(lambda replica: replica.served() is not None)
    first = replica.served()
    assert first is not None
    accounts = pebble.log.count("/sign-me-up -> calling")
    seen: list[str] = []
    async with running(options, HOST, edge=edge, orders=False) as later:
        await later.until(lambda replica: replica.served() == first)
        later.ahead = first.chain.not_after - time.time() - (first.chain.not_after - first.chain.not_before) / 4

        def renewed(replica: Replica) -> bool:
            served = replica.served()
            seen.append(served.chain.fingerprint if served else "")
            return served is not None and served.chain.fingerprint != first.chain.fingerprint

        task = asyncio.create_task(later.source.run())
        await later.until(renewed)
        task.cancel()
    assert "" not in seen
    assert pebble.log.count("/sign-me-up -> calling") == accounts


async def test_a_failing_challenge_is_told_and_tried_again_later(
    pebble: Pebble, edge: Edge, options: AcmeOptions
) -> None:
    """With the authority's words; another host is not held up by it."""
    before = pebble.log.count("/order-plz -> calling")
    async with running(options, HOST) as replica:
        await replica.until(lambda replica: bool(replica.reading.problems))
        (problem,) = replica.reading.problems
        assert (problem.severity, problem.source) == (Severity.ERROR, "ACME")
        assert problem.reason.startswith(f"no certificate was issued for {HOST}: the authority did not get the answer")
        assert "404" in problem.reason
        assert problem.cure.startswith("mend it; tried again after")
        replica.edge = replica.source.proxy = edge
        replica.source.want([HOST, "b.example.org"])
        await replica.until(lambda replica: replica.served("b.example.org") is not None)
        assert replica.served() is None
        assert pebble.log.count("/order-plz -> calling") - before == 2
        replica.ahead = 15 * 60
        replica.source.want([HOST])
        await replica.until(lambda replica: replica.served() is not None)
        await replica.until(lambda replica: not replica.reading.problems)


async def test_an_order_elsewhere_is_waited_for(pebble: Pebble, edge: Edge, options: AcmeOptions) -> None:
    """Whoever has not got the directory's lock orders nothing."""
    before = pebble.log.count("/order-plz -> calling")
    options.folder.mkdir()
    with files.locked(options.folder):
        source = AcmeSource(options)
        source.want([HOST])
        assert await source._turn() == 5.0
    assert pebble.log.count("/order-plz -> calling") == before


class Refuses(BaseHTTPRequestHandler):
    """An authority that wants to be left alone."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Refuse."""
        self.asked.append(self.path)
        self.send_response(429)
        self.send_header("Retry-After", "7200")
        self.send_header("Content-Type", "application/problem+json")
        self.end_headers()
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many requests"}
        self.wfile.write(json.dumps(problem).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
        """Keep quiet."""


async def test_an_authority_that_wants_a_rest_has_it(tmp_path: Path) -> None:
    """No host is ordered for until then, also not by a replica that starts later."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    options = AcmeOptions(
        folder=tmp_path / "acme", terms_agreed=True, directory=f"http://127.0.0.1:{server.server_address[1]}/"
    )
    source = AcmeSource(options)
    source.want([HOST, "b.example.org"])
    assert await source._turn() == 0
    for each in (source, AcmeSource(options)):
        each.want([HOST, "b.example.org"])
        rest = await each._turn()
        assert rest == 3_600
    assert Refuses.asked == ["/"]
    state = json.loads((options.folder / "state.json").read_text(encoding="utf-8"))
    assert state["account"]["next_at"] > time.time() + 7_100
    assert state["hosts"][HOST]["reason"] == "rateLimited: too many requests"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("*.example.org", "wildcard would need a challenge by DNS", id="wildcard"),
        pytest.param("localhost", "it is no public host name", id="one label"),
        pytest.param("127.0.0.1", "it is no public host name", id="an address"),
        pytest.param("../../etc.org", "it is no host name", id="a path"),
    ],
)
async def test_a_host_that_cannot_be_ordered_for_is_told(tmp_path: Path, host: str, reason: str) -> None:
    """And never asked for."""
    options = AcmeOptions(folder=tmp_path / "acme", terms_agreed=True, directory="http://127.0.0.1:1/")
    async with running(options, host) as replica:
        await replica.until(lambda replica: bool(replica.reading.problems))
        (problem,) = replica.reading.problems
        assert reason in problem.reason
    assert not (options.folder / "state.json").exists()


async def test_nothing_is_ordered_without_the_operators_word(tmp_path: Path) -> None:
    """The terms of service are the operator's to agree to."""
    options = AcmeOptions(folder=tmp_path / "acme", terms_agreed=False, directory="http://127.0.0.1:1/")
    async with running(options, HOST) as replica:
        await replica.until(lambda replica: bool(replica.reading.problems))
        assert "terms are not agreed to" in replica.reading.problems[0].reason
    assert not (options.folder / "state.json").exists()


async def test_a_state_that_cannot_be_read_is_set_aside(pebble: Pebble, edge: Edge, options: AcmeOptions) -> None:
    """What was ordered before is not known, so that nothing is for some hours; what there is is served as before."""
    async with running(options, HOST, edge=edge) as replica:
        await replica.until(lambda replica: replica.served() is not None)
    orders, accounts = (pebble.log.count(f"/{each} -> calling") for each in ("order-plz", "sign-me-up"))
    for name, content in (("state.json", '{"account": {'), ("account.pem", "-----BEGIN PRIVATE KEY-----")):
        (options.folder / name).write_text(content, encoding="utf-8")
    async with running(options, HOST, "b.example.org", edge=edge) as replica:
        await replica.until(lambda replica: "nothing is ordered before" in str(replica.reading.problems))
        assert "what was ordered before is not known" in str(replica.reading.problems)
        assert replica.served() is not None
        assert pebble.log.count("/order-plz -> calling") == orders
        replica.ahead = 3.1 * 3_600
        replica.source.want(["b.example.org"])
        await replica.until(lambda replica: replica.served("b.example.org") is not None)
    assert pebble.log.count("/order-plz -> calling") == orders + 1
    assert pebble.log.count("/sign-me-up -> calling") == accounts + 1
    assert {path.name for path in options.folder.glob("*.bad")} == {"state.json.bad", "account.pem.bad"}


async def test_an_account_that_the_authority_has_lost_is_registered_anew(pebble: Pebble, options: AcmeOptions) -> None:
    """Also one whose key we have lost. The order goes on; a handshake that nobody answers is told with its words."""
    folder = Folder(options.folder)
    folder.make()
    key = spki(folder.account_key().public_key())
    lost = Account(directory=pebble.directory, key=key, uri=pebble.directory.replace("/dir", "/my-account/none"))
    tried = Attempts(challenge="http-01", failures=1)
    folder.save(State(account=lost, hosts={HOST: tried}))
    source = AcmeSource(replace(options, challenges=tuple(ChallengeType)))
    source.want([HOST])
    assert await source._turn() == 0
    state = folder.state()
    assert state.account.uri != lost.uri
    attempts = state.hosts[HOST]
    assert (attempts.failures, attempts.challenge) == (2, "tls-alpn-01")
    assert attempts.reason.startswith("the authority did not get the answer (tls-alpn-01): ")
    assert f":{pebble.tls_port} for the tls-alpn-01 challenge" in attempts.reason
    assert folder.challenges() == Certificates()
    (options.folder / "account.pem").unlink()
    source.want(["b.example.org"])
    assert await source._turn() == 0
    assert folder.state().account.uri != state.account.uri
    assert folder.state().hosts["b.example.org"].reason.startswith("the authority did not get the answer (http-01): ")
