"""From a label and a Docker secret to the SDS secret: fake engine, real manager and control plane, a real reader."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from cryptography.hazmat.primitives import hashes

from support.certificates import Issued, authority, secret_lines
from support.engine import FakeEngine
from support.ports import free_port
from swarm_xds.app import App, Published
from swarm_xds.certs.base import Identity
from swarm_xds.certs.readers import ReaderSource, ReaderTimings
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.memory import NetworkTimings
from swarm_xds.pki import issue
from swarm_xds.pki.store import Store
from swarm_xds.settings import Settings
from swarm_xds.sources.docker import DockerSource, Endpoint, Timings
from swarm_xds.translate.reader import reader

pytestmark = pytest.mark.envoy
HOST, STACK = "www.example.org", "com.docker.stack.namespace"
LABELS = {
    "com.docker.lb.hosts": HOST,
    "com.docker.lb.port": "8080",
    "com.docker.lb.network": "swarm-xds",
    "com.docker.lb.ssl_cert": "site.crt",
    "com.docker.lb.ssl_key": "site.key",
    STACK: "shop",
}
NETWORKS = NetworkTimings(linger=0.1, settle=0.02, quiet=0.02, read_again=0.05, update_again=0.05, gather=0.0)
READING = Timings(fast=0.01, slow=0.05, retry_first=0.01, retry_cap=0.05)
SECONDS = 30


@dataclass(slots=True)
class World:
    """A swarm whose containers this test runs itself: what a reader mounts is written to files here."""

    engine: FakeEngine
    folder: Path
    binary: Path
    app: App
    port: int
    network: str
    published: list[Published] = field(default_factory=list)

    def secret(self, name: str, content: bytes, stack: str = "", pki: str = "") -> None:
        """Create a Docker secret."""
        labels = ({STACK: stack} if stack else {}) | ({"swarm-xds.pki": pki} if pki else {})
        data = base64.b64encode(content).decode()
        assert self.engine.write_secret({"Name": name, "Labels": labels, "Data": data})[0] == 201

    def pair(self, issued: Issued, version: str = "") -> None:
        """Create the secrets of a certificate and its key."""
        self.secret(f"shop_site.crt{version}", issued.cert, "shop")
        self.secret(f"shop_site.key{version}", issued.key, "shop")

    def container(self, mounts: int) -> dict[str, Any] | None:
        """Return what the reader's container is to be, once it mounts so many secrets."""
        made = (raw["Spec"]["TaskTemplate"]["ContainerSpec"] for raw in self.engine.specs("service"))
        return next((each for each in made if len(each.get("Secrets") or ()) == mounts), None)

    @asynccontextmanager
    async def reader(self, container: dict[str, Any]) -> AsyncIterator[None]:
        """Run a reader as the engine would, but for its port and where its files are."""
        files = {each["File"]["Name"]: self.engine.secret(each["SecretName"]) for each in container["Secrets"]}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        own = {name: str(self.folder / name) for name in ("authorities.crt", "reader.crt", "reader.key")}
        served = {name: str(self.folder / name) for name in files if name not in own}
        identity = (own["authorities.crt"], own["reader.crt"], own["reader.key"])
        bootstrap = reader(("127.0.0.0/24",), identity, served, self.port)
        admin = bootstrap.admin.address.socket_address.port_value = free_port()
        config = self.folder / "reader.pb"
        config.write_bytes(bootstrap.SerializeToString())
        process = await asyncio.create_subprocess_exec(
            str(self.binary), "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"
        )
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                await until(lambda: _ready(client, admin))
            yield
        finally:
            process.terminate()
            await process.wait()

    def served(self) -> int:
        """Return the fingerprint of what the host is served with; 0 if it is refused."""
        hosts = (host for each in self.published[-1:] for f in each.build.model.fleets for host in f.secure_hosts)
        found = next((host.tls.certificate for host in hosts if host.virtual_host.host == HOST), None)
        return 0 if found is None else int(found.chain.fingerprint, 16)


