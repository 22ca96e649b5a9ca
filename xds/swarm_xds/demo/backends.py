"""Small HTTP servers that stand in for tasks: each says which service and task it is."""

import json
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

#: Response header with the name of the service that answered.
SERVICE_HEADER = "x-demo-service"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        body = (
            json.dumps(
                {
                    "service": self.server.service,
                    "task": "{}:{}".format(*self.server.server_address[:2]),
                    "path": self.path,
                    "host": self.headers.get("host"),
                    "client": self.headers.get("x-forwarded-for"),
                }
            ).encode()
            + b"\n"
        )
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header(SERVICE_HEADER, self.server.service)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815 - http.server's names

    def log_message(self, *args: object) -> None:
        """Say nothing: the demo prints what matters."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    service = ""


class Backends:
    """Starts a server for each address of this machine that a stack file names, and stops those it names no more."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, int], _Server] = {}
        #: Addresses that cannot be bound, with the reason, as of the last call of ``follow``.
        self.refused: dict[tuple[str, int], str] = {}

    def follow(self, wanted: Iterable[tuple[str, int, str]]) -> None:
        """Have exactly these ``(address, port, service)`` answered; addresses of other machines are left alone."""
        local = {(address, port): service for address, port, service in wanted if _is_loopback(address)}
        for gone in self._servers.keys() - local.keys():
            self._stop(self._servers.pop(gone))
        self.refused = {}
        for place, service in sorted(local.items()):
            if place not in self._servers:
                try:
                    self._servers[place] = self._start(place)
                except OSError as error:
                    self.refused[place] = error.strerror or str(error)
                    continue
            self._servers[place].service = service

    def stop(self) -> None:
        """Stop all servers."""
        self.follow(())

    @staticmethod
    def _start(place: tuple[str, int]) -> _Server:
        server = _Server(place, _Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    @staticmethod
    def _stop(server: _Server) -> None:
        server.shutdown()
        server.server_close()


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return parsed.version == 4 and parsed.is_loopback  # noqa: PLR2004
