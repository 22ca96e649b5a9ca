"""The life of real streams: order, slow clients, errors, ends."""

import asyncio

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog import get_logger
from structlog.testing import capture_logs

from support.xds_client import PATIENCE, Client, Recorder, cluster, endpoints, only, routes, snapshot, snapshots
from swarm_xds.server import AddressError, Limits, LogObserver, Peer, Publisher, XdsServer
from swarm_xds.server.subscription import Nack
from swarm_xds.snapshot import CLUSTER, ENDPOINT, ROUTE, Snapshot

from .conftest import Running


async def test_the_endpoints_of_a_changed_cluster_are_sent_again(running: Running, variant: str) -> None:
    """Unasked, and after the cluster: Envoy warms it with them, and in delta never asks."""
    running.publisher.publish(
        snapshots(snapshot(clusters=[cluster("a"), cluster("b")], endpoints=[endpoints("a", 1), endpoints("b", 1)]))
    )
    async with Client(running.port, variant=variant) as client:
        await client.have(CLUSTER)
        await client.have(ENDPOINT, "a", "b")
        changed = [cluster("a", connect_timeout=2), cluster("b")]
        running.publisher.publish(
            snapshots(snapshot(clusters=changed, endpoints=[endpoints("a", 1), endpoints("b", 1)]))
        )
        assert "a" in (await client.receive(CLUSTER)).values
        assert (await client.take(ENDPOINT)).names == ("a",)


async def test_the_endpoints_of_a_cluster_that_changed_while_the_client_was_away_are_sent_again(
    running: Running,
) -> None:
    """Though the client says that it has them."""
    kept = endpoints("a", 1)
    running.publisher.publish(snapshots(snapshot(clusters=[cluster("a", connect_timeout=2)], endpoints=[kept])))
    async with Client(running.port, variant="delta") as client:
        await client.subscribe(CLUSTER, initial={"a": cluster("a").version})
        assert (await client.receive(CLUSTER)).names == ("a",)
        await client.subscribe(ENDPOINT, "a", initial={"a": kept.version})
        assert (await client.receive(ENDPOINT)).names == ("a",)


async def test_routes_wait_for_the_answer_to_clusters(running: Running, variant: str) -> None:
    """Here over a real stream; test_sequence has the cases."""
    running.publisher.publish(snapshots(snapshot(clusters=[cluster("a")], routes=[routes("table", {"/": "a"})])))
    async with Client(running.port, variant=variant) as client:
        await client.have(CLUSTER)
        await client.have(ROUTE, "table")
        running.publisher.publish(snapshots(snapshot(clusters=[cluster("b")], routes=[routes("table", {"/": "b"})])))
        assert "b" in (await client.receive(CLUSTER)).values
        await client.subscribe(ENDPOINT, "marker")
        await client.take(ENDPOINT)
        await client.ack(CLUSTER)
        assert (await client.take(ROUTE)).names == ("table",)
        last = await client.take(CLUSTER)
        assert last.removed == ("a",) or last.names == ("b",)
        async with asyncio.timeout(PATIENCE):
            await running.publisher.answered()


async def test_routes_wait_for_a_limited_time(variant: str) -> None:
    """The stream wakes by itself: neither a request nor a publication comes."""
    publisher = Publisher()
    server = XdsServer(publisher, "127.0.0.1:0", limits=Limits(additions=0.05))
    port = await server.start()
    try:
        publisher.publish(snapshots(snapshot(clusters=[cluster("a")], routes=[routes("table", {"/": "a"})])))
        async with Client(port, variant=variant) as client:
            await client.subscribe(CLUSTER)
            await client.receive(CLUSTER)
            assert (await client.have(ROUTE, "table")).names == ("table",)
    finally:
        await server.stop(0.2)


async def test_a_client_that_does_not_read_holds_up_nobody(running: Running, variant: str) -> None:
    """Nor does it cost memory: it gets the latest when it reads again, not all that it missed."""
    padding = {f"/{number:05}{'x' * 100}": "c" for number in range(2000)}

    def large(number: int) -> Snapshot:
        return snapshot(routes=[routes("table", {"/": f"c{number}", **padding})])

    running.publisher.publish(snapshots(large(0)))
    async with Client(running.port, variant=variant) as stalled, Client(running.port, variant=variant) as live:
        await stalled.have(ROUTE, "table")
        await live.have(ROUTE, "table")
        for number in range(1, 41):
            running.publisher.publish(snapshots(large(number)))
            assert (await live.take(ROUTE)).names == ("table",)
        last = large(40).of(ROUTE).version
        count = 1
        while (await stalled.receive(ROUTE)).version != last:
            count += 1
        assert count < 35


async def test_thirty_clients_have_a_change(running: Running, variant: str) -> None:
    """One change, answered by all."""
    running.publisher.publish(snapshots(only(ROUTE, table=1)))
    clients = [Client(running.port, variant=variant, node=f"n{number}") for number in range(30)]
    try:
        for client in clients:
            await client.have(ROUTE, "table")
        async with asyncio.timeout(PATIENCE):
            await running.publisher.answered(streams=30)
        async with asyncio.timeout(PATIENCE):
            running.publisher.publish(snapshots(only(ROUTE, table=2)))
            await asyncio.gather(*(client.take(ROUTE) for client in clients))
            await running.publisher.answered(streams=30)
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)


