"""The real Envoy as a client that nobody here wrote: no request fails, whatever is published meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from support.plain import PLAIN
from support.ports import free_port
from support.xds_client import PATIENCE, Recorder, cluster, endpoints, listener, routes, snapshot, snapshots
from swarm_xds.server import Limits, Publisher, XdsServer, stream
from swarm_xds.snapshot import CLUSTER, ENDPOINT, ROUTE, Snapshot

pytestmark = pytest.mark.envoy

BOOTSTRAP = """
node: {{id: edge-1, cluster: edge}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
dynamic_resources:
  ads_config:
    api_type: {api_type}
    transport_api_version: V3
    grpc_services: [{{envoy_grpc: {{cluster_name: xds}}}}]
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters:
  - name: xds
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{connection_keepalive: {{interval: 10s, timeout: 5s}}}}}}
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {xds}}}}}}}
"""


@dataclass(slots=True)
class Edge:
    """One Envoy, its control plane, and a backend that answers with 200."""

    admin: int
    listen: int
    xds: int
    backend: int
    publisher: Publisher = field(default_factory=Publisher)
    recorder: Recorder = field(default_factory=Recorder)
    server: XdsServer | None = None

    async def serve(self) -> None:
        """Start the control plane, on the same port as before."""
        limits = Limits(additions=5, removals=10)
        self.server = XdsServer(self.publisher, f"127.0.0.1:{self.xds}", self.recorder, limits)
        await self.server.start()

    def world(self, services: dict[str, int], *, bad: str = "") -> Snapshot:
        """A snapshot with a path for each service; the number stands for a change of its cluster."""
        clusters = [cluster(name, connect_timeout=-1 if name == bad else version) for name, version in services.items()]
        return snapshot(
            clusters=clusters,
            endpoints=[endpoints(name, self.backend) for name in services],
            listeners=[listener("edge", self.listen, "table")],
            routes=[routes("table", {f"/{name}/": name for name in services})],
        )

    async def publish(self, world: Snapshot) -> None:
        """Publish, and wait until Envoy has all of it."""
        self.publisher.publish(snapshots(world))
        async with asyncio.timeout(PATIENCE):
            await self.publisher.answered()

    async def stats(self, pattern: str) -> dict[str, int]:
        """Envoy's counters whose name matches."""
        async with httpx.AsyncClient(verify=PLAIN) as http:
            found = await http.get(f"http://127.0.0.1:{self.admin}/stats", params={"format": "json", "filter": pattern})
        return {entry["name"]: entry["value"] for entry in json.loads(found.text)["stats"] if "value" in entry}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
    writer.close()


@pytest.fixture(params=["GRPC", "DELTA_GRPC"], ids=["sotw", "delta"])
async def edge(request: pytest.FixtureRequest, envoy_binary: Path, tmp_path: Path) -> AsyncIterator[Edge]:
    """An Envoy with services ``a`` and ``b``, ready."""
    admin, listen, xds = free_port(), free_port(), free_port()
    backend = await asyncio.start_server(_answer, "127.0.0.1", 0)
    edge = Edge(admin, listen, xds, backend.sockets[0].getsockname()[1])
    await edge.serve()
    bootstrap = tmp_path / "envoy.yaml"
    bootstrap.write_text(BOOTSTRAP.format(api_type=request.param, admin=admin, xds=xds))
    log = tmp_path / "envoy.log"
    process = await asyncio.create_subprocess_exec(
        envoy_binary, "-c", bootstrap, "--use-dynamic-base-id", "--concurrency", "2", "--log-path", log,
        "--drain-time-s", "1", stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        edge.publisher.publish(snapshots(edge.world({"a": 1, "b": 1})))
        await edge.recorder.until(lambda seen: {CLUSTER, ROUTE} <= {type_url for type_url, _ in seen.acks})
        async with asyncio.timeout(PATIENCE):
            await edge.publisher.answered()
        async with httpx.AsyncClient() as http:
            async with asyncio.timeout(PATIENCE):
                while (await http.get(f"http://127.0.0.1:{admin}/ready")).text != "LIVE\n":
                    pass
        yield edge
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if edge.server:
            await edge.server.stop(0.2)
        backend.close()
        await backend.wait_closed()
    assert "protocol error" not in log.read_text()


class Load:
    """Requests, one after the other, to whichever services should answer."""

    def __init__(self, port: int, services: set[str]) -> None:
        self.services = services
        self.failures: list[tuple[str, int]] = []
        self.count = 0
        self._port = port
        self._progress = asyncio.Event()

    async def run(self) -> None:
        """Send until cancelled."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}") as http:
            while True:
                for name in sorted(self.services):
                    response = await http.get(f"/{name}/")
                    self.count += 1
                    if response.status_code != httpx.codes.OK and name in self.services:
                        self.failures.append((name, response.status_code))
                self._progress.set()
                self._progress = asyncio.Event()

    async def rounds(self, number: int = 3) -> None:
        """Wait until all services were asked that often from now on."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(number):
                await self._progress.wait()


@asynccontextmanager
async def load(edge: Edge, *services: str) -> AsyncIterator[Load]:
    """Four clients at once, of which none may see a failure."""
    work = Load(edge.listen, set(services))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work.run()) for _ in range(4)]
        try:
            yield work
        finally:
            for task in tasks:
                task.cancel()
    assert work.failures == []
    assert work.count > 0


