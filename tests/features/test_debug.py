"""The debug API of a running system tells the truth, with a real Envoy."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

from support.world import HOSTS, PORT, world
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.debug.v1 import debug_pb2_grpc
from swarm_xds.snapshot import LISTENER

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])
async def test_every_method_against_a_real_envoy(envoy_binary: Path, *, incremental: bool) -> None:
    """From the first service to a proxy that is gone."""
    async with (
        world(envoy_binary, incremental=incremental) as place,
        httpx.AsyncClient() as client,
        grpc.aio.insecure_channel(place.debug) as channel,
        asyncio.timeout(90),
    ):
        debug = debug_pb2_grpc.DebugStub(channel)
        await place.app.publisher.published()
        watch = debug.Watch(pb.WatchRequest())
        await watch.initial_metadata()
        shop = place.add("shop", "shop.example.org")
        await place.until(client, "shop.example.org", 200, seconds=60)
        change = pb.Change()
        while change.phase != pb.Change.PHASE_SERVED:
            change = (await watch.read()).change
        assert "shop" in change.cause
        assert change.served_after.ToMilliseconds() > 0
        await place.app.publisher.answered()

        (route,) = (await debug.ListRoutes(pb.ListRoutesRequest())).routes
        assert (route.host, list(route.services), len(route.shares[0].endpoints)) == ("shop.example.org", ["shop"], 2)
        (service,) = (await debug.ListServices(pb.ListServicesRequest())).services
        assert (service.name, service.tasks_running) == ("shop", 2)
        (node,) = (await debug.ListNodes(pb.ListNodesRequest())).nodes
        assert (node.node, node.standing) == ("envoy-1", pb.STANDING_CURRENT)
        assert all(each.intended == each.acknowledged for each in node.types), node
        assert not (await debug.Diff(pb.DiffRequest())).differences
        found = await debug.Explain(pb.ExplainRequest(url="http://shop.example.org/"))
        assert (found.outcome, len(found.endpoints)) == ("forwarded", 2)
        snapshot = await debug.GetSnapshot(pb.GetSnapshotRequest(type_url=LISTENER))
        assert [each.name for each in snapshot.resources] == ["http"]
        (use,) = (await debug.ListNetworks(pb.ListNetworksRequest())).networks
        assert (use.network, use.way, list(use.services)) == ("edge", "shared", ["shop"])
        planned = pb.PlannedService(name="shop", labels=place.labels("new.example.org"), networks=["edge"])
        changes = (await debug.Plan(pb.PlanRequest(services=[planned]))).changes
        assert [each.name for each in changes] == ["new.example.org/", "shop.example.org/"]
        status = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        (config,) = (await status.FetchClientStatus(csds_pb2.ClientStatusRequest())).config
        assert {each.config_status for each in config.generic_xds_configs} == {csds_pb2.SYNCED}

        place.engine.update_service(shop, labels={HOSTS: "shop.example.org", PORT: "70000"})
        while not (problems := (await debug.ListProblems(pb.ListProblemsRequest())).problems):
            await asyncio.sleep(0.01)
        assert [each.kind for each in problems] == ["bad-value", "last-good"]
        await place.envoy.stop()
        while (await debug.ListNodes(pb.ListNodesRequest())).nodes[0].standing != pb.STANDING_GONE:
            await asyncio.sleep(0.01)
        found = await debug.Explain(pb.ExplainRequest(url="http://shop.example.org/"))
        assert (found.outcome, found.steps[-1].subject) == ("not-served", "proxy")
        watch.cancel()


async def _seen(
    holds: Callable[[pb.ListNodesResponse, pb.DiffResponse], bool], debug: debug_pb2_grpc.DebugStub
) -> float:
    """Return after how many milliseconds `nodes` and `diff` say what is the case."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not holds(await debug.ListNodes(pb.ListNodesRequest()), await debug.Diff(pb.DiffRequest())):
        await asyncio.sleep(0.005)
    return (loop.time() - began) * 1000


