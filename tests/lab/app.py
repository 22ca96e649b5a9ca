"""A small, well-behaved HTTP application, as any service of a stack should be.

On each of its ports ``/`` answers who it is, ``/healthz`` that it is well, ``/slow?seconds=3`` streams a line every
tenth of a second, and ``/ws`` is a WebSocket that says everything back. At SIGTERM it takes no new connection, finishes
every answer that it has begun, gives each open connection one more second to bring a last request (answered with
``connection: close``), and exits.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from urllib.parse import parse_qs, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

PORTS = [int(port) for port in os.environ.get("PORTS", "8080 8081").split()]
LINGER = float(os.environ.get("LINGER", "1"))
ME = {
    "task": os.environ.get("TASK", socket.gethostname()),
    "host": socket.gethostname(),
    "version": os.environ.get("VERSION", "1"),
}


class App:
    """The server and what it still has to do before it may end."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until SIGTERM, then finish."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ending.set)
        servers = [await asyncio.start_server(self.accept, port=port, backlog=1024) for port in PORTS]
        await self.ending.wait()
        for server in servers:
            server.close()
        if self.connections:
            await asyncio.wait(self.connections)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True if the connection may bring another."""
        head = await self.request(reader)
        if head is None:
            return False
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        headers = {key.lower(): value.strip() for key, _, value in (field.partition(":") for field in fields) if key}
        if length := int(headers.get("content-length", "0")):
            await reader.readexactly(length)
        url = urlsplit(target)
        port = writer.get_extra_info("sockname")[1]
        if url.path == "/ws":
            await self.echo(head, reader, writer)
            return False
        if url.path == "/slow":
            await self.stream(writer, float(parse_qs(url.query).get("seconds", ["3"])[0]))
        else:
            body = b"ok\n" if url.path == "/healthz" else json.dumps({**ME, "port": port, "path": target}).encode()
            writer.write(self.head("200 OK", f"content-length: {len(body)}") + (b"" if method == "HEAD" else body))
        await writer.drain()
        return not self.ending.is_set() and headers.get("connection", "").lower() != "close"

    async def request(self, reader: asyncio.StreamReader) -> bytes | None:
        """Return the next request's head; None if there comes none."""
        read = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        ending = asyncio.ensure_future(self.ending.wait())
        await asyncio.wait((read, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        try:
            return await asyncio.wait_for(read, LINGER if self.ending.is_set() else None)
        except TimeoutError:
            return None

    async def stream(self, writer: asyncio.StreamWriter, seconds: float) -> None:
        """Send one line every tenth of a second."""
        writer.write(self.head("200 OK", "transfer-encoding: chunked"))
        for number in range(round(seconds * 10)):
            line = f"{ME['task']} {number}\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(b"0\r\n\r\n")

    async def echo(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak WebSocket until the client ends it, or the application has to."""
        protocol = ServerProtocol()
        ending = asyncio.ensure_future(self.ending.wait())
        data = head
        while data:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    protocol.send_text(bytes(event.data))
            writer.write(b"".join(protocol.data_to_send()))
            await writer.drain()
            read = asyncio.ensure_future(reader.read(65_536))
            await asyncio.wait((read, ending), return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                protocol.send_close(1001)
                writer.write(b"".join(protocol.data_to_send()))
                return
            data = read.result()
        ending.cancel()

    def head(self, status: str, *fields: str) -> bytes:
        """Return an answer's head, which says whether the connection stays."""
        close = ["connection: close"] if self.ending.is_set() else []
        return "\r\n".join([f"HTTP/1.1 {status}", "content-type: text/plain", *fields, *close, "", ""]).encode()


if __name__ == "__main__":
    asyncio.run(App().run())
