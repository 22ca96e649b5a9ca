"""HTTP/3 at a real Envoy, with a client that speaks it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from support.certificates import authority
from support.http3 import ask
from support.tls_tasks import Task
from support.tls_world import tls_world

pytestmark = pytest.mark.envoy

CA, CLIENTS = authority(), authority("Clients")
STACK = """
services:
  app:
    image: app
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: app.example.org, xds.port: 80}}
  private:
    image: app
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: private.example.org, xds.port: 80, xds.tls.client_ca: clients.pem}}
  small:
    image: app
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: small.example.net, xds.port: 80}}
"""


async def test_http_3(envoy_binary: Path, tmp_path: Path) -> None:
    """The same routes over QUIC, told by alt-svc; not where QUIC could not have what the host asks for or has."""
    small = CA.issue("small.example.net", key=ed25519.Ed25519PrivateKey.generate())
    certs = {"wild.pem": CA.issue("*.example.org").pair, "clients.pem": CLIENTS.cert, "small.pem": small.pair}
    with Task("a", tmp_path) as task:
        environ = {"TASK": task.address}
        async with tls_world(envoy_binary, tmp_path, CA, STACK, certs, http3=True, environ=environ) as world:
            port = world.settings.https_port
            answer = world.client().ask("app.example.org")
            assert answer.headers["alt-svc"] == f'h3=":{port}"; ma=86400'
            status, body = await ask(port, CA, "app.example.org", "app.example.org")
            assert (status, b'"task": "a"' in body) == (200, True)
            assert (await ask(port, CA, "app.example.org", "private.example.org"))[0] == 421
            with pytest.raises((ConnectionError, TimeoutError)):
                await ask(port, CA, "private.example.org", "private.example.org", seconds=1)
            assert world.client().handshake("small.example.net").certificate == small.certificate
            renewed = CA.issue("*.example.org")
            await world.change(lambda: (world.certs / "wild.pem").write_bytes(renewed.pair))
            assert (await ask(port, CA, "app.example.org", "app.example.org"))[0] == 200
