"""The swarm of the fake engine: networks, nodes, services, tasks and configs in memory, and who is told of changes.

All methods may be called from any thread; none waits.
"""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

#: When everything was created.
#: On networks that every node has.
PREDEFINED = "com.docker.swarm.predefined"
CREATED = "2024-05-01T12:00:00.000000001Z"


@dataclass(slots=True)
class Listener:
    """An open event stream."""

    chunks: deque[bytes] = field(default_factory=deque)
    ended: bool = False


class FakeSwarm:
    """What the managers of a swarm know."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._services: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, list[dict[str, Any]]] = {}
        self._networks: dict[str, dict[str, Any]] = {}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._bytes: dict[tuple[str, str], bytes] = {}
        self._listeners: list[Listener] = []
        self._burst: list[bytes] | None = None
        self._muted = False
        self._count = 0
        self.ingress = self.add_network("ingress", ingress=True, subnet="10.255.0.0/16")
        self.add_node("node1", "192.0.2.1")

    # What is in the swarm

    def add_network(
        self,
        name: str,
        *,
        subnet: str = "",
        stack: str = "",
        ingress: bool = False,
        scope: str = "swarm",
        predefined: bool = False,
    ) -> str:
        """Create a network and return its id; one that is ``predefined`` every node has, and it is not listed."""
        with self._lock:
            identifier = self._new_id("net")
            number = self._count
            labels = {"com.docker.stack.namespace": stack, PREDEFINED: "true" if predefined else ""}
            self._networks[identifier] = {
                "Id": identifier,
                "Name": name,
                "Created": CREATED,
                "Scope": scope,
                "Driver": "overlay",
                "Ingress": ingress,
                "IPAM": {"Config": [{"Subnet": subnet or f"10.{number // 250 % 250}.{number % 250}.0/24"}]},
                "Labels": {label: value for label, value in labels.items() if value} or None,
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
        image: str = "app:1",
    ) -> str:
        """Create a service and return its id; ``tasks`` is a number of running ones, or what ``task`` made."""
        with self._lock:
            identifier = self._new_id("svc")
            count = tasks if isinstance(tasks, int) else len(tasks)
            self._services[identifier] = {
                "ID": identifier,
                "Version": {"Index": self._count},
                "CreatedAt": CREATED,
                "Spec": {
                    "Name": name,
                    "Labels": labels,
                    "TaskTemplate": {
                        "ContainerSpec": {"Image": image},
                        "Networks": [{"Target": network} for network in networks],
                    },
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
        **raw: Any,
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

    def scale(self, service: str, count: int, *, tell: bool = True) -> None:
        """Have a service run so many tasks, all of them new ones."""
        with self._lock:
            self.set_tasks(service, [self.task(service) for _ in range(count)])
            self.update_service(service, replicas=count, tell=tell)

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """Return the service's tasks, to change and set again."""
        with self._lock:
            return list(json.loads(json.dumps(self._tasks[service])))

    # Who is told of it

    @contextlib.contextmanager
    def burst(self) -> Iterator[None]:
        """Tell of everything that changes inside in one piece."""
        with self._lock:
            self._burst = []
            yield
            told, self._burst = b"".join(self._burst), None
            self._send(told)

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

    @property
    def streams(self) -> int:
        """How many event streams are open."""
        with self._lock:
            return len(self._listeners)

    def listen(self) -> Listener:
        """Register an event stream."""
        with self._changed:
            listener = Listener()
            self._listeners.append(listener)
            self._changed.notify_all()
            return listener

    def next_chunk(self, listener: Listener) -> bytes:
        """Wait for something to tell; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: listener.ended or listener.chunks)
            return listener.chunks.popleft() if listener.chunks else b""

    def unlisten(self, listener: Listener) -> None:
        """Forget an event stream."""
        with self._lock:
            self._listeners.remove(listener)

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
