"""A real Envoy on a static configuration, with a few tasks that tell what they are asked."""

import http.client
import json
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from support.ports import free_port
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.snapshot.static import static
from swarm_xds.sources.compose.files import read, together

_STACK = Path(__file__).parent / "real_envoy.yml"
#: The client's address: for 127.0.0.1 Envoy would tell tasks its own.
CLIENT = "127.0.0.2"
_START_SECONDS = 30.0


class _Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked; some paths make it fail."""

    protocol_version = "HTTP/1.1"
    #: Headers and body go out together, or a delayed acknowledgement would cost each answer 40 ms.
    wbufsize = -1
    server: "Task"

    def _answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        self.server.asked[self.path] += 1
        if "/reset-once/" in self.path and self.server.first(self.path):
            # An abort rather than an end: the client's next read fails.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._upgrade()
            return
        told = {
            "task": self.server.name,
            "method": self.command,
            "path": self.path,
            "headers": [(name.lower(), value) for name, value in self.headers.items()],
        }
        body = json.dumps(told).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_HEAD = _answer  # noqa: N815 - the base class names them

    def _upgrade(self) -> None:
        self.send_response(101)
        self.send_header("connection", "upgrade")
        self.send_header("upgrade", "websocket")
        self.send_header("x-origin-seen", self.headers.get("origin", ""))
        self.end_headers()
        self.wfile.flush()
        self.wfile.write(self.rfile.read(4).upper())
        self.close_connection = True

    def send_response(self, code: int, message: str | None = None) -> None:
        """Send the status and nothing of this server's own."""
        self.send_response_only(code, message)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


class Task(ThreadingHTTPServer):
    """A task on loopback, in threads of its own."""

    daemon_threads = True

    def __init__(self, name: str, status: int = 200, seen: "set[str] | None" = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.status = status
        self.asked: Counter[str] = Counter()
        self._seen = set() if seen is None else seen
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        """Address and port, as ``x-tasks`` has them."""
        return f"127.0.0.1:{self.server_port}"

    def first(self, path: str) -> bool:
        """Tell whether no task has been asked for a path before."""
        new = path not in self._seen
        self._seen.add(path)
        return new

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: tests break connections."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Envoy answered; ``told`` is what the task told, if a task answered."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    @property
    def told(self) -> dict[str, Any]:
        """What the task was asked, as it tells."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def task(self) -> str:
        """Which task answered."""
        return str(self.told["task"])

    @property
    def seen(self) -> dict[str, str]:
        """The headers that the task saw; one that came twice is joined."""
        seen: dict[str, str] = {}
        for name, value in self.told["headers"]:
            seen[name] = f"{seen[name]} | {value}" if name in seen else value
        return seen

    def header(self, name: str) -> str | None:
        """Return a header of the answer."""
        return next((value for key, value in self.headers if key == name), None)


class Edge:
    """A running Envoy."""

    def __init__(self, binary: Path, folder: Path, environ: dict[str, str], options: EdgeOptions) -> None:
        self.port = options.http_port
        self._admin = free_port()
        given, problems = together([read(_STACK, _STACK.read_bytes(), environ)])
        build = Pipeline(options, "default").build(given, problems)
        assert not build.problems
        config = folder / "envoy.json"
        config.write_text(MessageToJson(static(build.snapshots.of("default"), self._admin)), encoding="utf-8")
        self._log = folder / "envoy.log"
        command = [str(binary), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id"]
        self._process = subprocess.Popen([*command, "--log-path", str(self._log), "--log-level", "warning"])

    def await_ready(self) -> None:
        """Wait until it serves."""
        end = time.monotonic() + _START_SECONDS
        while not self._ready():
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            assert time.monotonic() < end, self._log.read_text(encoding="utf-8")
            time.sleep(0.02)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(
        self, host: str, path: str = "/", *, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Ask over a connection of its own; underscores of header names are written as hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(CLIENT, 0))
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, fields, response.read().decode())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Return a connection for bytes."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@dataclass(frozen=True, slots=True)
class Running:
    """Envoy, and the tasks by name."""

    edge: Edge
    tasks: dict[str, Task]


@pytest.fixture(scope="session")
def running(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Envoy and all its tasks, which end with the tests whatever happens."""
    seen: set[str] = set()
    tasks = {name: Task(name, 500 if name == "broken" else 200, seen) for name in ("a", "b", "c", "d", "e", "broken")}
    with socket.socket() as nobody:
        # Bound and not listening: nobody else gets the port, and it refuses connections.
        nobody.bind(("127.0.0.1", 0))
        environ = {name.upper(): task.address for name, task in tasks.items()}
        environ |= {"NOBODY": f"127.0.0.1:{nobody.getsockname()[1]}", "PORT_OF_E": str(tasks["e"].server_port)}
        options = EdgeOptions(http_port=free_port(), address="127.0.0.1")
        edge = Edge(envoy_binary, tmp_path_factory.mktemp("envoy"), environ, options)
        try:
            edge.await_ready()
            yield Running(edge, tasks)
        finally:
            edge.stop()
            for task in tasks.values():
                task.shutdown()
                task.server_close()


@pytest.fixture
def edge(running: Running) -> Edge:
    """The running Envoy."""
    return running.edge
