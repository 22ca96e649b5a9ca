"""Clients that want more than one may have: they are slowed down or refused, and cost others nothing."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from support.xds_client import PATIENCE, Client, Recorder, cluster, routes, secret, snapshot, snapshots
from swarm_xds.server import Limits, Publisher, Refusal, XdsServer
from swarm_xds.server.gate import Allowance
from swarm_xds.snapshot import CLUSTER, LISTENER, ROUTE, SECRET, Snapshot

ONE = snapshot(clusters=[cluster("a")])


@dataclass(slots=True)
class Limited:
    """A server with limits that a test can reach."""

    publisher: Publisher
    recorder: Recorder
    port: int

    def reasons(self) -> list[str]:
        """Return why clients were refused; all of it must be for limits."""
        assert {refusal for _, refusal, _ in self.recorder.refusals} <= {Refusal.LIMIT}
        return [reason for _, _, reason in self.recorder.refusals]


@asynccontextmanager
async def limited(**limits: float) -> AsyncIterator[Limited]:
    """Run a server."""
    async with unpublished(**limits) as place:
        place.publisher.publish(snapshots(ONE))
        yield place


@asynccontextmanager
async def unpublished(**limits: float) -> AsyncIterator[Limited]:
    """Run a server that has nothing to serve yet."""
    publisher, recorder = Publisher(), Recorder()
    server = XdsServer(publisher, "127.0.0.1:0", recorder, Limits(**limits))  # type: ignore[arg-type] # numbers all
    port = await server.start()
    try:
        yield Limited(publisher, recorder, port)
    finally:
        await server.stop(0.2)


@pytest.mark.parametrize("limit", ["streams", "streams_per_client"])
async def test_streams_are_counted_and_given_back(variant: str, limit: str) -> None:
    """One too many is refused; when one ends there is room for another."""
    async with limited(**{limit: 2}) as place, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(place.port, variant=variant)) for _ in range(2)]
        for client in clients:
            await client.have(CLUSTER)
        async with Client(place.port, variant=variant) as third:
            await third.subscribe(CLUSTER)
            # gRPC resets a stream that ends before its first request came; that may reach the client first.
            ends = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
            assert (await third.end(CLUSTER))[0] in ends
        clients[0].stream(CLUSTER).cancel()
        await place.recorder.until(lambda seen: seen.closures)
        async with Client(place.port, variant=variant) as fourth:
            assert (await fourth.have(CLUSTER)).names == ("a",)
        (reason,) = place.reasons()
        assert reason == ("more than 2 streams" if limit == "streams" else "more than 2 streams from ipv4:127.0.0.1")


async def test_names_are_counted(variant: str) -> None:
    """Over all requests and types of the stream."""
    async with limited(names_per_stream=100) as place, Client(place.port, variant=variant) as client:
        await client.have(CLUSTER, "a", *(f"c{number}" for number in range(49)))
        await client.subscribe(CLUSTER, "a", *(f"d{number}" for number in range(30)))
        await client.subscribe(ROUTE, *(f"r{number}" for number in range(21)))
        if variant == "delta":
            assert len((await client.receive(CLUSTER)).removed) == 30
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert place.reasons() == ["more than 100 resource names on one stream"]


async def test_names_that_are_dropped_do_not_count(variant: str) -> None:
    """A client may ask for one after the other for ever."""
    async with limited(names_per_stream=10) as place, Client(place.port, variant=variant) as client:
        await client.have(CLUSTER, "a")
        for number in range(40):
            await client.subscribe(CLUSTER, f"c{number}")
            await client.unsubscribe(CLUSTER, f"c{number}")
        place.publisher.publish(snapshots(snapshot(clusters=[cluster("a")], routes=[routes("table", {})])))
        await client.subscribe(ROUTE, "table")
        await place.recorder.until(lambda seen: any(each.type_url == ROUTE for each in seen.responses))
        assert place.reasons() == []


@pytest.mark.parametrize("field", ["name", "type", "node", "version"])
async def test_texts_have_a_length(variant: str, field: str) -> None:
    """Whatever is remembered of a request."""
    long = "x" * 2000
    async with limited() as place:
        async with Client(place.port, variant=variant, node=long if field == "node" else "n") as client:
            if field == "name":
                await client.subscribe(CLUSTER, long)
            elif field == "version" and variant == "delta":
                await client.subscribe(CLUSTER, initial={"a": long})
            elif field == "type":
                await client.send(long)
            else:
                await client.send(CLUSTER, response_nonce=long)
            assert (await client.end(CLUSTER))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert place.reasons() == ["a name of more than 1024 characters"]


async def test_a_request_has_a_size(variant: str) -> None:
    """GRPC refuses it before it is read whole."""
    async with limited(request_bytes=10_000) as place, Client(place.port, variant=variant) as client:
        await client.subscribe(CLUSTER, *(f"{number:0100}" for number in range(200)))
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert place.recorder.peers == []


async def test_a_stream_without_a_request_ends() -> None:
    """It would hold a place for nothing."""
    async with limited(first_request=0.05) as place, grpc.aio.insecure_channel(f"127.0.0.1:{place.port}") as channel:
        method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
        call = channel.stream_stream(method)()
        async with asyncio.timeout(PATIENCE):
            assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert place.reasons() == ["no request within 0.05 s"]


async def test_who_waits_for_the_first_snapshot_is_let_go(variant: str) -> None:
    """Another replica may have one, and an Envoy that begins has nothing; it is no fault of the client's."""
    async with unpublished(first_snapshot=0.05) as place, Client(place.port, variant=variant) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.OK
        assert place.recorder.refusals == []
        place.publisher.publish(snapshots(ONE))
        async with Client(place.port, variant=variant) as again:
            assert (await again.have(CLUSTER)).names == ("a",)


