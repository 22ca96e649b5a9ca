"""A client that speaks HTTP/3."""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

from support.certificates import Issued


class _Client(QuicConnectionProtocol):
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


async def ask(port: int, ca: Issued, name: str, host: str, seconds: float = 10) -> tuple[int, bytes]:
    """Ask for ``host`` over a connection whose client has named ``name``, and trusts ``ca``."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name)
    configuration.load_verify_locations(cadata=ca.cert)
    configuration.verify_mode = ssl.CERT_REQUIRED
    make = cast("Callable[..., QuicConnectionProtocol]", _Client)
    async with (
        asyncio.timeout(seconds),
        connect("127.0.0.1", port, configuration=configuration, create_protocol=make) as client,
    ):
        return await cast("_Client", client).ask(host)