async def _ready(client: httpx.AsyncClient, admin: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{admin}/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def until(fact: Callable[[], Any]) -> None:
    """Wait for a fact."""
    async with asyncio.timeout(SECONDS):
        while not (await found if asyncio.iscoroutine(found := fact()) else found):
            await asyncio.sleep(0.01)


def print_of(issued: Issued) -> int:
    """Return what ``served`` returns for a certificate."""
    return int(issued.certificate.fingerprint(hashes.SHA256()).hex(), 16)


@pytest.fixture
async def world(tmp_path: Path, envoy_binary: Path) -> AsyncIterator[World]:
    """A control plane on a swarm with a fleet and our own certificates, and no stack yet."""
    folder = tmp_path / "pki"
    folder.mkdir()
    store = Store(folder)
    store.init([issue.control_plane(), issue.fleet("default"), issue.relay()], datetime.now(UTC))
    names = [folder / name for name in ("ca.crt", "control-plane.crt", "control-plane.key")]
    settings = Settings(listen="127.0.0.1:0", tls_ca=names[0], tls_cert=names[1], tls_key=names[2])
    with FakeEngine() as engine:
        edge = engine.add_network("swarm-xds", subnet="127.0.0.0/24")
        engine.add_service("edge", labels={"swarm-xds.fleet": "default"}, networks=[edge], image="edge:1")
        endpoints = [Endpoint(url=engine.url)]
        port, published = free_port(), []
        assert settings.identity == Identity(authorities=names[0], certificate=names[1], key=names[2])
        timings = ReaderTimings(call=2.0, first=1.0, retry_first=0.01, retry_cap=0.05, tell=0.2)
        secrets = ReaderSource(settings.identity, port, timings)
        manager = NetworkManager(endpoints, NETWORKS)
        app = App(
            settings,
            DockerSource(endpoints, timings=READING),
            certificates=secrets,
            secrets=secrets,
            manager=manager,
            on_published=published.append,
        )
        world = World(engine, tmp_path, envoy_binary, app, port, edge, published)
        for name, content in store.contents().items():
            world.secret(f"swarm-xds-{'ca' if name == 'ca.crt' else name}.v1", content, pki="fp")
        await app.start()
        tasks = [asyncio.create_task(app.follow()), asyncio.create_task(manager.run())]
        yield world
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await app.stop()


async def test_from_a_secret_to_its_host_and_nowhere_else(world: World) -> None:
    """Served, rotated, kept without its reader; and no key is in a log, a Docker object, a question or a problem."""
    ca = authority()
    first, second = ca.issue(HOST), ca.issue(HOST)
    with structlog.testing.capture_logs() as logged:
        world.pair(first)
        network = world.network
        web = world.engine.add_service("shop_web", labels=LABELS, networks=[network], tasks=1)
        await until(lambda: world.container(5) is not None)
        async with world.reader(world.container(5) or {}):
            await until(lambda: world.served() == print_of(first))
        world.pair(second, ".v2")
        await until(lambda: world.container(7) is not None)
        assert world.served() == print_of(first)
        async with world.reader(world.container(7) or {}):
            await until(lambda: world.served() == print_of(second))
        # Without a reader, what was read goes on being served, whatever else changes.
        before = len(world.published)
        world.engine.update_service(web, labels=LABELS | {"com.docker.lb.ssl_only": "true"})
        await until(lambda: len(world.published) > before)
        assert world.served() == print_of(second)
        world.engine.update_service(web, labels={k: v for k, v in LABELS.items() if "ssl" not in k})
        await until(lambda: world.served() == 0)
        await until(lambda: not world.engine.specs("service"))
    said = [repr(logged), repr(world.published), *world.engine.asked, *world.engine.written]
    said += [json.dumps(raw) for kind in ("service", "config") for raw in world.engine.specs(kind)]
    own = [(world.folder / "pki" / name).read_bytes() for name in ("relay.key", "control-plane.key")]
    lines = [line for key in (first.key, second.key, *own) for line in secret_lines(key)]
    assert len(lines) == 8
    assert not [line for line in lines for text in said if line in text]
