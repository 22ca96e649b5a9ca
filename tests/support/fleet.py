"""A fleet of real Envoys, all on one port, the swarm that they serve, and control planes as processes.

How many and how long is for the environment to say (``make soak-fleet``); the defaults are for every day.
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import h11
import httpx
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

import swarm_xds.translate  # noqa: F401 - the messages that stand inside an Any
from support.app import Application
from support.engine import FakeEngine
from support.load import Connection
from support.plain import PLAIN
from support.ports import free_port
from support.world import HOSTS, PORT
from swarm_xds.app import App
from swarm_xds.demo.envoy import Envoy
from swarm_xds.settings import Settings
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, Snapshot
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints
from swarm_xds.translate import BootstrapOptions

ENVOYS = int(os.environ.get("FLEET_ENVOYS", "10"))
CHANGES = int(os.environ.get("FLEET_CHANGES", "150"))
KILLS = int(os.environ.get("FLEET_KILLS", "6"))
FAULTS = int(os.environ.get("FLEET_FAULTS", "0"))
FROZEN_SECONDS = float(os.environ.get("FLEET_FROZEN_SECONDS", "0"))
SEED = int(os.environ.get("FLEET_SEED", "5"))

#: They always answer, whatever else changes.
STEADY = ("steady0", "steady1", "steady2")
#: Its labels turn bad and good again. They never say anything else that is good, since two control planes that see
#: different moments of a change may remember different last good forms (ADR 3).
MOODY = "moody"
KINDS = ("add", "remove", "rename", "zero", "tune", "scale", "bad")
#: Seconds until every Envoy must have a change: far more than it takes, whatever else the machine does.
PATIENCE = 120.0
#: More services than this beside the steady ones, and one goes.
MOST = 60


async def until(fact: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until a fact, which may have to be asked for, holds."""
    async with asyncio.timeout(seconds):
        while True:
            found = fact()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.05)


async def dumped(envoy: Envoy) -> dict[str, dict[str, Message]]:
    """Return what an Envoy has, by type and name; endpoints as it has them too, which is not how they came."""
    async with httpx.AsyncClient(timeout=10, verify=PLAIN) as client:
        parts = json.loads((await client.get(f"{envoy.admin}/config_dump?include_eds")).content)["configs"]
    found: dict[str, dict[str, Message]] = {CLUSTER: {}, LISTENER: {}, ROUTE: {}, ENDPOINT: {}}
    for part in parts:
        for each in part.get("dynamic_active_clusters", ()):
            message = _parse(each["cluster"], cluster_pb2.Cluster)
            found[CLUSTER][message.name] = message
        for each in part.get("dynamic_listeners", ()):
            state = each.get("active_state")
            if state:
                message = _parse(state["listener"], listener_pb2.Listener)
                found[LISTENER][message.name] = message
        for each in part.get("dynamic_route_configs", ()):
            message = _parse(each["route_config"], route_pb2.RouteConfiguration)
            found[ROUTE][message.name] = message
        for each in part.get("dynamic_endpoint_configs", ()):
            message = _parse(each["endpoint_config"], endpoint_pb2.ClusterLoadAssignment)
            found[ENDPOINT][message.cluster_name] = message
    return found


def _parse(document: dict[str, Any], kind: type[Message]) -> Any:
    return _parsed(json.dumps(document), kind)


@lru_cache(1_000)
def _parsed(document: str, kind: type[Message]) -> Message:
    """Return a message, the same one for each Envoy that has it."""
    return ParseDict({key: value for key, value in json.loads(document).items() if key != "@type"}, kind())


def _addresses(message: endpoint_pb2.ClusterLoadAssignment) -> set[str]:
    return {
        f"{each.endpoint.address.socket_address.address}:{each.endpoint.address.socket_address.port_value}"
        for locality in message.endpoints
        for each in locality.lb_endpoints
    }


