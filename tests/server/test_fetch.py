"""``Fetch*``: one request, one whole answer, without a stream."""

from pathlib import Path

import grpc
import pytest
from envoy.service.cluster.v3 import cds_pb2_grpc
from envoy.service.discovery.v3 import discovery_pb2

from support.pki import Authority
from support.xds_client import Recorder, cluster, endpoints, listener, routes, snapshot, snapshots
from swarm_xds.server import Credentials, Publisher, Refusal, TlsFiles, XdsServer
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, VIRTUAL_HOST

from .conftest import Running

METHODS = {
    CLUSTER: "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters",
    ENDPOINT: "/envoy.service.endpoint.v3.EndpointDiscoveryService/FetchEndpoints",
    LISTENER: "/envoy.service.listener.v3.ListenerDiscoveryService/FetchListeners",
    ROUTE: "/envoy.service.route.v3.RouteDiscoveryService/FetchRoutes",
    SECRET: "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets",
}
WORLD = snapshot(
    clusters=[cluster("a"), cluster("b")],
    endpoints=[endpoints("a", 1), endpoints("b", 1)],
    listeners=[listener("edge", 1, "table")],
    routes=[routes("table", {"/": "a"})],
)


async def fetch(port: int, method: str, **fields: object) -> discovery_pb2.DiscoveryResponse:
    """Ask once."""
    request = discovery_pb2.DiscoveryRequest(**fields)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        data = await channel.unary_unary(method)(request.SerializeToString())
    return discovery_pb2.DiscoveryResponse.FromString(data)


@pytest.mark.parametrize(
    ("type_url", "names", "count"),
    [
        pytest.param(CLUSTER, [], 2, id="all clusters"),
        pytest.param(CLUSTER, ["*"], 2, id="all clusters by asterisk"),
        pytest.param(CLUSTER, ["a"], 1, id="one cluster"),
        pytest.param(CLUSTER, ["none"], 0, id="no such cluster"),
        pytest.param(ENDPOINT, ["a"], 1, id="endpoints"),
        pytest.param(ENDPOINT, ["none"], 1, id="endpoints of no such cluster"),
        pytest.param(LISTENER, [], 1, id="listeners"),
        pytest.param(ROUTE, ["table"], 1, id="routes"),
        pytest.param(SECRET, ["none"], 0, id="no secrets"),
    ],
)
async def test_the_answer_is_all_that_was_asked_for(
    running: Running, type_url: str, names: list[str], count: int
) -> None:
    """Under the version of the type, or that of a part of it, also where the client has it already."""
    running.publisher.publish(snapshots(WORLD))
    version = WORLD.of(type_url).version + ("-part" if names == ["a"] and type_url == CLUSTER else "")
    response = await fetch(
        running.port, METHODS[type_url], type_url=type_url, resource_names=names, version_info=version
    )
    assert (response.type_url, response.version_info, len(response.resources)) == (type_url, version, count)
    assert {entry.type_url for entry in response.resources} <= {type_url}


async def test_the_fleet_is_the_nodes(running: Running) -> None:
    """As on a stream."""
    running.publisher.publish(snapshots(WORLD, inner=snapshot(clusters=[cluster("inner")])))
    response = await fetch(running.port, METHODS[CLUSTER], node={"id": "n1", "cluster": "inner"})
    assert len(response.resources) == 1


@pytest.mark.parametrize(
    ("method", "fields", "code"),
    [
        pytest.param(METHODS[CLUSTER], {"type_url": ROUTE}, grpc.StatusCode.INVALID_ARGUMENT, id="another type"),
        pytest.param(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/FetchAggregatedResources",
            {},
            grpc.StatusCode.UNIMPLEMENTED,
            id="there is no aggregated one",
        ),
        pytest.param(
            "/envoy.service.route.v3.VirtualHostDiscoveryService/StreamVirtualHosts",
            {},
            grpc.StatusCode.UNIMPLEMENTED,
            id="virtual hosts are incremental only",
        ),
    ],
)
async def test_what_cannot_be_asked(running: Running, method: str, fields: dict[str, str], code: object) -> None:
    """An error each, and told to the observer where it is ours."""
    running.publisher.publish(snapshots(WORLD))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await fetch(running.port, method, **fields)
    assert caught.value.code() is code
    ours = [Refusal.PROTOCOL] if code is grpc.StatusCode.INVALID_ARGUMENT else []
    assert [refusal for _, refusal, _ in running.recorder.refusals] == ours


async def test_before_the_first_publication_nothing_is_answered(running: Running) -> None:
    """An empty answer would be taken for the truth."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await fetch(running.port, METHODS[CLUSTER])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_another_fleets_certificate_fetches_nothing(tmp_path: Path) -> None:
    """The door is the same as for streams."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    files = TlsFiles(ca=authority.write(tmp_path), certificate=certificate, key=key)
    publisher, recorder = Publisher(), Recorder()
    publisher.publish(snapshots(WORLD))
    server = XdsServer(publisher, "127.0.0.1:0", recorder, credentials=Credentials(files).server_credentials())
    port = await server.start()
    member = authority.member("shop")
    credentials = grpc.ssl_channel_credentials(authority.certificate, member.key, member.certificate)
    try:
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            stub = cds_pb2_grpc.ClusterDiscoveryServiceStub(channel)
            found = await stub.FetchClusters(discovery_pb2.DiscoveryRequest(node={"id": "n1", "cluster": "shop"}))
            assert len(found.resources) == 2
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.FetchClusters(discovery_pb2.DiscoveryRequest(node={"id": "n1", "cluster": "bank"}))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    finally:
        await server.stop(0.2)
    assert [(peer.node, refusal) for peer, refusal, _ in recorder.refusals] == [("n1", Refusal.FORBIDDEN)]


async def test_virtual_hosts_have_no_state_of_the_world(running: Running) -> None:
    """Nor on the aggregated stream."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        call = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
        )()
        await call.write(discovery_pb2.DiscoveryRequest(type_url=VIRTUAL_HOST).SerializeToString())
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