@pytest.mark.parametrize(("requests", "names"), [(200, 0), (1, 2000)], ids=["requests", "names"])
async def test_a_flood_of_requests_is_read_slowly_and_holds_up_nobody(variant: str, requests: int, names: int) -> None:
    """What is not read waits with the client; another client is answered meanwhile. Names count as requests do."""
    async with (
        limited(requests_per_second=200, requests_at_once=20) as place,
        Client(place.port, variant=variant, node="flood") as flood,
        Client(place.port, variant=variant) as other,
    ):
        await flood.have(CLUSTER)
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def send() -> None:
            asked = "resource_names" if variant == "sotw" else "resource_names_subscribe"
            for _ in range(requests):
                given = {asked: [f"c{number}" for number in range(names)]} if names else {"response_nonce": "stale"}
                await flood.send(LISTENER if names else CLUSTER, **given)
            await flood.subscribe(ROUTE, "table")

        task = asyncio.create_task(send())
        await other.have(CLUSTER)
        others = loop.time() - start
        place.publisher.publish(snapshots(snapshot(clusters=[cluster("a")], routes=[routes("table", {})])))
        if names and variant == "delta":
            assert len((await flood.take(LISTENER)).removed) == names
        assert (await flood.take(ROUTE)).type_url == ROUTE
        assert max(0.7, 2 * others) < loop.time() - start
        await task
        assert place.reasons() == []


async def test_answers_to_what_was_sent_cost_no_more_than_requests(variant: str) -> None:
    """However much is left to be sent, as where many secrets come one by one, and however many names each has."""
    names = [f"certificate/h{number}" for number in range(200)]
    async with (
        limited(requests_per_second=0.1, requests_at_once=2 * len(names)) as place,
        Client(place.port, variant=variant) as client,
    ):
        place.publisher.publish(snapshots(snapshot(secrets=[secret(name, "x") for name in names])))
        await client.subscribe(SECRET, *names)
        missing = set(names)
        while missing:
            missing -= set((await client.take(SECRET)).names)