async def has(envoy: Envoy, snapshot: Snapshot) -> bool:
    """Whether an Envoy has exactly what it is to have."""
    kinds = {CLUSTER: cluster_pb2.Cluster, LISTENER: listener_pb2.Listener, ROUTE: route_pb2.RouteConfiguration}
    try:
        found = await dumped(envoy)
    except httpx.TransportError:
        return False
    wanted = {
        type_url: {name: kind.FromString(each.value) for name, each in snapshot.of(type_url).items()}
        for type_url, kind in kinds.items()
    }
    endpoints = {
        name: _addresses(endpoint_pb2.ClusterLoadAssignment.FromString(each.value))
        for name, each in snapshot.of(ENDPOINT).items()
    }
    got = {name: _addresses(message) for name, message in found.pop(ENDPOINT).items()}
    return found == wanted and got == endpoints


@dataclass(slots=True)
class Fleet:
    """Envoys, the swarm that they serve, and a replica of the control plane that says what they are to have.

    Attributes:
        services: Id by name.
        hosts: The host of each service that is to answer, by its name.
        asked: How many requests there were.
        sure: Hosts that every Envoy answers for, until a change says otherwise.
        failures: Answers for those other than 200.
    """

    engine: FakeEngine
    network: str
    application: Application
    replica: App
    http_port: int
    port: int
    envoys: list[Envoy] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    sure: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    asked: int = 0
    _markers: int = 0

    def labels(self, host: str, **more: str) -> dict[str, str]:
        """Return labels for a host."""
        return {HOSTS: host, PORT: str(self.application.port), **more}

    def add(self, name: str, tasks: int = 2) -> None:
        """Create a service."""
        host = f"{name}.example.org"
        self.services[name] = self.engine.add_service(
            name, labels=self.labels(host), networks=[self.network], tasks=tasks
        )
        if tasks:
            self.hosts[name] = host

    def remove(self, name: str) -> None:
        """Remove a service."""
        self._unsure(name)
        self.engine.remove_service(self.services.pop(name))

    def change(self, chance: random.Random, number: int, kinds: tuple[str, ...] = KINDS) -> None:
        """Change something, in a way that no request to any other service may notice."""
        others = sorted(self.services.keys() - {*STEADY, MOODY, f"marker{self._markers}"})
        kind = "remove" if len(others) > MOST else chance.choice(kinds)
        if kind == "bad":
            labels = self.labels(f"{MOODY}.example.org") | ({PORT: "none"} if chance.random() < 0.5 else {})
            self.engine.update_service(self.services[MOODY], labels=labels)
        elif kind == "add" or not others:
            self.add(f"app{number}", chance.randint(0, 3))
        elif kind in {"tune", "scale"}:
            self._tune(chance, number, chance.choice(STEADY), kind)
        else:
            self._disturb(chance.choice(others), number, kind)

    def _disturb(self, name: str, number: int, kind: str) -> None:
        if kind == "remove":
            self.remove(name)
        elif kind == "rename":
            answers = self._unsure(name)
            host = f"new{number}.example.org"
            self.engine.update_service(self.services[name], labels=self.labels(host))
            if answers:
                self.hosts[name] = host
        else:
            self._unsure(name)
            self.engine.scale(self.services[name], 0)

    def _tune(self, chance: random.Random, number: int, name: str, kind: str) -> None:
        if kind == "tune":
            labels = self.labels(f"{name}.example.org", **{"com.docker.lb.max_fails": str(number + 1)})
            self.engine.update_service(self.services[name], labels=labels)
        else:
            self.engine.scale(self.services[name], chance.randint(1, 4))

    def _unsure(self, name: str) -> bool:
        """Expect nothing more of a service's host; return whether it was to answer."""
        host = self.hosts.pop(name, None)
        self.sure.discard(host or "")
        return host is not None

    async def ask(self, number: int, of: int) -> None:
        """Ask every host for ever, over a new connection each time, so that every Envoy is asked."""
        while True:
            for host in sorted(self.sure)[number::of]:
                try:
                    async with asyncio.timeout(20):
                        said = str(await self._get(host))
                except (OSError, h11.ProtocolError) as error:
                    said = repr(error)
                self.asked += 1
                # Where a change came in between, the answer is what the change says.
                if said != "200" and host in self.sure:
                    self.failures.append(f"{host}: {said} as answer {self.asked}")
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)

    async def _get(self, host: str) -> int:
        connection = await Connection.open("127.0.0.1", self.http_port, seconds=20)
        try:
            status, _ = await connection.get("/", host)
        finally:
            await connection.close()
        return status

    async def start(self) -> None:
        """Start the Envoys, a few at a time, once there is a control plane, and wait until each has everything."""
        await until(self._is_served, PATIENCE)
        for first in range(0, len(self.envoys), 5):
            await asyncio.gather(*(envoy.start() for envoy in self.envoys[first : first + 5]))
        await self.settled()

    async def _is_served(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.transport.abort()
        return True

    def latest(self) -> Snapshot:
        """Return what the Envoys are to have, as far as the replica knows."""
        assert self.replica.publisher.latest is not None
        return self.replica.publisher.latest.of("")

    async def settled(self, envoys: Sequence[Envoy] | None = None) -> None:
        """Wait until the Envoys (all of them) have exactly what they are to have; then each host of it answers."""
        self._markers += 1
        marker = f"marker{self._markers}"
        self.add(marker)
        await until(lambda: self.replica.publisher.latest is not None)
        await until(lambda: marker in self.latest().of(CLUSTER))
        if self._markers > 1:
            self.remove(f"marker{self._markers - 1}")
        version = ""
        # Tasks are polled: what they have come to may follow after the last event.
        while version != self.latest().version:
            version = self.latest().version
            for envoy in self.envoys if envoys is None else envoys:
                await until(lambda envoy=envoy: has(envoy, self.latest()), PATIENCE)
        if envoys is None:
            self.sure.update(self.hosts.values())


@asynccontextmanager
async def control_plane(engine: FakeEngine, port: int, http_port: int, *args: str) -> AsyncIterator[int]:
    """The control plane as a process of its own; it is killed in the end, without any warning. Its id is returned."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "swarm-xds"), "serve", "--docker-host", engine.url,
        "--listen", f"127.0.0.1:{port}", "--http-port", str(http_port),
        "--fleet-networks", "edge", "--manage-networks", "false", "--log-level", "error",
        "--metrics-listen", "", "--debug-listen", "", *args,
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def fleet(binary: Path, count: int) -> AsyncIterator[Fleet]:
    """Start everything but the control plane of the Envoys, which start when there is one."""
    with FakeEngine() as engine, Application() as application:
        network = engine.add_network("edge", subnet="127.9.0.0/16")
        http_port, port = free_port(), free_port()
        source = DockerSource(
            find_endpoints([engine.url]),
            fleet_networks=(("default", ("edge",)),),
            timings=Timings(slow=0.3, retry_cap=0.2),
        )
        replica = App(Settings(listen="127.0.0.1:0", http_port=http_port, manage_networks=False), source)
        place = Fleet(engine, network, application, replica, http_port, port)
        for name in (*STEADY, MOODY):
            place.add(name)
        place.envoys = [
            Envoy(
                binary,
                BootstrapOptions(
                    node=f"edge-{number}",
                    fleet="default",
                    host="127.0.0.1",
                    port=port,
                    admin_port=free_port(),
                    incremental=bool(number % 2),
                ),
            )
            for number in range(count)
        ]
        follow = asyncio.create_task(replica.follow())
        try:
            yield place
        finally:
            follow.cancel()
            await asyncio.gather(follow, *(envoy.stop() for envoy in place.envoys), return_exceptions=True)


@asynccontextmanager
async def load(place: Fleet) -> AsyncIterator[None]:
    """Four clients, of which none may see a failure."""
    tasks = [asyncio.create_task(place.ask(number, 4)) for number in range(4)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not place.failures, place.failures[:10]
    assert place.asked > 100


def tell(tally: str) -> None:
    """Say how it went, for ``make soak-fleet`` to show."""
    sys.stdout.write(f"\ntally: {tally}\n")
