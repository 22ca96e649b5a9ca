"""The methods over a real channel, on a record that was told a story."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import hashes
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.certificates import authority, secret_lines
from support.story import EPOCH, Story, service
from swarm_xds.certs import check
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.stock import Origin
from swarm_xds.debug.server import DebugServer
from swarm_xds.debug.service import NAME, Probe
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.debug.v1 import debug_pb2_grpc
from swarm_xds.model import EdgeOptions
from swarm_xds.networks.decision import Action, Decision, Delayed, Step
from swarm_xds.pipeline import Pipeline
from swarm_xds.snapshot import CLUSTER, ROUTE

STEP = Step(
    action=Action.CREATE_RELAY, name="r", network="front", stack="", fleet="default", reason="needed", subject="r"
)


@dataclass
class Asked:
    """A server's story, and stubs of its services."""

    story: Story
    debug: Any
    channel: grpc.aio.Channel


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    """A running debug API."""
    story = Story()
    probe = Probe(
        pipeline=lambda: Pipeline(EdgeOptions(), "default"),
        decision=lambda: Decision(later=(Delayed(step=STEP, at=1.0, reason="somebody may be removing the stack"),)),
        reading_age=lambda: 1.0,
        reading_limit=60.0,
        edge=EdgeOptions(),
        wall=lambda: EPOCH + story.now,
    )
    server = DebugServer(story.record, probe, "127.0.0.1:0")
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Asked(story, debug_pb2_grpc.DebugStub(channel), channel)
    await server.stop()


