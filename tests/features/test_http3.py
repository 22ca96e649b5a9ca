"""HTTP/3 at a real Envoy, with a client that speaks it."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

from support.certificates import authority
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
"""


class Client(QuicConnectionProtocol):
    """Asks once."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._http = H3Connection(self._quic)
        self._events: asyncio.Queue[H3Event] = asyncio.Queue()

    def quic_event_received(self, event: QuicEvent) -> None:
        """Pass on what HTTP/3 makes of an event."""
        for each in self._http.handle_event(event):
            self._events.put_nowait(each)

    async def ask(self, host: str) -> tuple[int, bytes]:
        """Return status and body."""
        stream = self._quic.get_next_available_stream_id()
        headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", host.encode()), (b":path", b"/")]
        self._http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        status, body = 0, b""
        while True:
            event = await self._events.get()
            if isinstance(event, HeadersReceived):
                status = int(dict(event.headers)[b":status"])
            if isinstance(event, DataReceived):
                body += event.data
            if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
                return status, body


async def ask(port: int, name: str, host: str, seconds: float = 10) -> tuple[int, bytes]:
    """Ask for ``host`` over a connection whose client has named ``name``."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name)
    configuration.load_verify_locations(cadata=CA.cert)
    configuration.verify_mode = ssl.CERT_REQUIRED
    make = cast("Callable[..., QuicConnectionProtocol]", Client)
    async with (
        asyncio.timeout(seconds),
        connect("127.0.0.1", port, configuration=configuration, create_protocol=make) as client,
    ):
        return await cast("Client", client).ask(host)


async def test_http_3(envoy_binary: Path, tmp_path: Path) -> None:
    """The same routes over QUIC, told by alt-svc; not for a host whose clients need a certificate."""
    certs = {"wild.pem": CA.issue("*.example.org").pair, "clients.pem": CLIENTS.cert}
    with Task("a", tmp_path) as task:
        environ = {"TASK": task.address}
        async with tls_world(envoy_binary, tmp_path, CA, STACK, certs, http3=True, environ=environ) as world:
            port = world.settings.https_port
            answer = world.client().ask("app.example.org")
            assert answer.headers["alt-svc"] == f'h3=":{port}"; ma=86400'
            status, body = await ask(port, "app.example.org", "app.example.org")
            assert (status, b'"task": "a"' in body) == (200, True)
            assert (await ask(port, "app.example.org", "private.example.org"))[0] == 421
            with pytest.raises((ConnectionError, TimeoutError)):
                await ask(port, "private.example.org", "private.example.org", seconds=1)
            renewed = CA.issue("*.example.org")
            await world.change(lambda: (world.certs / "wild.pem").write_bytes(renewed.pair))
            assert (await ask(port, "app.example.org", "app.example.org"))[0] == 200
