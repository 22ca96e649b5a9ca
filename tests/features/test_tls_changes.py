"""Certificates and hosts change while clients are connected: nobody's connection breaks, and nothing bad is served."""

import asyncio
import http.client
import ssl
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509

from support.certificates import Issued, authority
from support.tls_client import Client
from support.tls_tasks import Task
from support.tls_world import TlsWorld, tls_world, write

pytestmark = pytest.mark.envoy

ROTATIONS = 50
CA = authority()
HOST, OTHER = "app.example.org", "www.example.org"
VARIANTS = [pytest.param(True, id="incremental"), pytest.param(False, id="sotw")]


def stack(task: Task, **services: str) -> str:
    """Return a stack file: labels by service, each of which is that one task."""
    lines = ["services:"]
    for name, labels in services.items():
        lines += [
            f"  {name}:",
            "    image: app",
            f'    x-tasks: ["{task.address}"]',
            f"    deploy: {{labels: {{xds.port: 80, {labels}}}}}",
        ]
    return "\n".join(lines) + "\n"


APP_LABELS = f"xds.hosts: {HOST}, xds.ssl_cert: app.pem, xds.ssl_only: 'true'"
OTHER_LABELS = f"xds.hosts: {OTHER}, xds.ssl_cert: other.pem"


class Asking:
    """Asks a host all the time on a connection that it keeps, and on new ones; counts what must not be."""

    def __init__(self, client: Client, host: str) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._client, self._host = client, host
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(asyncio.to_thread(each)) for each in (self._kept, self._anew)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        await asyncio.gather(*self._tasks)

    def _kept(self) -> None:
        try:
            with self._client.connect(self._host, alpn=("http/1.1",)) as connection:
                request = http.client.HTTPConnection("127.0.0.1", timeout=10)
                request.sock = connection
                while not self._ended and not self.failures:
                    request.request("GET", "/", headers={"Host": self._host})
                    response = request.getresponse()
                    response.read()
                    self._note(response.status, response.getheader("connection"))
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"kept: {error!r}")

    def _anew(self) -> None:
        while not self._ended and not self.failures:
            try:
                self._note(self._client.ask(self._host).status, None)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"new: {error!r}")

    def _note(self, status: int, connection: str | None) -> None:
        self.answers += 1
        if status != 200 or connection == "close":
            self.failures.append(f"{status}, connection: {connection}")


async def until(client: Client, host: str, holds: Callable[[x509.Certificate | None], bool]) -> None:
    """Shake hands until the certificate (None: refused) is as it should be."""

    def served() -> x509.Certificate | None:
        with suppress(ssl.SSLError, ConnectionError):
            return client.handshake(host).certificate
        return None

    async with asyncio.timeout(10):
        while not holds(await asyncio.to_thread(served)):
            await asyncio.sleep(0)


async def rotation(world: TlsWorld) -> tuple[float, float]:
    """Rotate, and return how long it took from writing and from reading the file to the handshake, in milliseconds."""
    new, before = CA.issue(HOST), len(world.published)
    began = time.perf_counter()
    write(world.certs / "app.pem", new.pair)
    async with asyncio.timeout(10):
        while len(world.published) == before:
            await asyncio.sleep(0)
    read = time.perf_counter() - world.published[-1].seconds
    await until(world.client(), HOST, new.certificate.__eq__)
    done = time.perf_counter()
    return (done - began) * 1_000, (done - read) * 1_000


@pytest.mark.parametrize("incremental", VARIANTS)
async def test_no_request_fails_while_a_certificate_is_rotated_50_times(
    envoy_binary: Path, tmp_path: Path, incremental: bool
) -> None:
    """Under load, on kept and on new connections; printed: how long until the new certificate is in the handshake."""
    certs = {"app.pem": CA.issue(HOST).pair, "other.pem": CA.issue(OTHER).pair}
    with Task("app", tmp_path) as task:
        text = stack(task, app=APP_LABELS, other=OTHER_LABELS)
        async with tls_world(envoy_binary, tmp_path, CA, text, certs, incremental=incremental) as world:
            written: list[float] = []
            read: list[float] = []
            async with Asking(world.client(), HOST) as app, Asking(world.client(), OTHER) as other:
                for _ in range(ROTATIONS):
                    after_write, after_read = await rotation(world)
                    written.append(after_write)
                    read.append(after_read)
            failures = [*app.failures, *other.failures]
            assert not failures, failures[:10]
            assert min(app.answers, other.answers) > ROTATIONS
            stats = await world.stats("listener_manager|update_rejected")
            assert stats["listener_manager.listener_modified"] == 0
            assert stats["listener_manager.listener_in_place_updated"] == 0
            assert not any(value for name, value in stats.items() if name.endswith("update_rejected"))
    for what, times in (("read", read), ("written", written)):
        print(  # noqa: T201 - the figure is what it is for
            f"\nnew certificate in the handshake after it was {what}: median {statistics.median(times):.1f} ms, "
            f"max {max(times):.1f} ms, {'incremental' if incremental else 'sotw'}, {ROTATIONS} rotations"
        )


