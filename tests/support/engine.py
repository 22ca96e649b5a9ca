"""A Docker Engine in memory, for tests and benchmarks: its HTTP API is fake, what talks to it is the real SDK.

It serves what ``sources/docker/api.py`` calls, over TCP on the loopback address, and fails in the ways real ones do.
All methods may be called from any thread; none waits.

    with FakeEngine() as engine:
        engine.add_service("web", labels={"xds.hosts": "a.example"}, networks=[engine.add_network("front")], tasks=2)
        source = DockerSource([Endpoint(url=engine.url)])
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

_API = re.compile(r"^/v1\.\d+(?=/)")
#: Status of an answer that is a stream.
_STREAM = 0
_CREATED = "2024-05-01T12:00:00.000000001Z"


@dataclass(slots=True)
class _Fault:
    kind: str
    path: str
    left: int
    status: int = 500
    message: str = ""


@dataclass(slots=True)
class _Listener:
    chunks: deque[bytes] = field(default_factory=deque)
    ended: bool = False


class FakeEngine:
    """One manager of a swarm.

    Attributes:
        asked: Each request's path, without version and query, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._services: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, list[dict[str, Any]]] = {}
        self._networks: dict[str, dict[str, Any]] = {}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._bytes: dict[tuple[str, str], bytes] = {}
        self._faults: list[_Fault] = []
        self._listeners: list[_Listener] = []
        self._sockets: set[socket.socket] = set()
        self._burst: list[bytes] | None = None
        self._muted = False
        self._hanging: str | None = None
        self._count = 0
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.ingress = self.add_network("ingress", ingress=True, subnet="10.255.0.0/16")
        self.add_node("node1", "192.0.2.1")
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
        handler = type("Handler", (_Handler,), {"engine": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
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

    # What is in the swarm

    def add_network(
        self, name: str, *, subnet: str = "", stack: str = "", ingress: bool = False, scope: str = "swarm"
    ) -> str:
        """Create a network and return its id."""
        with self._lock:
            identifier = self._new_id("net")
            number = self._count
            self._networks[identifier] = {
                "Id": identifier,
                "Name": name,
                "Created": _CREATED,
                "Scope": scope,
                "Driver": "overlay",
                "Ingress": ingress,
                "IPAM": {"Config": [{"Subnet": subnet or f"10.{number // 250 % 250}.{number % 250}.0/24"}]},
                "Labels": {"com.docker.stack.namespace": stack} if stack else None,
            }
            self._put("network", identifier, self._networks[identifier], "create", name)
        return identifier

    def remove_network(self, identifier: str) -> None:
        """Remove a network."""
        with self._lock:
            self._drop("network", identifier, self._networks.pop(identifier)["Name"])

    def add_node(self, hostname: str, address: str) -> str:
        """Add a node and return its id."""
        with self._lock:
            identifier = self._new_id("node")
            self._nodes[identifier] = {
                "ID": identifier,
                "Spec": {"Role": "worker", "Availability": "active"},
                "Description": {"Hostname": hostname},
                "Status": {"State": "ready", "Addr": address},
            }
            self._put("node", identifier, self._nodes[identifier], "create", hostname)
        return identifier

    def set_node(self, identifier: str, *, state: str = "ready", availability: str = "active") -> None:
        """Change a node's state or availability."""
        with self._lock:
            raw = self._nodes[identifier]
            raw["Status"]["State"], raw["Spec"]["Availability"] = state, availability
            self._put("node", identifier, raw, "update", raw["Description"]["Hostname"])

    def add_service(
        self,
        name: str,
        *,
        labels: dict[str, Any] | None = None,
        networks: Sequence[str] = (),
        tasks: int | Sequence[dict[str, Any]] = 0,
        ports: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Create a service and return its id; ``tasks`` is a number of running ones, or what ``task`` made."""
        with self._lock:
            identifier = self._new_id("svc")
            count = tasks if isinstance(tasks, int) else len(tasks)
            self._services[identifier] = {
                "ID": identifier,
                "Version": {"Index": self._count},
                "CreatedAt": _CREATED,
                "Spec": {
                    "Name": name,
                    "Labels": labels,
                    "TaskTemplate": {"Networks": [{"Target": network} for network in networks]},
                    "Mode": {"Replicated": {"Replicas": count}},
                    "EndpointSpec": {"Mode": "vip", "Ports": list(ports)},
                },
                "Endpoint": {
                    "Ports": list(ports),
                    "VirtualIPs": [{"NetworkID": network, "Addr": self._address(network)} for network in networks],
                },
            }
            made = [self.task(identifier) for _ in range(tasks)] if isinstance(tasks, int) else tasks
            self.set_tasks(identifier, made)
            self._put("service", identifier, self._services[identifier], "create", name)
        return identifier

    def update_service(
        self,
        identifier: str,
        *,
        labels: dict[str, Any] | None = None,
        replicas: int | None = None,
        status: str | None = None,
        tell: bool = True,
        **raw: Any,  # noqa: ANN401 - JSON
    ) -> None:
        """Change what is given, ``raw`` being keys of the engine's JSON; without ``tell`` there is no event."""
        with self._lock:
            service = self._services[identifier]
            if labels is not None:
                service["Spec"]["Labels"] = labels
            if replicas is not None:
                service["Spec"]["Mode"] = {"Replicated": {"Replicas": replicas}}
            if status is not None:
                service["UpdateStatus"] = {"State": status}
            service.update(raw)
            self._count += 1
            service["Version"] = {"Index": self._count}
            self._put("service", identifier, service, "update" if tell else "", service["Spec"]["Name"])

    def remove_service(self, identifier: str, *, tell: bool = True) -> None:
        """Remove a service and its tasks; without ``tell`` there is no event."""
        with self._lock:
            name = self._services.pop(identifier)["Spec"]["Name"]
            self._tasks.pop(identifier)
            self._drop("service", identifier, name, tell=tell)

    def task(
        self,
        service: str,
        *,
        state: str = "running",
        desired: str = "running",
        node: str = "",
        host_ports: Sequence[tuple[int, int]] = (),
    ) -> dict[str, Any]:
        """Make a task of a service, in all its networks, for ``set_tasks``; ``host_ports`` as (target, published)."""
        with self._lock:
            networks = [entry["Target"] for entry in self._services[service]["Spec"]["TaskTemplate"]["Networks"]]
            ports = [
                {"Protocol": "tcp", "TargetPort": target, "PublishedPort": published, "PublishMode": "host"}
                for target, published in host_ports
            ]
            return {
                "ID": self._new_id("task"),
                "ServiceID": service,
                "NodeID": node or next(iter(self._nodes)),
                "Status": {"State": state, "PortStatus": {"Ports": ports} if ports else {}},
                "DesiredState": desired,
                "NetworksAttachments": [
                    {
                        "Network": {"ID": network, "Spec": {"Name": self._networks[network]["Name"]}},
                        "Addresses": [self._address(network)],
                    }
                    for network in networks
                ],
            }

    def set_tasks(self, service: str, tasks: Sequence[dict[str, Any]]) -> None:
        """Make these the service's tasks. As in a real engine, there is no event."""
        with self._lock:
            self._tasks[service] = list(tasks)
            self._bytes["task", service] = b",".join(json.dumps(task).encode() for task in tasks)

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """Return the service's tasks, to change and set again."""
        with self._lock:
            return json.loads(json.dumps(self._tasks[service]))

    @contextlib.contextmanager
    def burst(self) -> Iterator[None]:
        """Tell of everything that changes inside in one piece."""
        with self._lock:
            self._burst = []
            yield
            told, self._burst = b"".join(self._burst), None
            self._send(told)

    # What goes wrong

    def fail(self, *, status: int = 500, times: int = 1, for_path: str = "", message: str = "made to fail") -> None:
        """Answer the next requests whose path begins with ``for_path`` with an error."""
        self._add(_Fault("fail", for_path, times, status, message))

    def truncate(self, *, times: int = 1, for_path: str = "", lie: bool = False) -> None:
        """Break off the next answers in the middle; with ``lie`` their length says that they are whole."""
        self._add(_Fault("lie" if lie else "cut", for_path, times))

    def mend(self) -> None:
        """Take back the faults that are still to come."""
        with self._lock:
            self._faults.clear()

    def close_events(self) -> None:
        """End the event streams that are open, as a restarting engine does."""
        with self._changed:
            for listener in self._listeners:
                listener.ended = True
            self._changed.notify_all()

    def mute_events(self, *, muted: bool = True) -> None:
        """Lose all events from now on, while the streams stay open."""
        with self._lock:
            self._muted = muted

    def tell(self, line: bytes) -> None:
        """Send a line of the test's own over the event streams."""
        with self._lock:
            self._send(line + b"\n")

    def hang(self, *, for_path: str = "") -> None:
        """Accept requests whose path begins with ``for_path`` and do not answer."""
        with self._lock:
            self._hanging = for_path

    def release(self) -> None:
        """Answer again."""
        with self._changed:
            self._hanging = None
            self._changed.notify_all()

    @property
    def streams(self) -> int:
        """How many event streams are open."""
        with self._lock:
            return len(self._listeners)

    # What the handler uses

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes, str]:
        """Return status, body and the fault to apply to it."""
        with self._changed:
            path = _API.sub("", path)
            self.asked.append(path)
            self._changed.wait_for(lambda: self._hanging is None or not path.startswith(self._hanging))
            fault = next((f for f in self._faults if path.startswith(f.path)), None)
            if fault:
                fault.left -= 1
                if fault.left <= 0:
                    self._faults.remove(fault)
                if fault.kind == "fail":
                    return fault.status, json.dumps({"message": fault.message}).encode(), ""
            status, body = self._body(path, query)
            return status, body, fault.kind if fault else ""

    def _body(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        first, _, identifier = path.strip("/").partition("/")
        identifier = unquote(identifier)
        match first:
            case "version" | "_ping":
                return 200, b'{"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}'
            case "events":
                return _STREAM, b""
            case "services" | "networks" if identifier:
                body = self._bytes.get((first[:-1], identifier))
                return (200, body) if body else _absent(first[:-1], identifier)
            case "services" | "networks" | "nodes":
                found = [self._bytes[first[:-1], i] for i in getattr(self, f"_{first}")]
                return 200, b"[" + b",".join(found) + b"]"
            case "tasks":
                return self._task_list(json.loads(query.get("filters", ["{}"])[0]).get("service", list(self._tasks)))
            case _:
                return 404, b'{"message": "page not found"}'

    def _task_list(self, services: list[str]) -> tuple[int, bytes]:
        for service in services:
            if service not in self._tasks:
                return _absent("service", service)  # as the real one: no answer for the others either
        return 200, b"[" + b",".join(filter(None, (self._bytes["task", i] for i in services))) + b"]"

    def listen(self) -> _Listener:
        """Register an event stream."""
        with self._changed:
            listener = _Listener()
            self._listeners.append(listener)
            self._changed.notify_all()
            return listener

    def next_chunk(self, listener: _Listener) -> bytes:
        """Wait for something to tell; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: listener.ended or listener.chunks)
            return listener.chunks.popleft() if listener.chunks else b""

    def unlisten(self, listener: _Listener) -> None:
        """Forget an event stream."""
        with self._lock:
            self._listeners.remove(listener)

    def track(self, sock: socket.socket, *, opened: bool) -> None:
        """Remember a connection, or forget it."""
        with self._lock:
            (self._sockets.add if opened else self._sockets.discard)(sock)

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _new_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count:021d}"

    def _address(self, network: str) -> str:
        self._count += 1
        subnet = ip_network(self._networks[network]["IPAM"]["Config"][0]["Subnet"])
        return f"{subnet[2 + self._count % (subnet.num_addresses - 3)]}/{subnet.prefixlen}"

    def _put(self, kind: str, identifier: str, raw: dict[str, Any], action: str, name: str) -> None:
        self._bytes[kind, identifier] = json.dumps(raw).encode()
        if action:
            self._tell(kind, action, identifier, name)

    def _drop(self, kind: str, identifier: str, name: str, *, tell: bool = True) -> None:
        del self._bytes[kind, identifier]
        if tell:
            self._tell(kind, "remove", identifier, name)

    def _tell(self, kind: str, action: str, identifier: str, name: str) -> None:
        actor = {"ID": identifier, "Attributes": {"name": name}}
        event = {"Type": kind, "Action": action, "Actor": actor, "scope": "swarm", "timeNano": time.time_ns()}
        line = json.dumps(event).encode() + b"\n"
        if self._burst is None:
            self._send(line)
        else:
            self._burst.append(line)

    def _send(self, data: bytes) -> None:
        if data and not self._muted:
            for listener in self._listeners:
                listener.chunks.append(data)
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's types
        """Say nothing: clients that go away are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine: FakeEngine

    def setup(self) -> None:
        super().setup()
        self.engine.track(self.connection, opened=True)

    def finish(self) -> None:
        self.engine.track(self.connection, opened=False)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
        """Keep quiet."""

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        if split.path.endswith("/events"):
            status, body, _ = self.engine.answer(split.path, {})
            if status == _STREAM:
                self._events()
                return
            self._send(status, body, "")
            return
        self._send(*self.engine.answer(split.path, parse_qs(split.query)))

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


def _absent(kind: str, identifier: str) -> tuple[int, bytes]:
    return 404, json.dumps({"message": f"{kind} {identifier} not found"}).encode()
