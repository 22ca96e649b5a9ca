"""A Docker Engine in memory, for tests and benchmarks: its HTTP API is fake, what talks to it is the real SDK.

It serves what ``sources/docker/api.py`` and ``networks/engine.py`` call, over TCP on the loopback address, and fails in
the ways real ones do. All methods may be called from any thread; none waits.

    with FakeEngine() as engine:
        engine.add_service("web", labels={"xds.hosts": "a.example"}, networks=[engine.add_network("front")], tasks=2)
        source = DockerSource([Endpoint(url=engine.url)])

What is in the swarm stands in ``engine_swarm``, what may be written to it in ``engine_writes``.
"""

import contextlib
import json
import re
import socket
import threading
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from support.allowed import allowed
from support.engine_http import STREAM, Handler, Server
from support.engine_secrets import SwarmWithSecrets
from support.engine_swarm import PREDEFINED
from support.engine_writes import Answer, absent, carried, refused

_API = re.compile(r"^/v1\.\d+(?=/)")


@dataclass(slots=True)
class _Fault:
    kind: str
    path: str
    left: int
    status: int = 500
    message: str = ""
    method: str = ""
    body: bytes = b""
    alone: bool = False

    def meets(self, method: str, path: str) -> bool:
        return self.method in {"", method} and (path == self.path if self.alone else path.startswith(self.path))