async def test_watch_nodes_and_diff_follow_faults(envoy_binary: Path) -> None:
    """A proxy that is frozen, one that is killed, and an engine that is away; in the print, after how long."""
    async with (
        world(envoy_binary) as place,
        httpx.AsyncClient() as client,
        grpc.aio.insecure_channel(place.debug) as channel,
        asyncio.timeout(110),
    ):
        debug = debug_pb2_grpc.DebugStub(channel)
        place.add("shop", "shop.example.org")
        await place.until(client, "shop.example.org", 200, seconds=60)
        await place.app.publisher.answered()
        watch = debug.Watch(pb.WatchRequest())
        await watch.initial_metadata()

        os.kill(place.envoy.pid, signal.SIGSTOP)
        place.add("late", "late.example.org", tasks=1)
        change = pb.Change()
        while "late" not in change.cause:
            change = (await watch.read()).change
        assert change.phase == pb.Change.PHASE_PUBLISHED
        behind = await _seen(
            lambda nodes, diff: (
                nodes.nodes[0].standing == pb.STANDING_WAITING and "late" in {each.name for each in diff.differences}
            ),
            debug,
        )
        found = await debug.Explain(pb.ExplainRequest(url="http://late.example.org/"))
        assert "envoy-1" in str(found.steps)
        os.kill(place.envoy.pid, signal.SIGCONT)
        while not (change.phase == pb.Change.PHASE_SERVED and "late" in change.cause):
            change = (await watch.read()).change
        current = await _seen(
            lambda nodes, diff: nodes.nodes[0].standing == pb.STANDING_CURRENT and not diff.differences, debug
        )

        os.kill(place.envoy.pid, signal.SIGKILL)
        event = pb.NodeEvent()
        while event.kind != pb.NodeEvent.KIND_LEFT:
            event = (await watch.read()).node
        gone = await _seen(lambda nodes, _: nodes.nodes[0].standing == pb.STANDING_GONE, debug)
        again = place.another(envoy_binary, "envoy-1")
        try:
            await again.start()
            back = await _seen(
                lambda nodes, diff: nodes.nodes[0].standing == pb.STANDING_CURRENT and not diff.differences, debug
            )
        finally:
            await again.stop()
        watch.cancel()
        print(f"told after ms: behind {behind:.0f}, current {current:.0f}, gone {gone:.0f}, back {back:.0f}")  # noqa: T201 - a figure


async def test_a_listener_that_envoy_refuses_is_told(envoy_binary: Path) -> None:
    """Somebody else has the port: Envoy cannot bind it, and says so."""
    async with (
        world(envoy_binary) as place,
        grpc.aio.insecure_channel(place.debug) as channel,
        asyncio.timeout(90),
    ):
        debug = debug_pb2_grpc.DebugStub(channel)
        await place.envoy.stop()
        taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "0.0.0.0", place.http_port)  # noqa: S104 - as Envoy would
        second = place.another(envoy_binary, "envoy-2")
        watch = debug.Watch(pb.WatchRequest())
        await watch.initial_metadata()
        starting = asyncio.create_task(second.start())
        try:
            event = pb.NodeEvent()
            while event.kind != pb.NodeEvent.KIND_REFUSED:
                event = (await watch.read()).node
            assert (event.node, event.type_url) == ("envoy-2", LISTENER)
            assert "ddress already in use" in event.refusal.message
            nodes = {each.node: each.standing for each in (await debug.ListNodes(pb.ListNodesRequest())).nodes}
            assert nodes["envoy-2"] == pb.STANDING_REFUSED
            found = (await debug.Diff(pb.DiffRequest(node="envoy-2"))).differences
            assert ("http", True) in [(each.name, bool(each.refused)) for each in found]
        finally:
            await asyncio.gather(starting, return_exceptions=True)
            await second.stop()
            taken.close()
        watch.cancel()