@pytest.mark.parametrize("incremental", VARIANTS)
async def test_hosts_that_come_and_go_drain_no_other_host(
    envoy_binary: Path, tmp_path: Path, incremental: bool
) -> None:
    """Hosts with their certificates are added, changed and removed; the steady one keeps each connection."""
    certs = {"app.pem": CA.issue(HOST).pair}
    with Task("app", tmp_path) as task:
        text = stack(task, app=APP_LABELS)
        async with tls_world(envoy_binary, tmp_path, CA, text, certs, incremental=incremental) as world:
            client = world.client()
            async with Asking(client, HOST) as asking:
                for turn in range(5):
                    # Envoy keeps a secret as long as connections of a chain that is gone are drained.
                    other = CA.issue(OTHER)
                    write(world.certs / "other.pem", other.pair)
                    labels = f"{OTHER_LABELS}, xds.tls.min_version: '1.{turn % 2 + 2}'"
                    await world.change(partial(world.stack.write_text, stack(task, app=APP_LABELS, other=labels)))
                    await until(client, OTHER, other.certificate.__eq__)
                    assert (await asyncio.to_thread(client.ask, OTHER)).status == 200
                    await world.change(partial(world.stack.write_text, text))
                    await until(client, OTHER, lambda served: served is None)
            assert not asking.failures, asking.failures[:10]
            stats = await world.stats("listener_manager|update_rejected")
            assert stats["listener_manager.listener_in_place_updated"] >= 10
            assert not any(value for name, value in stats.items() if name.endswith("update_rejected"))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(CA.issue(HOST).cert + CA.issue(HOST).key, id="a key that does not fit"),
        pytest.param(CA.issue("else.example.org").pair, id="another name"),
        pytest.param(CA.issue(HOST, days=(-9, -1)).pair, id="expired"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nnonsense\n", id="garbage"),
        pytest.param(b"", id="empty"),
        pytest.param(b"#" * 1_048_576, id="1 MB"),
        pytest.param(None, id="gone"),
    ],
)
async def test_what_is_bad_never_takes_the_place_of_what_is_good(
    envoy_binary: Path, tmp_path: Path, bad: bytes | None
) -> None:
    """The good certificate stays, the reason is told, and the next good one is taken."""
    good, better = CA.issue(HOST), CA.issue(HOST)
    with Task("app", tmp_path) as task:
        text = stack(task, app=APP_LABELS)
        async with tls_world(envoy_binary, tmp_path, CA, text, {"app.pem": good.pair}) as world:
            client = world.client()
            before = len(world.published)
            if bad is None:
                (world.certs / "app.pem").unlink()
            else:
                write(world.certs / "app.pem", bad)
            async with asyncio.timeout(10):
                while len(world.published) == before or not world.published[-1].build.problems:
                    await asyncio.sleep(0.005)
            assert client.handshake(HOST).certificate == good.certificate
            assert client.ask(HOST).status == 200
            assert b"PRIVATE KEY" not in repr(world.published).encode()
            await world.change(lambda: write(world.certs / "app.pem", better.pair))
            await until(client, HOST, better.certificate.__eq__)
            assert not world.published[-1].build.problems


async def test_a_label_that_names_nothing_keeps_the_certificate_that_was_served(
    envoy_binary: Path, tmp_path: Path
) -> None:
    """While the certificate that it names is not there; once it is, it is served."""
    first, second = CA.issue(HOST), CA.issue(HOST)
    with Task("app", tmp_path) as task:
        text = stack(task, app=APP_LABELS)
        async with tls_world(envoy_binary, tmp_path, CA, text, {"app.pem": first.pair}) as world:
            before = len(world.published)
            world.stack.write_text(text.replace("app.pem", "next.pem"))
            async with asyncio.timeout(10):
                while len(world.published) == before:
                    await asyncio.sleep(0.005)
            (problem,) = world.published[-1].build.problems
            assert (problem.value, '"app.pem" is served' in problem.reason) == ("next.pem", True)
            assert world.client().handshake(HOST).certificate == first.certificate
            await world.change(lambda: write(world.certs / "next.pem", second.pair))
            await until(world.client(), HOST, second.certificate.__eq__)


async def test_a_host_waits_for_its_certificate_refused_and_never_in_plain(envoy_binary: Path, tmp_path: Path) -> None:
    """Until there is one; then it is served without a restart of anything."""
    with Task("app", tmp_path) as task:
        async with tls_world(envoy_binary, tmp_path, CA, stack(task, app=APP_LABELS), {}) as world:
            client = world.client()
            with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                client.handshake(HOST)
            issued: Issued = CA.issue(HOST)
            await world.change(lambda: write(world.certs / "app.pem", issued.pair))
            await until(client, HOST, issued.certificate.__eq__)
            assert (await asyncio.to_thread(client.ask, HOST)).status == 200
