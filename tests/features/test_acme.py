"""A host that asks for TLS and has no certificate gets one by ACME, through a real Envoy, from a real authority."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from support.certificates import authority
from support.pebble import Pebble, asked_often
from support.tls_client import ask_plain
from support.tls_tasks import Task
from support.tls_world import tls_world
from swarm_xds.certs.acme.options import AcmeOptions, ChallengeType
from swarm_xds.certs.acme.source import AcmeSource
from swarm_xds.certs.acme.state import Folder
from swarm_xds.certs.acme.tls_alpn import answer

pytestmark = pytest.mark.envoy

CA = authority()
STACK = """
services:
  app:
    image: app
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: app.example.org, xds.port: 80, xds.ssl_only: "true"}}
  given:
    image: app
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: given.example.net, xds.port: 80, xds.ssl_only: "true"}}
"""


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    """An authority that looks at the edge for its challenges."""
    made = Pebble(tmp_path)
    with asked_often():
        yield made
    made.stop()


async def test_a_certificate_is_ordered_and_served(envoy_binary: Path, tmp_path: Path, pebble: Pebble) -> None:
    """The edge answers the challenge although plain HTTP is redirected; what the directory names is not ordered."""
    folder = tmp_path / "world"
    folder.mkdir()
    acme = AcmeOptions(
        folder=tmp_path / "acme", terms_agreed=True, directory=pebble.directory, ca=pebble.ca, settle=2.0
    )
    certs = {"given.pem": CA.issue("given.example.net").pair}
    with Task("a", tmp_path) as task:
        world_of = tls_world(
            envoy_binary,
            folder,
            CA,
            STACK,
            certs,
            http_port=pebble.http_port,
            acme=acme,
            environ={"TASK": task.address},
        )
        async with world_of as world:
            assert ask_plain(pebble.http_port, "app.example.org").status == 308
            served = await _until(world.settings.https_port, lambda found: found is not None)
            assert served is not None
            assert "Pebble" in served.issuer.rfc4514_string(), pebble.log
            assert not world.published[-1].build.problems
            assert ask_plain(pebble.http_port, "app.example.org").status == 308
    assert {path.name for path in (tmp_path / "acme").rglob("*.pem") if "example" in path.name} == {
        "app.example.org.pem"
    }


async def test_port_443_is_enough(envoy_binary: Path, tmp_path: Path, pebble: Pebble) -> None:
    """The replica that has the proxy is not the one that orders; answers are for those who ask for them only."""
    folder = tmp_path / "world"
    folder.mkdir()
    acme = AcmeOptions(
        folder=tmp_path / "acme",
        terms_agreed=True,
        directory=pebble.directory,
        ca=pebble.ca,
        challenges=(ChallengeType.TLS_ALPN_01,),
        settle=2.0,
    )
    with Task("a", tmp_path) as task:
        world_of = tls_world(
            envoy_binary,
            folder,
            CA,
            STACK,
            {"given.pem": CA.issue("given.example.net").pair},
            https_port=pebble.tls_port,
            acme=acme,
            orders=False,
            environ={"TASK": task.address},
        )
        async with world_of as world:
            other = AcmeSource(acme)
            other.want(["app.example.org"])
            ordering = asyncio.create_task(other.run())
            try:
                issued = await _until(pebble.tls_port, lambda found: found is not None)
            finally:
                ordering.cancel()
                await asyncio.gather(ordering, return_exceptions=True)
            assert issued is not None
            assert "Pebble" in issued.issuer.rfc4514_string()
            assert pebble.log.count("/order-plz -> calling") == 1
            # As while it is renewed.
            state, digest = Folder(acme.folder), bytes(32)
            pem = answer("app.example.org", digest).decode()
            published = await world.change(
                lambda: state.save_challenge("app.example.org", ChallengeType.TLS_ALPN_01, "t" * 43, pem)
            )
            assert not published.build.problems
            shown = await _until(pebble.tls_port, lambda found: found != issued, "acme-tls/1")
            assert shown == x509.load_pem_x509_certificate(pem.encode())
            assert await asyncio.to_thread(_served, pebble.tls_port, _context("h2")) == issued
            given = world.client().handshake("given.example.net", alpn=("acme-tls/1", "h2"))
            assert (given.alpn, given.certificate.issuer) == ("h2", CA.certificate.subject)
            await world.change(state.clear_challenges)
            assert await _until(pebble.tls_port, lambda found: found == issued, "acme-tls/1")


async def _until(
    port: int, holds: Callable[[x509.Certificate | None], bool], alpn: str = "h2"
) -> x509.Certificate | None:
    """Return the certificate of the host as soon as something holds of it; None while it is refused."""
    async with asyncio.timeout(60):
        while not holds(found := await asyncio.to_thread(_served, port, _context(alpn))):
            await asyncio.sleep(0.1)
    return found


def _context(alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context


def _served(port: int, context: ssl.SSLContext) -> x509.Certificate | None:
    """Return the certificate of the host; None while it is refused."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="app.example.org") as connection,
        ):
            found = connection.getpeercert(binary_form=True)
    except OSError:
        return None
    return None if found is None else x509.load_der_x509_certificate(found)