class FakeEngine(SwarmWithSecrets):
    """One manager of a swarm, behind a proxy that lets through what the documentation says and nothing else.

    Attributes:
        asked: Each request's path, without version and query, in order.
        calls: The same with the method.
        writes_stopped: Set when a write was refused because of ``stop_writes``, or its answer lost.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.writes_stopped = threading.Event()
        self._faults: list[_Fault] = []
        self._sockets: set[socket.socket] = set()
        self._hanging: str | None = None
        self._writes_left: int | None = None
        self._lose_answer = False
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        super().__init__()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its endpoint, as in ``DOCKER_HOST``; the same after a stop and a start."""
        return f"tcp://127.0.0.1:{self._port}"

    # The engine itself

    def start(self) -> None:
        """Listen, on the same port as before."""
        if self._server:
            return
        handler = type("Bound", (Handler,), {"engine": self})
        self._server = Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="fake-engine", daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and cut those there are."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        self.close_events()
        self.release()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    # What goes wrong

    def fail(
        self,
        *,
        status: int = 500,
        times: int = 1,
        for_path: str = "",
        method: str = "",
        message: str = "made to fail",
    ) -> None:
        """Answer the next requests whose path begins with ``for_path`` with an error."""
        self._add(_Fault("fail", for_path, times, status, message, method))

    def stop_writes(self, *, after: int, lose_answer: bool = False) -> None:
        """Do only some more writes and refuse the rest; with ``lose_answer`` the last one is done without an answer."""
        with self._lock:
            self._writes_left, self._lose_answer = after, lose_answer
            self.writes_stopped.clear()

    def truncate(self, *, times: int = 1, for_path: str = "", lie: bool = False) -> None:
        """Break off the next answers in the middle; with ``lie`` their length says that they are whole."""
        self._add(_Fault("lie" if lie else "cut", for_path, times))

    def say(self, body: bytes, *, status: int = 200, times: int = 1, for_path: str = "", alone: bool = False) -> None:
        """Answer the next requests whose path begins with ``for_path``, or is just that ``alone``, with this."""
        self._add(_Fault("say", for_path, times, status, body=body, alone=alone))

    def mend(self) -> None:
        """Take back the faults that are still to come."""
        with self._lock:
            self._faults.clear()
            self._writes_left = None

    def hang(self, *, for_path: str = "") -> None:
        """Accept requests whose path begins with ``for_path`` and do not answer."""
        with self._lock:
            self._hanging = for_path

    def release(self) -> None:
        """Answer again."""
        with self._changed:
            self._hanging = None
            self._changed.notify_all()

    # What the handler uses

    def answer(
        self, path: str, query: dict[str, list[str]], method: str = "GET", body: bytes = b""
    ) -> tuple[int, bytes, str]:
        """Return status, body and the fault to apply to it."""
        with self._changed:
            path = _API.sub("", path)
            self.asked.append(path)
            self.calls.append((method, path))
            if not allowed(method, path):
                return *refused(403, f"{method} {path} is not on the list in docs/security.md"), ""
            self._changed.wait_for(lambda: self._hanging is None or not path.startswith(self._hanging))
            fault = next((f for f in self._faults if f.meets(method, path)), None)
            if fault:
                fault.left -= 1
                if fault.left <= 0:
                    self._faults.remove(fault)
                if fault.kind == "fail":
                    return *refused(fault.status, fault.message), ""
                if fault.kind == "say":
                    return fault.status, fault.body, ""
            kind = fault.kind if fault else ""
            if method == "GET":
                return *self._read(path, _filters(query)), kind
            return self._write(method, path, query, json.loads(body or b"null"), kind)

    def _read(self, path: str, filters: dict[str, list[str]]) -> Answer:  # noqa: PLR0911 - one for each kind
        first, _, identifier = path.strip("/").partition("/")
        kind, identifier = first[:-1], unquote(identifier)
        match first:
            case "version" | "_ping":
                return 200, b'{"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}'
            case "events":
                return STREAM, b""
            case "services" | "configs" if identifier:
                raw = self.named(kind, identifier)
                return (200, self._bytes[kind, raw["ID"]]) if raw else absent(kind, identifier)
            case "networks" if identifier:
                body = self._bytes.get((kind, identifier))
                return (200, body) if body else absent(kind, identifier)
            case "services" | "configs":
                return 200, self.listed(kind, filters.get("label", []))
            case "secrets":
                return 200, self.listed_secrets(filters.get("label", []))
            case "networks" if "label" in filters:
                raws = [raw for raw in self._networks.values() if set(filters["label"]) <= carried(raw["Labels"] or {})]
                return 200, json.dumps(raws).encode()
            case "networks" | "nodes":
                found = [
                    self._bytes[kind, i]
                    for i, raw in getattr(self, f"_{first}").items()
                    if PREDEFINED not in (raw.get("Labels") or {})
                ]
                return 200, b"[" + b",".join(found) + b"]"
            case "tasks":
                return self._task_list(filters.get("service", list(self._tasks)))
            case _:
                return refused(404, "page not found")

    def _write(
        self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any], fault: str
    ) -> tuple[int, bytes, str]:
        if self._writes_left == 0:
            self.writes_stopped.set()
            return *refused(500, "made to refuse writes"), ""
        done = len(self.written)
        status, answer = self._write_to(method, path, query, body)
        if self._writes_left is not None and len(self.written) > done:
            self._writes_left -= 1
            if not self._writes_left and self._lose_answer:
                self.writes_stopped.set()
                return status, answer or b" ", "cut"
        return status, answer, fault

    def _write_to(  # noqa: PLR0911 - one for each kind
        self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]
    ) -> Answer:
        match method, path.strip("/").split("/"):
            case "POST", ["services", "create"]:
                return self.write_service(body)
            case "POST", ["services", identifier, "update"]:
                return self.rewrite_service(identifier, int(query["version"][0]), body)
            case "DELETE", ["services", identifier]:
                return self.erase_service(identifier)
            case "POST", ["configs", "create"]:
                return self.write_config(body)
            case "DELETE", ["configs", identifier]:
                return self.erase_config(identifier)
            case "POST", ["secrets", "create"]:
                return self.write_secret(body)
            case "DELETE", ["secrets", identifier]:
                return self.erase_secret(identifier)
            case "DELETE", ["networks", identifier]:
                return self.erase_network(identifier)
            case _:
                return refused(404, "page not found")

    def _task_list(self, services: list[str]) -> tuple[int, bytes]:
        for service in services:
            if service not in self._tasks:
                return absent("service", service)  # as the real one: no answer for the others either
        return 200, b"[" + b",".join(filter(None, (self._bytes["task", i] for i in services))) + b"]"

    def track(self, sock: socket.socket, *, opened: bool) -> None:
        """Remember a connection, or forget it."""
        with self._lock:
            (self._sockets.add if opened else self._sockets.discard)(sock)

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)


def _filters(query: dict[str, list[str]]) -> dict[str, list[str]]:
    return dict(json.loads(query.get("filters", ["{}"])[0]))
