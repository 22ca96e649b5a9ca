"""Faults one after the other, at random: nothing is lost, and no client is ever sent less than what serves.

Two clients that hold each response against what may never be missing (``support/witness.py``) watch every drill.
``make soak-fleet`` runs longer ones.
"""

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from support.engine import FakeEngine
from support.fleet import FAULTS, SEED, control_plane, tell
from support.plain import PLAIN
from support.ports import free_port
from support.witness import Witness, until, witnesses
from support.world import HOSTS, PORT
from swarm_xds import store
from swarm_xds.app import App
from swarm_xds.settings import Settings
from swarm_xds.snapshot import CLUSTER
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints

pytestmark = pytest.mark.timeout(120 + 5 * FAULTS)

STEADY = ("steady0", "steady1", "steady2")
NOT_WRITTEN = 'swarm_xds_snapshot_file_failures_total{failure="not_written"}'


def labels(name: str) -> dict[str, str]:
    """Return the labels of a service."""
    return {HOSTS: f"{name}.example.org", PORT: "8080"}


@dataclass(slots=True)
class Swarm:
    """A swarm whose steady services are always there, and the id of its network."""

    engine: FakeEngine
    network: str = ""
    steady: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.network = self.engine.add_network("edge")
        self.steady = {name: self.add(name) for name in STEADY}

    def add(self, name: str) -> str:
        """Create a service with tasks, and return its id."""
        return self.engine.add_service(name, labels=labels(name), networks=[self.network], tasks=2)

    def another(self) -> str:
        """Create one more service, and return its name."""
        self.count += 1
        self.add(f"app{self.count}")
        return f"app{self.count}"


@asynccontextmanager
async def serving(engine: FakeEngine, port: int = 0) -> AsyncIterator[tuple[App, int]]:
    """Run a control plane on an engine, in this process and in a hurry."""
    timings = Timings(slow=0.1, resync=0.5, retry_first=0.01, retry_cap=0.1, call=0.3, doubt=600.0)
    source = DockerSource(find_endpoints([engine.url]), fleet_networks=(("default", ("edge",)),), timings=timings)
    app = App(Settings(listen=f"127.0.0.1:{port}", manage_networks=False), source)
    bound = await app.start()
    follow = asyncio.create_task(app.follow())
    try:
        yield app, bound
    finally:
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)
        await app.stop()


def all_serve(seen: tuple[Witness, Witness], *names: str) -> Callable[[], bool]:
    """Return the fact that both clients have routes and endpoints of services."""
    hosts = {f"{name}.example.org" for name in names}
    return lambda: all(hosts <= each.routes() and all(map(each.endpoints, names)) for each in seen)


LISTS = ("/services", "/tasks", "/networks", "/nodes", "/secrets")
#: What an engine, or who stands before it, may say instead of an answer.
NONSENSE = (b"[]", b"{}", b"null", b'"ok"', b"[null]", b"[1, true]", b'[{"ID": 7}]', b'[{"ID": "x", "Spec": []}]',
            b"<html>Bad Gateway</html>", b"\xff\xfe", b"")  # fmt: skip
BREAK: dict[str, Callable[[FakeEngine, random.Random], None]] = {
    "errors": lambda engine, chance: engine.fail(status=chance.choice((500, 503, 403)), times=chance.randint(1, 20)),
    "an error for one kind": lambda engine, chance: engine.fail(for_path=chance.choice(LISTS), times=3),
    "good, then an error": lambda engine, _: engine.fail(for_path="/tasks", times=1),
    "half answers": lambda engine, chance: engine.truncate(times=6, lie=chance.random() < 0.5),
    "nonsense": lambda engine, chance: engine.say(chance.choice(NONSENSE), for_path=chance.choice(LISTS), times=5),
    "no services": lambda engine, _: engine.say(b"[]", for_path="/services", times=3),
    "no tasks": lambda engine, _: engine.say(b"[]", for_path="/tasks", times=3),
    "no networks": lambda engine, _: engine.say(b"[]", for_path="/networks", times=3),
    "no nodes": lambda engine, _: engine.say(b"[]", for_path="/nodes", times=3),
    "no answer": lambda engine, chance: engine.hang(for_path=chance.choice(("", *LISTS, "/events"))),
    "no events": lambda engine, _: engine.close_events(),
    "a restart": lambda engine, _: (engine.stop(), engine.start())[0],
}


async def test_no_fault_of_the_engine_is_seen_by_a_proxy() -> None:
    """Errors, silence, nonsense and half answers, each while something changes; the change arrives when it is over."""
    chance = random.Random(SEED)
    faults = [*BREAK, *(chance.choice(list(BREAK)) for _ in range(FAULTS))]
    with FakeEngine() as engine:
        swarm = Swarm(engine)
        async with serving(engine) as (_, port), witnesses(port, STEADY) as seen:
            await until(all_serve(seen, *STEADY))
            for fault in faults:
                BREAK[fault](engine, chance)
                if chance.random() < 0.7:
                    engine.close_events()
                name = swarm.another()
                for _ in range(chance.randint(0, 3)):
                    engine.scale(swarm.steady[chance.choice(STEADY)], chance.randint(1, 4))
                asked = len(engine.asked) + chance.randint(5, 15)
                await until(lambda asked=asked: len(engine.asked) > asked)
                engine.mend()
                engine.release()
                await until(all_serve(seen, *STEADY, name))
        tell(f"{len(faults)} faults of the engine, {sum(each.responses for each in seen)} responses, none partial")


