"""The fake engine's HTTP server: requests in, answers out, broken off where a fault says so."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from support.engine_swarm import Listener

#: Status of an answer that is a stream.
STREAM = 0


class Answers(Protocol):
    """What the handler asks."""

    def answer(
        self, path: str, query: dict[str, list[str]], method: str = "GET", body: bytes = b""
    ) -> tuple[int, bytes, str]:
        """Return status, body and the fault to apply to it."""
        ...

    def listen(self) -> Listener:
        """Register an event stream."""
        ...

    def next_chunk(self, listener: Listener) -> bytes:
        """Wait for something to tell; empty at the end."""
        ...

    def unlisten(self, listener: Listener) -> None:
        """Forget an event stream."""
        ...

    def track(self, sock: socket.socket, *, opened: bool) -> None:
        """Remember a connection, or forget it."""
        ...


class Server(ThreadingHTTPServer):
    """Listens, with a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine: Answers

    def setup(self) -> None:
        """Begin."""
        super().setup()
        self.engine.track(self.connection, opened=True)

    def finish(self) -> None:
        """End."""
        self.engine.track(self.connection, opened=False)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
        """Keep quiet."""

    def do_GET(self) -> None:
        """Answer a read, or stream events."""
        split = urlsplit(self.path)
        if split.path.endswith("/events"):
            status, body, _ = self.engine.answer(split.path, {})
            if status == STREAM:
                self._events()
                return
            self._send(status, body, "")
            return
        self._send(*self.engine.answer(split.path, parse_qs(split.query)))

    def do_POST(self) -> None:
        """Answer a write."""
        split = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._send(*self.engine.answer(split.path, parse_qs(split.query), self.command, body))

    def do_DELETE(self) -> None:
        """Answer a removal."""
        self.do_POST()

    def _send(self, status: int, body: bytes, fault: str) -> None:
        length = len(body)
        if fault:
            body = body[: length // 2]
            self.close_connection = True
        head = f"HTTP/1.1 {status} Made\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body) if fault == 'lie' else length}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def _events(self) -> None:
        # Registered before the head is sent: what changes after the client has seen it is told.
        listener = self.engine.listen()
        self.close_connection = True
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while data := self.engine.next_chunk(listener):
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        finally:
            self.engine.unlisten(listener)