async def test_before_the_first_reading_nothing_is_claimed(asked: Asked) -> None:
    """An empty list would say that there is nothing."""
    for method, request in (
        (asked.debug.ListRoutes, pb.ListRoutesRequest()),
        (asked.debug.ListServices, pb.ListServicesRequest()),
        (asked.debug.ListCertificates, pb.ListCertificatesRequest()),
        (asked.debug.Explain, pb.ExplainRequest(url="http://a")),
        (asked.debug.Diff, pb.DiffRequest()),
        (asked.debug.ListNodes, pb.ListNodesRequest(fleet="default")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "nothing was read yet")
    asked.story.join(fleet="spare")
    assert len((await asked.debug.ListNodes(pb.ListNodesRequest(fleet="spare"))).nodes) == 1


async def test_certificates(asked: Asked) -> None:
    """What is served and what is missing, each with who uses it; the times are exact, and no key is among it."""
    pair = authority("Test CA").issue("web.example.org")
    held = hold(Held(), {"site.pem": check.read("site.pem", pair.pair)}, time.time())
    asked.story.publish(
        service("web", ssl_cert="site.pem"),
        service("shop", ssl_only="true"),
        certificates=CertificatesReading(certificates=held.certificates, stock=held.stock(Origin.DIRECTORY)),
    )
    answer = await asked.debug.ListCertificates(pb.ListCertificatesRequest())
    served, missing = answer.certificates
    assert (served.state, served.role, served.name, served.source, list(served.names)) == (
        *(pb.Certificate.STATE_SERVED, pb.Certificate.ROLE_SERVER),
        *("site.pem", "directory", ["web.example.org"]),
    )
    assert (served.issuer, served.subject, served.key_type) == ("CN=Test CA", "CN=web.example.org", "ECDSA P-256")
    assert served.fingerprint == pair.certificate.fingerprint(hashes.SHA256()).hex()
    assert served.not_after.ToDatetime(UTC) == pair.certificate.not_valid_after_utc
    assert served.not_before.ToDatetime(UTC) == pair.certificate.not_valid_before_utc
    assert [(each.fleet, each.host, list(each.services)) for each in served.uses] == [
        ("default", "web.example.org", ["web"])
    ]
    assert missing.state == pb.Certificate.STATE_MISSING
    assert "no certificate names shop.example.org" in missing.reason
    assert not any(line.encode() in answer.SerializeToString() for line in secret_lines(pair.pair))


async def test_routes_and_services(asked: Asked) -> None:
    """Where each request goes, and who is behind it."""
    asked.story.publish(
        service("web", tasks=2), service("old", redirects="http://old.example.org,http://web.example.org")
    )
    routes = (await asked.debug.ListRoutes(pb.ListRoutesRequest())).routes
    assert [(each.host, each.path, list(each.services), each.redirect) for each in routes] == [
        ("old.example.org", "/", ["old"], "http://web.example.org"),
        ("web.example.org", "/", ["web"], ""),
    ]
    assert [list(share.endpoints) for share in routes[1].shares] == [["10.9.0.10:80", "10.9.0.11:80"]]
    services = (await asked.debug.ListServices(pb.ListServicesRequest())).services
    assert [(each.name, list(each.routes), each.tasks_running, list(each.networks)) for each in services] == [
        ("old", ["old.example.org/"], 1, ["edge"]),
        ("web", ["web.example.org/"], 2, ["edge"]),
    ]


async def test_a_host_that_waits_for_its_certificate_has_no_route_over_tls(asked: Asked) -> None:
    """Only the one in plain, which leads there."""
    asked.story.publish(service("web", ssl_only="true"))
    routes = (await asked.debug.ListRoutes(pb.ListRoutesRequest())).routes
    assert [(each.scheme, each.redirect) for each in routes] == [("http", "https://")]
    (found,) = (await asked.debug.ListServices(pb.ListServicesRequest())).services
    assert list(found.routes) == ["web.example.org/"]


async def test_problems_by_severity_and_service(asked: Asked) -> None:
    """As the log has them."""
    asked.story.publish(service("web"), service("shop"))
    asked.story.publish(service("web", prot="1"), service("shop", port="eighty"))
    every = (await asked.debug.ListProblems(pb.ListProblemsRequest())).problems
    assert [(each.service, each.kind) for each in every] == [
        ("shop", "bad-value"),
        ("web", "unknown-key"),
        ("shop", "last-good"),
    ]
    errors = await asked.debug.ListProblems(pb.ListProblemsRequest(at_least=pb.Problem.SEVERITY_ERROR, service="shop"))
    assert [each.label for each in errors.problems] == ["com.docker.lb.port"]


async def test_nodes_and_their_differences(asked: Asked) -> None:
    """What a proxy has refused, and what it has not got yet."""
    asked.story.publish(service("web"))
    proxy = asked.story.join()
    proxy.take_all()
    assert not (await asked.debug.Diff(pb.DiffRequest())).differences
    asked.story.publish(service("web", tasks=2), service("shop"))
    proxy.refuse(proxy.send(CLUSTER), "bad cluster")
    (node,) = (await asked.debug.ListNodes(pb.ListNodesRequest())).nodes
    assert (node.node, node.standing) == ("edge-1", pb.STANDING_REFUSED)
    assert next(each.refusal.message for each in node.types if each.type_url == CLUSTER) == "bad cluster"
    found = (await asked.debug.Diff(pb.DiffRequest(node="edge-1"))).differences
    assert [(each.type_url.rpartition(".")[2], each.name, each.kind, each.refused) for each in found] == [
        ("Cluster", "shop", pb.Difference.KIND_MISSING, "bad cluster"),
        ("Cluster", "web", pb.Difference.KIND_OTHER, "bad cluster"),
        ("ClusterLoadAssignment", "shop", pb.Difference.KIND_MISSING, ""),
        ("ClusterLoadAssignment", "web", pb.Difference.KIND_OTHER, ""),
        ("RouteConfiguration", "http", pb.Difference.KIND_OTHER, ""),
    ]


async def test_a_snapshot_and_an_unknown_fleet(asked: Asked) -> None:
    """All of it, or one type."""
    asked.story.publish(service("web"))
    every = await asked.debug.GetSnapshot(pb.GetSnapshotRequest())
    assert (every.fleet, {each.name for each in every.resources}) == ("default", {"web", "http"})
    routes = await asked.debug.GetSnapshot(pb.GetSnapshotRequest(type_url=ROUTE))
    assert [each.resource.type_url for each in routes.resources] == [ROUTE]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked.debug.GetSnapshot(pb.GetSnapshotRequest(type_url="cluster"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_nobody_has_heard_of(asked: Asked) -> None:
    """An empty answer would say that all is well with it."""
    asked.story.publish(service("shop_web"))
    asked.story.join().take_all()
    for method, request, told in (
        (asked.debug.GetSnapshot, pb.GetSnapshotRequest(fleet="other"), "there are default"),
        (asked.debug.ListRoutes, pb.ListRoutesRequest(fleet="other"), "there are default"),
        (asked.debug.ListNodes, pb.ListNodesRequest(fleet="other"), "there are default"),
        (asked.debug.Diff, pb.DiffRequest(fleet="other"), "there are default"),
        (asked.debug.Diff, pb.DiffRequest(node="edge-2"), "did you mean edge-1?"),
        (asked.debug.ListProblems, pb.ListProblemsRequest(service="web"), "did you mean shop_web?"),
        (asked.debug.ListProblems, pb.ListProblemsRequest(service="shop_wbe"), "did you mean shop_web?"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND, request
        assert told in (caught.value.details() or ""), request
    asked.story.join(2, "edge-2", "spare").take_all()
    assert len((await asked.debug.ListNodes(pb.ListNodesRequest(fleet="spare"))).nodes) == 1
    with pytest.raises(
        grpc.aio.AioRpcError, match="no proxy edge-1 was here in fleet spare; did you mean edge-2"
    ) as caught:
        await asked.debug.Diff(pb.DiffRequest(node="edge-1", fleet="spare"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_a_proxy_has_that_went_is_not_known(asked: Asked) -> None:
    """An empty answer would say that it has everything; one of the same name is there for it."""
    asked.story.publish(service("web"))
    other = asked.story.join(1, fleet="spare")
    other.take_all()
    asked.story.join(2).leave()
    for fleet in ("", "spare"):
        assert not (await asked.debug.Diff(pb.DiffRequest(node="edge-1", fleet=fleet))).differences
    other.leave()
    for fleet in ("", "default", "spare"):
        with pytest.raises(grpc.aio.AioRpcError, match="proxy edge-1 has gone") as caught:
            await asked.debug.Diff(pb.DiffRequest(node="edge-1", fleet=fleet))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert not (await asked.debug.Diff(pb.DiffRequest())).differences


async def test_explain_and_a_url_that_is_none(asked: Asked) -> None:
    """A scheme may be left out."""
    asked.story.publish(service("web"))
    asked.story.join().take_all()
    found = await asked.debug.Explain(pb.ExplainRequest(url="web.example.org:8080/a?b", method="POST"))
    assert (found.outcome, found.answer) == ("forwarded", "POST goes to web, by 1 endpoint")
    spaced = await asked.debug.Explain(pb.ExplainRequest(url="web.example.org/a b/%C3ü"))
    assert spaced.answer == "GET goes to web, by 1 endpoint"
    asked.story.publish(service("web", hosts="bücher.example"))
    assert (await asked.debug.Explain(pb.ExplainRequest(url="http://Bücher.example"))).service == "web"
    asked.story.publish(service("web"))
    for host in ("web.example.org", "WEB.example.org:8080"):
        found = await asked.debug.Explain(pb.ExplainRequest(url="http://10.0.0.1/a", headers={"HOST": host}))
        assert found.service == "web", "as with curl, the header goes before the URL"
    for request in (
        *(pb.ExplainRequest(url=url) for url in ("ftp://a", "http://", "http://[::1", "http://a:b/", "http://a b/")),
        pb.ExplainRequest(url="http://a", method="GET /"),
        pb.ExplainRequest(url="http://a", headers={":path": "/"}),
        pb.ExplainRequest(url="http://a", headers={"": "x"}),
        pb.ExplainRequest(url="http://a", headers={"host": ""}),
        pb.ExplainRequest(url="http://a", headers={"host": "[::1"}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked.debug.Explain(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, request


async def test_networks_are_said_not_to_be_managed(asked: Asked) -> None:
    """As on stack files."""
    asked.story.publish(service("web"))
    assert not (await asked.debug.ListNetworks(pb.ListNetworksRequest())).managed


async def test_a_plan(asked: Asked) -> None:
    """Nothing is done."""
    asked.story.publish(service("web"))
    labels = {"com.docker.lb.hosts": "b.example.org", "com.docker.lb.port": "81"}
    planned = pb.PlannedService(name="b", labels=labels, networks=["edge"])
    found = await asked.debug.Plan(pb.PlanRequest(services=[planned]))
    assert [(each.action, each.what, each.name, each.after) for each in found.changes] == [
        (pb.PlannedChange.ACTION_ADD, "cluster", "b", "port 81 on edge"),
        (pb.PlannedChange.ACTION_ADD, "route", "b.example.org/", "to b"),
    ]
    assert len((await asked.debug.ListRoutes(pb.ListRoutesRequest())).routes) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked.debug.Plan(pb.PlanRequest(services=[pb.PlannedService()]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_watch_tells_what_was_and_what_comes(asked: Asked) -> None:
    """Each change when it is published and when it is served, with its cause and its time."""
    asked.story.publish(service("web"), cause="start")
    call = asked.debug.Watch(pb.WatchRequest(last=5))
    async with asyncio.timeout(10):
        first = await call.read()
        assert (first.change.number, first.change.cause, first.change.phase) == (1, "start", pb.Change.PHASE_UNSEEN)
        proxy = asked.story.join()
        assert (await call.read()).node.kind == pb.NodeEvent.KIND_JOINED
        proxy.take_all()
        asked.story.now = 5
        asked.story.publish(service("web", tasks=2), cause="tasks", noticed=4.5)
        published = (await call.read()).change
        assert (published.cause, published.phase, published.proxies) == ("tasks", pb.Change.PHASE_PUBLISHED, 1)
        asked.story.now = 6
        proxy.take_all()
        served = (await call.read()).change
        assert (served.phase, served.served_after.ToMilliseconds()) == (pb.Change.PHASE_SERVED, 1500)
        proxy.refuse(proxy.send(CLUSTER), "no")
        assert (await call.read()).node.refusal.message == "no"
        proxy.leave()
        assert (await call.read()).node.kind == pb.NodeEvent.KIND_LEFT
        for number in (3, 4):
            asked.story.publish(service("web", tasks=number))
            change = (await call.read()).change
            assert (change.number, change.phase) == (number, pb.Change.PHASE_UNSEEN), "once, with nobody to wait for"
    call.cancel()


async def test_a_watcher_that_is_too_slow_is_told_what_it_lost(asked: Asked) -> None:
    """It holds nobody up, and costs no more than so many events."""
    call = asked.debug.Watch(pb.WatchRequest())
    async with asyncio.timeout(10):
        await call.initial_metadata()
        for number in range(1500):
            asked.story.join(number, f"edge-{number}")
        first = await call.read()
        assert first.lost == 1500 - 1024
        assert (await call.read()).node.node == f"edge-{1500 - 1024}"
    call.cancel()


async def test_whoever_stops_watching_is_forgotten(asked: Asked) -> None:
    """Else each watcher would cost something for ever."""
    call = asked.debug.Watch(pb.WatchRequest())
    await call.initial_metadata()
    listeners = asked.story.record._listeners
    assert len(listeners) == 2
    call.cancel()
    async with asyncio.timeout(10):
        while len(listeners) != 1:
            await asyncio.sleep(0.01)


async def test_envoys_own_status_service(asked: Asked) -> None:
    """Each resource with how the proxy stands to it."""
    asked.story.publish(service("web"), service("shop"))
    asked.story.join(1, "good").take_all()
    asked.story.join(2, "bad").take_all({CLUSTER: "no"})
    stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(asked.channel)
    every = await stub.FetchClientStatus(csds_pb2.ClientStatusRequest())
    assert [config.node.id for config in every.config] == ["bad", "good"]
    request = csds_pb2.ClientStatusRequest(
        node_matchers=[{"node_id": {"exact": "bad"}}], exclude_resource_contents=True
    )
    stream = stub.StreamClientStatus()
    await stream.write(request)
    (config,) = (await stream.read()).config
    states = {(each.type_url, each.name): each for each in config.generic_xds_configs}
    refused = states[CLUSTER, "web"]
    assert (refused.config_status, refused.error_state.details) == (csds_pb2.ERROR, "no")
    assert states[ROUTE, "http"].config_status == csds_pb2.SYNCED
    assert not refused.HasField("xds_config")
    assert every.config[1].generic_xds_configs[0].HasField("xds_config")
    await stream.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.FetchClientStatus(csds_pb2.ClientStatusRequest(node_matchers=[{"node_id": {"prefix": "b"}}]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, "not silently nobody"


async def test_contents_of_many_proxies_are_left_out_unless_named(asked: Asked) -> None:
    """Each has all of them: of a large fleet that would be gigabytes."""
    asked.story.publish(service("web"))
    for number in range(17):
        asked.story.join(number, f"edge-{number}").take_all()
    stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(asked.channel)
    every = await stub.FetchClientStatus(csds_pb2.ClientStatusRequest())
    assert len(every.config) == 17
    assert not any(each.HasField("xds_config") for config in every.config for each in config.generic_xds_configs)
    one = await stub.FetchClientStatus(csds_pb2.ClientStatusRequest(node_matchers=[{"node_id": {"exact": "edge-3"}}]))
    assert all(each.HasField("xds_config") for each in one.config[0].generic_xds_configs)


async def test_health_and_reflection(asked: Asked) -> None:
    """So that grpcurl works without any file."""
    health = health_pb2_grpc.HealthStub(asked.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflect = reflection_pb2_grpc.ServerReflectionStub(asked.channel).ServerReflectionInfo()
    await reflect.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = [each.name for each in (await reflect.read()).list_services_response.service]
    assert {NAME, "envoy.service.status.v3.ClientStatusDiscoveryService"} <= set(names)
    await reflect.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAME))
    assert (await reflect.read()).file_descriptor_response.file_descriptor_proto
    await reflect.done_writing()