async def test_an_aggregated_request_without_type_is_an_error(running: Running, variant: str) -> None:
    """As go-control-plane has it."""
    async with Client(running.port, variant=variant) as client:
        await client.send("")
        assert await client.stream("").code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_single_stream_takes_its_own_type_only(running: Running, variant: str) -> None:
    """Its method says which."""
    async with Client(running.port, variant=variant, aggregated=False) as client:
        kind = discovery_pb2.DiscoveryRequest if variant == "sotw" else discovery_pb2.DeltaDiscoveryRequest
        message = kind(type_url=ROUTE)
        await client.stream(CLUSTER).write(message.SerializeToString())
        assert await client.stream(CLUSTER).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_that_are_no_request_are_an_error(running: Running, variant: str) -> None:
    """And do not end the server."""
    async with Client(running.port, variant=variant) as client:
        await client.stream(CLUSTER).write(b"\xff\xff")
        assert await client.stream(CLUSTER).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_types_without_end_are_an_error(running: Running, variant: str) -> None:
    """Each costs memory."""
    async with Client(running.port, variant=variant) as client:
        for number in range(17):
            await client.send(f"type.example/{number}")
        assert await client.stream("").code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_type_that_is_not_served_is_answered_as_missing(running: Running) -> None:
    """Delta must answer every name."""
    running.publisher.publish(snapshots(Snapshot()))
    async with Client(running.port, variant="delta") as client:
        await client.subscribe("type.example/Other", "a")
        assert (await client.receive("type.example/Other")).removed == ("a",)


async def test_health_follows_the_first_publication(running: Running) -> None:
    """A balancer must not send Envoys to a server that has nothing to say."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "envoy.service.discovery.v3.AggregatedDiscoveryService"):
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=service))
            before = await watch.read()
            assert before.status == (
                health_pb2.HealthCheckResponse.NOT_SERVING if not service else health_pb2.HealthCheckResponse.SERVING
            )
            running.publisher.publish(snapshots(Snapshot()))
            if not service:
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()


async def test_streams_end_in_order_when_the_server_stops(running: Running, client: Client) -> None:
    """An end, not an error, on a stream that the client reads."""
    running.publisher.publish(snapshots(only(CLUSTER, a=1)))
    await client.have(CLUSTER)
    await running.server.stop(5)
    assert await client.stream(CLUSTER).read() is grpc.aio.EOF
    assert await client.stream(CLUSTER).code() is grpc.StatusCode.OK
    assert len(running.recorder.closures) == 1
    assert running.publisher.streams == 0


async def test_streams_end_one_after_the_other(variant: str) -> None:
    """Else all clients would turn to another replica in the same moment; and new ones end at once."""
    publisher, recorder = Publisher(), Recorder()
    limits = Limits(drain=0.6, drain_interval=10)
    server = XdsServer(publisher, "127.0.0.1:0", recorder, limits)
    port = await server.start()
    publisher.publish(snapshots(only(CLUSTER, a=1)))
    clients = [Client(port, variant=variant, node=f"n{number}") for number in range(4)]
    try:
        for client in clients:
            await client.have(CLUSTER)
        stop = asyncio.create_task(server.stop(5))
        ended = []
        for client in clients:
            assert (await client.end(CLUSTER))[0] is grpc.StatusCode.OK
            ended.append(asyncio.get_running_loop().time())
        await stop
        assert [peer.node for peer in recorder.closures] == ["n0", "n1", "n2", "n3"]
        assert ended[-1] - ended[0] >= 3 * 0.15 - 0.05
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)


async def test_a_client_that_goes_away_is_forgotten(running: Running, client: Client) -> None:
    """By the publisher and the observer."""
    running.publisher.publish(snapshots(only(CLUSTER, a=1)))
    await client.have(CLUSTER)
    client.stream(CLUSTER).cancel()
    await running.recorder.until(lambda seen: seen.closures)
    assert running.publisher.streams == 0


async def test_a_taken_port_is_an_error(running: Running) -> None:
    """Else two servers would each get some of the clients."""
    address = f"127.0.0.1:{running.port}"
    with pytest.raises(AddressError) as caught:
        await XdsServer(Publisher(), address).start()
    assert caught.value.address == address


async def test_the_messages_are_those_of_the_generated_client(running: Running) -> None:
    """An independent reading of the hand-made method table and of the nonce appended to the bytes."""
    running.publisher.publish(snapshots(only(CLUSTER, a=1)))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
        await call.write(discovery_pb2.DiscoveryRequest(type_url=CLUSTER))
        response = await call.read()
        call.cancel()
    again = discovery_pb2.DiscoveryResponse.FromString(response.SerializeToString())
    assert again.nonce
    assert [entry.type_url for entry in again.resources] == [CLUSTER]


def test_a_rejection_is_logged_as_an_error_once() -> None:
    """A client that reconnects and rejects the same again is not news."""
    peer = Peer(stream=1, node="n1", fleet="edge", variant="delta", address="ipv4:127.0.0.1:1")
    with capture_logs() as logs:
        observer = LogObserver(get_logger())
        for message in ("bad", "bad", "worse"):
            observer.nacked(peer, CLUSTER, Nack(nonce="1", version="v", message=message, names=("a",)))
    assert [entry["log_level"] for entry in logs] == ["error", "debug", "error"]
    assert logs[0] == {
        "event": "xds.nack",
        "log_level": "error",
        "node": "n1",
        "fleet": "edge",
        "type_url": CLUSTER,
        "version": "v",
        "message": "bad",
        "resources": ("a",),
    }