def test_the_allowance_is_a_rate_with_a_burst() -> None:
    """And a time of silence gives no more than the burst."""
    allowance = Allowance(10, 3, 0.0)
    assert [allowance.wait(0.0) for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert allowance.wait(100.0) == 0
    assert [allowance.wait(100.0) for _ in range(3)] == pytest.approx([0, 0, 0.1])


def _resident() -> int:
    """Return this process's memory in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _large(number: int) -> Snapshot:
    return snapshot(routes=[routes("table", {f"/{number}/{line:04}{'x' * 100}": "c" for line in range(2000)})])


async def test_clients_that_do_not_read_cost_a_bounded_memory(variant: str) -> None:
    """Each of these changes for each of these clients, were it kept, would be half a gigabyte."""
    async with limited() as place, AsyncExitStack() as stack:
        place.publisher.publish(snapshots(_large(0)))
        for number in range(20):
            client = await stack.enter_async_context(Client(place.port, variant=variant, node=f"n{number}"))
            await client.have(ROUTE, "table")
        async with Client(place.port, variant=variant) as live:
            await live.have(ROUTE, "table")
            before = 0
            for number in range(1, 151):
                place.publisher.publish(snapshots(_large(number)))
                await live.take(ROUTE)
                if number == 50:
                    before = _resident()
            assert _resident() - before < 40_000_000
        assert place.reasons() == []


@pytest.mark.parametrize(("fetches", "names"), [(8, 0), (2, 60)], ids=["fetches", "names"])
async def test_fetches_without_end_are_answered_slowly(fetches: int, names: int) -> None:
    """As the requests of a stream are read: two in advance, and the rest at the rate, at which names count too."""
    request = discovery_pb2.DiscoveryRequest(resource_names=[f"c{number}" for number in range(names)])
    async with (
        limited(requests_per_second=20, requests_at_once=2) as place,
        grpc.aio.insecure_channel(f"127.0.0.1:{place.port}") as channel,
    ):
        fetch = channel.unary_unary("/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters")
        start = asyncio.get_running_loop().time()
        for _ in range(fetches):
            await fetch(request.SerializeToString())
        assert asyncio.get_running_loop().time() - start >= 6 / 20
        assert place.reasons() == []


async def test_fetches_that_wait_are_counted() -> None:
    """More than one client may have are refused, as its streams are."""
    async with (
        limited(requests_per_second=5, requests_at_once=1, streams_per_client=2) as place,
        grpc.aio.insecure_channel(f"127.0.0.1:{place.port}") as channel,
    ):
        fetch = channel.unary_unary("/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters")
        await fetch(b"")
        codes = await asyncio.gather(*(fetch(b"").code() for _ in range(3)))
        assert sorted(code.name for code in codes) == ["OK", "OK", "RESOURCE_EXHAUSTED"]
        assert place.reasons() == ["more than 2 streams from ipv4:127.0.0.1"]


async def test_who_takes_nothing_is_let_go_and_catches_up(variant: str) -> None:
    """Its place is given back when it reads on or goes; and it comes back to the latest."""
    async with limited(write=1, streams_per_client=2) as place:
        place.publisher.publish(snapshots(_large(0)))
        async with Client(place.port, variant=variant, node="stalled") as stalled:
            await stalled.have(ROUTE, "table")
            async with Client(place.port, variant=variant) as live:
                await live.have(ROUTE, "table")
                number = 0
                while not place.recorder.closures:
                    number += 1
                    place.publisher.publish(snapshots(_large(number)))
                    await live.take(ROUTE)
            assert [peer.node for peer in place.recorder.closures] == ["stalled"]
            assert place.reasons() == ["a response was not taken within 1 s"]
            async with Client(place.port, variant=variant, node="again") as again:
                assert (await again.have(ROUTE, "table")).version == _large(number).of(ROUTE).version
            async with asyncio.timeout(PATIENCE):
                with suppress(grpc.aio.AioRpcError):
                    while await stalled.stream(ROUTE).read() is not grpc.aio.EOF:
                        pass
                assert await stalled.stream(ROUTE).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
