"""A fleet of real Envoys, all on one port, while the swarm changes at random and the control plane dies."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

import swarm_xds.translate  # noqa: F401 - the messages that stand inside an Any
from support.app import Application
from support.engine import FakeEngine
from support.ports import free_port
from support.world import HOSTS, PORT
from swarm_xds.app import App
from swarm_xds.demo.envoy import Envoy
from swarm_xds.settings import Settings
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, Snapshot
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints
from swarm_xds.translate import BootstrapOptions

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(300)]

STEADY = ("steady0", "steady1", "steady2")
#: Its labels turn bad and good again. They never say anything else that is good, since two control planes that see
#: different moments of a change may remember different last good forms (ADR 3).
MOODY = "moody"
KINDS = ("add", "remove", "rename", "zero", "tune", "scale", "bad")


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
    async with httpx.AsyncClient(timeout=10) as client:
        parts = json.loads((await client.get(f"{envoy.admin}/config_dump?include_eds")).content)["configs"]
    found: dict[str, dict[str, Message]] = {CLUSTER: {}, LISTENER: {}, ROUTE: {}, ENDPOINT: {}}
    for part in parts:
        for each in part.get("dynamic_active_clusters", ()):
            message = _parse(each["cluster"], cluster_pb2.Cluster())
            found[CLUSTER][message.name] = message
        for each in part.get("dynamic_listeners", ()):
            state = each.get("active_state")
            if state:
                message = _parse(state["listener"], listener_pb2.Listener())
                found[LISTENER][message.name] = message
        for each in part.get("dynamic_route_configs", ()):
            message = _parse(each["route_config"], route_pb2.RouteConfiguration())
            found[ROUTE][message.name] = message
        for each in part.get("dynamic_endpoint_configs", ()):
            message = _parse(each["endpoint_config"], endpoint_pb2.ClusterLoadAssignment())
            found[ENDPOINT][message.cluster_name] = message
    return found


def _parse(document: dict[str, Any], message: Any) -> Any:
    return ParseDict({key: value for key, value in document.items() if key != "@type"}, message)


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
        failures: Answers of steady services other than 200.
        asked: How many requests there were.
    """

    engine: FakeEngine
    network: str
    application: Application
    replica: App
    http_port: int
    port: int
    envoys: list[Envoy] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    asked: int = 0

    def labels(self, host: str, **more: str) -> dict[str, str]:
        """Return labels for a host."""
        return {HOSTS: host, PORT: str(self.application.port), **more}

    def add(self, name: str, tasks: int = 2) -> None:
        """Create a service."""
        labels = self.labels(f"{name}.example.org")
        self.services[name] = self.engine.add_service(name, labels=labels, networks=[self.network], tasks=tasks)

    def change(self, chance: random.Random, number: int, kinds: tuple[str, ...] = KINDS) -> None:
        """Change something, in a way that no request to a steady service may notice."""
        others = sorted(self.services.keys() - {*STEADY, MOODY})
        kind = chance.choice(kinds)
        if kind == "bad":
            labels = self.labels(f"{MOODY}.example.org") | ({PORT: "none"} if chance.random() < 0.5 else {})
            self.engine.update_service(self.services[MOODY], labels=labels)
            return
        if kind == "add" or not others:
            self.add(f"app{number}", chance.randint(0, 3))
            return
        name = chance.choice(others)
        identifier = self.services[name]
        if kind == "remove":
            self.engine.remove_service(self.services.pop(name))
        elif kind == "rename":
            self.engine.update_service(identifier, labels=self.labels(f"new{number}.example.org"))
        elif kind == "zero":
            self.engine.scale(identifier, 0)
        else:
            steady = self.services[chance.choice(STEADY)]
            if kind == "tune":
                labels = self.labels(
                    f"{self._name(steady)}.example.org", **{"com.docker.lb.max_fails": str(number + 1)}
                )
                self.engine.update_service(steady, labels=labels)
            else:
                self.engine.set_tasks(steady, [self.engine.task(steady) for _ in range(chance.randint(1, 4))])

    def _name(self, identifier: str) -> str:
        return next(name for name, each in self.services.items() if each == identifier)

    async def ask(self) -> None:
        """Ask steady services for ever, over a new connection each time, so that every Envoy is asked."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(limits=limits, timeout=20) as client:
            while True:
                for name in STEADY:
                    try:
                        url = f"http://127.0.0.1:{self.http_port}/"
                        answer = await client.get(url, headers={"host": f"{name}.example.org"})
                        said = str(answer.status_code)
                    except httpx.TransportError as error:
                        said = repr(error)
                    self.asked += 1
                    if said != "200":
                        self.failures.append(f"{name}: {said} as answer {self.asked}")
                    await asyncio.sleep(0.005)

    async def intended(self) -> Snapshot:
        """Return what the Envoys are to have, once the replica has seen every change."""
        marker = f"marker{len(self.services)}"
        self.add(marker)

        def seen() -> bool:
            latest = self.replica.publisher.latest
            return latest is not None and marker in latest.of("").of(CLUSTER)

        await until(seen)
        assert self.replica.publisher.latest is not None
        return self.replica.publisher.latest.of("")

    async def all_have(self, snapshot: Snapshot) -> None:
        """Wait until every Envoy has exactly this."""
        for envoy in self.envoys:
            await until(lambda envoy=envoy: has(envoy, snapshot), 60)


@asynccontextmanager
async def control_plane(fleet: Fleet) -> AsyncIterator[asyncio.subprocess.Process]:
    """The control plane as a process of its own; it is killed in the end, without any warning."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "swarm-xds"), "serve", "--docker-host", fleet.engine.url,
        "--listen", f"127.0.0.1:{fleet.port}", "--http-port", str(fleet.http_port),
        "--fleet-networks", "edge", "--manage-networks", "false", "--log-level", "error",
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
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
    tasks = [asyncio.create_task(place.ask()) for _ in range(4)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not place.failures, place.failures[:10]
    assert place.asked > 100


async def test_ten_envoys_follow_random_changes(envoy_binary: Path) -> None:
    """Half of them incremental; at the end each has exactly what it is to have, and no request has failed."""
    chance = random.Random(5)
    async with fleet(envoy_binary, 10) as place, control_plane(place):
        await asyncio.gather(*(envoy.start() for envoy in place.envoys))
        await place.all_have(await place.intended())
        async with load(place):
            for number in range(150):
                place.change(chance, number)
                if number % 3:
                    await asyncio.sleep(chance.random() * 0.05)
            await place.all_have(await place.intended())


async def test_a_control_plane_that_dies_again_and_again_is_not_noticed(envoy_binary: Path) -> None:
    """Killed in the middle of changes, at any moment of its start too; what changed meanwhile arrives."""
    chance = random.Random(6)
    async with fleet(envoy_binary, 4) as place:
        async with control_plane(place):
            await asyncio.gather(*(envoy.start() for envoy in place.envoys))
            await place.all_have(await place.intended())
        async with load(place):
            for life in range(8):
                async with control_plane(place):
                    for number in range(6):
                        # Without bad labels: what was good before them is forgotten by one that dies (ADR 3).
                        place.change(chance, life * 10 + number, KINDS[:-1])
                        await asyncio.sleep(chance.random() * 0.3)
            async with control_plane(place):
                await place.all_have(await place.intended())


async def test_a_frozen_envoy_holds_up_nobody_and_catches_up(envoy_binary: Path) -> None:
    """The others have each change meanwhile; it has the last one soon after it goes on."""
    async with fleet(envoy_binary, 3) as place, control_plane(place):
        await asyncio.gather(*(envoy.start() for envoy in place.envoys))
        await place.all_have(await place.intended())
        frozen, *others = place.envoys
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            for number in range(20):
                place.add(f"app{number}")
                snapshot = await place.intended()
                for envoy in others:
                    await until(lambda envoy=envoy, snapshot=snapshot: has(envoy, snapshot))
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        await place.all_have(snapshot)