async def test_no_request_fails_while_services_come_change_and_go(edge: Edge) -> None:
    """Added, changed in place, replaced and removed, each asked for as soon as, and as long as, it should be there."""
    async with load(edge, "a") as work:
        for number in range(2, 12):
            name = f"n{number}"
            await edge.publish(edge.world({"a": number, "b": number, name: 1}))
            work.services.add(name)
            await work.rounds()
            await edge.publish(edge.world({"a": number, "b": number, name: 2}))
            await work.rounds()
            work.services.discard(name)
            await work.rounds(1)
        await edge.publish(edge.world({"a": 20}))
        await work.rounds()
    assert {name: value for name, value in (await edge.stats("update_rejected")).items() if value} == {}
    assert await edge.stats("cluster_manager.warming_clusters") == {"cluster_manager.warming_clusters": 0}
    names = await edge.stats(r"^cluster\.(a|b|n\d+)\.membership_total$")
    assert names == {"cluster.a.membership_total": 1}


async def test_no_request_fails_when_snapshots_come_faster_than_answers(edge: Edge) -> None:
    """The clusters behind one path change with each, and none is taken before the routes to it are."""
    async with load(edge, "a") as work:
        for number in range(100):
            world = edge.world({f"c{number}": 1})
            table = routes("table", {"/a/": f"c{number}"})
            edge.publisher.publish(snapshots(snapshot(
                clusters=world.of(CLUSTER).values(),
                endpoints=[endpoints(f"c{number}", edge.backend)],
                listeners=[listener("edge", edge.listen, "table")],
                routes=[table],
            )))  # fmt: skip
            if number % 10 == 0:
                await work.rounds(1)
        async with asyncio.timeout(PATIENCE):
            await edge.publisher.answered()
        await work.rounds()
    names = await edge.stats(r"^cluster\.c\d+\.membership_total$")
    assert names == {"cluster.c99.membership_total": 1}


async def test_a_restart_of_the_server_is_not_noticed(edge: Edge) -> None:
    """Requests go on without it, and it comes back with nothing to say: versions are of content.

    By state of the world that is so for what is whole in each response; of parts Envoy cannot say which it has.
    """
    assert edge.server
    before = await edge.stats(r"(cluster_manager\.cluster_(added|modified|removed)|rds\.table\.config_reload)$")
    sent = len(edge.recorder.responses)
    async with load(edge, "a", "b") as work:
        await edge.server.stop(1)
        await work.rounds()
        await edge.serve()
        await edge.recorder.until(lambda seen: len(seen.peers) == 2)
        async with asyncio.timeout(PATIENCE):
            await edge.publisher.answered()
        await work.rounds()
        parts = [] if edge.recorder.peers[-1].variant == "delta" else [ENDPOINT, ROUTE]
        await edge.recorder.until(lambda seen: len(seen.responses) >= sent + len(parts))
        async with asyncio.timeout(PATIENCE):
            await edge.publisher.answered()
        assert await edge.stats("cluster_manager.warming_clusters") == {"cluster_manager.warming_clusters": 0}
        await edge.publish(edge.world({"a": 2, "b": 1}))
        await work.rounds()
    assert [each.type_url for each in edge.recorder.responses[sent:]] == [*parts, CLUSTER, ENDPOINT]
    after = await edge.stats(r"(cluster_manager\.cluster_(added|modified|removed)|rds\.table\.config_reload)$")
    assert after == {**before, "cluster_manager.cluster_modified": before["cluster_manager.cluster_modified"] + 1}
    assert {name: value for name, value in (await edge.stats("update_rejected")).items() if value} == {}


async def test_a_cluster_that_warms_when_the_server_dies_is_warm_at_once_when_it_is_back(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though Envoy says that it has its endpoints, and nothing of clusters: it would warm in vain for 15 s."""
    assert edge.server
    with monkeypatch.context() as patch:
        # Its endpoints get lost on the way.
        patch.setattr(stream, "assignment_name", lambda _: "")
        edge.publisher.publish(snapshots(edge.world({"a": 2, "b": 1})))
        async with asyncio.timeout(PATIENCE):
            while not (await edge.stats("cluster_manager.warming_clusters"))["cluster_manager.warming_clusters"]:
                pass
        await edge.server.stop(0.2)
    await edge.serve()
    async with load(edge, "a", "b") as work, asyncio.timeout(PATIENCE):
        while (await edge.stats("cluster_manager.warming_clusters"))["cluster_manager.warming_clusters"]:
            pass
        await edge.publish(edge.world({"a": 2, "b": 1, "c": 1}))
        work.services.add("c")
        await work.rounds()


async def test_a_rejected_snapshot_leaves_the_old_one_serving(edge: Edge) -> None:
    """And the next good one is taken."""
    async with load(edge, "a", "b") as work:
        edge.publisher.publish(snapshots(edge.world({"a": 1, "b": 2}, bad="b")))
        await edge.recorder.until(lambda seen: seen.nacks)
        await work.rounds()
        await edge.publish(edge.world({"a": 1, "b": 3}))
        await work.rounds()
    assert len(edge.recorder.nacks) == 1
    type_url, nack = edge.recorder.nacks[0]
    assert type_url == CLUSTER
    assert "b" in nack.names
    assert nack.message
    peer = edge.recorder.peers[0]
    assert (peer.node, peer.fleet) == ("edge-1", "edge")


async def test_a_changed_cluster_is_warm_at_once_though_its_endpoints_did_not_change(edge: Edge) -> None:
    """Else it warms for 15 s, and its answer, on which routes wait, comes as late."""
    async with load(edge, "a") as work, asyncio.timeout(12):
        for number in range(2, 12):
            await edge.publish(edge.world({"a": number, "b": 1}))
        await work.rounds()
    assert await edge.stats("cluster_manager.warming_clusters") == {"cluster_manager.warming_clusters": 0}