class Switch:
    """A port behind which another server may stand at any time; connections end when it changes."""

    def __init__(self) -> None:
        self.port = 0
        self._to = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Switch"]:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.to(0)
            await server.wait_closed()

    def to(self, port: int) -> None:
        """Send clients somewhere else; 0 is nowhere."""
        self._to = port
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there[1]}
        self._writers |= ends
        await asyncio.gather(_pass(reader, there[1]), _pass(there[0], writer))
        self._writers -= ends


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def test_a_client_between_two_replicas_that_see_different_swarms() -> None:
    """It has what the one or the other says, never less than both; once they see the same, it is sent nothing."""
    with FakeEngine() as newer, FakeEngine() as older:
        ahead, behind = Swarm(newer), Swarm(older)
        ahead.engine.scale(ahead.steady["steady0"], 4)
        names = [ahead.another() for _ in range(3)]
        async with (
            serving(newer) as (first, first_port),
            serving(older) as (second, second_port),
            Switch().open() as switch,
        ):
            switch.to(first_port)
            async with witnesses(switch.port, STEADY) as seen:
                await until(all_serve(seen, *STEADY, *names))
                for _ in range(4 + FAULTS // 10):
                    switch.to(second_port)
                    await until(lambda: all(each.routes() & {"app1.example.org"} == set() for each in seen))
                    await until(all_serve(seen, *STEADY))
                    switch.to(first_port)
                    await until(all_serve(seen, *STEADY, *names))
                behind.engine.scale(behind.steady["steady0"], 4)
                assert [behind.another() for _ in range(3)] == names
                await until(lambda: version(first) == version(second))
                await until(all_serve(seen, *STEADY, *names))
                streams, responses = seen[0].streams, seen[1].responses
                switch.to(second_port)
                await until(lambda: seen[0].streams > streams)
                await second.publisher.answered(streams=2)
                assert seen[1].responses == responses, "an incremental client has it all"


def version(app: App) -> str:
    """Return the version of what a control plane serves."""
    return "" if app.publisher.latest is None else app.publisher.latest.of("").version


async def test_the_wall_clock_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It jumps by a year forwards and backwards at each look; changes arrive, and without one nothing is sent."""
    chance, truth = random.Random(SEED), time.time
    monkeypatch.setattr(time, "time", lambda: truth() + chance.choice((-1, 0, 1)) * 365 * 86_400)
    with FakeEngine() as engine:
        swarm = Swarm(engine)
        async with serving(engine) as (app, port), witnesses(port, STEADY) as seen:
            for _ in range(5):
                await until(all_serve(seen, *STEADY, swarm.another()))
            await app.publisher.answered(streams=2)
            responses, asked = [each.responses for each in seen], len(engine.asked)
            await until(lambda: len(engine.asked) > asked + 20)
            assert [each.responses for each in seen] == responses
            assert app.publisher.streams == 2


async def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """What is served goes on changing; the file stays as it was, and follows when there is room again."""
    path = tmp_path / "kept" / "snapshot"
    path.parent.mkdir()
    port, metrics = free_port(), f"127.0.0.1:{free_port()}"
    options = ("--snapshot-file", str(path), "--metrics-listen", metrics)
    with FakeEngine() as engine:
        swarm = Swarm(engine)
        async with (
            control_plane(engine, port, free_port(), *options) as process,
            witnesses(port, STEADY) as seen,
        ):
            await until(lambda: path.exists() and STEADY[0] in kept(path))
            # No file may grow beyond nothing, which is how a full disk looks from inside.
            before, (_, most) = path.read_bytes(), resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (0, most))
            names = [swarm.another() for _ in range(3)]
            await until(all_serve(seen, *STEADY, *names))
            await until(lambda: unwritten(metrics))
            assert path.read_bytes() == before
            resource.prlimit(process, resource.RLIMIT_FSIZE, (most, most))
            name = swarm.another()
            await until(lambda: {*names, name} <= kept(path))
            assert list(path.parent.iterdir()) == [path]


def unwritten(address: str) -> bool:
    """Whether a control plane has counted that it could not write the file of what is served."""
    text = httpx.get(f"http://{address}/metrics", verify=PLAIN, trust_env=False).text
    (line,) = [each for each in text.splitlines() if each.startswith(NOT_WRITTEN)]
    return float(line.rpartition(" ")[2]) > 0


def kept(path: Path) -> set[str]:
    """Return the clusters in the file of what is served."""
    return set(store.read(path).snapshots.of("").of(CLUSTER))
