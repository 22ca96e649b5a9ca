"""The HTTP endpoint: ``/metrics``, ``/healthz`` and ``/readyz``.

In: ``Metrics``, an address. Out: answers. It answers from threads of its own and asks the event loop for what it says:
a loop that no longer turns is what ``/healthz`` is there to find.

=========  =====================================================================================================
``/healthz``  200 while the event loop turns, 503 otherwise; restart the process then
``/readyz``   200 when there is something to serve, be it from ``snapshot_file``; 503 before
=========  =====================================================================================================

The body of both says ``well``, ``last-good`` or ``starting``, and why.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, TypeVar
from urllib.parse import urlsplit

from swarm_xds.metrics.collect import Metrics
from swarm_xds.observe import Health, Status
from swarm_xds.server import AddressError

T = TypeVar("T")

#: Seconds until an event loop that does not answer counts as stuck.
_PATIENCE = 5.0
#: Seconds until a client that sends or takes nothing is dropped.
_IDLE = 10.0


class MetricsServer:
    """Serves one control plane's metrics and health.

    Args:
        metrics: What to serve.
        address: ``host:port``; port 0 for any that is free.
        patience: Seconds until the event loop counts as stuck.
    """

    def __init__(self, metrics: Metrics, address: str, *, patience: float = _PATIENCE) -> None:
        self._metrics = metrics
        self._address = address
        self._patience = patience
        self._server: ThreadingHTTPServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> int:
        """Listen, and return the port. Call it on the event loop that the record lives on.

        Raises:
            AddressError: The address is taken, or is none of this host's.
        """
        self._loop = asyncio.get_running_loop()
        host, _, port = self._address.rpartition(":")
        handler = type("Bound", (_Handler,), {"owner": self})
        try:
            server = _Server((host.strip("[]"), int(port)), handler)
        except OSError as error:
            raise AddressError(self._address, error.strerror or str(error)) from error
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()
        return int(server.server_address[1])

    async def stop(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.shutdown)
            server.server_close()

    def answer(self, path: str, accept: str) -> tuple[HTTPStatus, bytes, str]:
        """Return status, body and content type for a path; called from any thread."""
        try:
            match urlsplit(path).path:
                case "/metrics":
                    body, content_type = self._ask(lambda: self._metrics.text(accept))
                    return HTTPStatus.OK, body, content_type
                case "/healthz":
                    return HTTPStatus.OK, _told(self._ask(self._metrics.health)), _JSON
                case "/readyz":
                    found = self._ask(self._metrics.health)
                    ready = found.status is not Status.STARTING
                    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                    return status, _told(found), _JSON
                case _:
                    return HTTPStatus.NOT_FOUND, _json(error="there are /metrics, /healthz and /readyz"), _JSON
        except TimeoutError:
            stuck = f"the event loop has not answered for {self._patience:g} s"
            return HTTPStatus.SERVICE_UNAVAILABLE, _json(status="stuck", reasons=[stuck]), _JSON

    def _ask(self, question: Callable[[], T]) -> T:
        """Have a question answered on the event loop, where nothing changes meanwhile.

        Raises:
            TimeoutError: The loop does not turn, or has ended.
        """

        async def ask() -> T:
            return question()

        assert self._loop is not None, "start it first"  # noqa: S101 - a bug, not a condition
        asked = ask()
        try:
            answer = asyncio.run_coroutine_threadsafe(asked, self._loop)
        except RuntimeError as error:
            asked.close()
            raise TimeoutError from error
        try:
            return answer.result(self._patience)
        except (TimeoutError, CancelledError) as error:
            answer.cancel()
            raise TimeoutError from error


_JSON = "application/json"


def _json(**fields: object) -> bytes:
    return f"{json.dumps(fields)}\n".encode()


def _told(health: Health) -> bytes:
    return _json(status=str(health.status), reasons=list(health.reasons))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Two control planes on one port would each get some of the requests: a taken port must be an error.
    allow_reuse_port = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    owner: ClassVar[MetricsServer]
    protocol_version = "HTTP/1.1"
    server_version = "swarm-xds"
    sys_version = ""
    timeout = _IDLE

    def do_GET(self) -> None:
        """Answer."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Keep quiet: whoever asks each few seconds would fill the log."""

    def _answer(self, *, body: bool) -> None:
        status, content, content_type = self.owner.answer(self.path, self.headers.get("Accept", ""))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
