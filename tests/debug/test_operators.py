"""Who may ask over mutual TLS: operators, and nobody else, whichever method it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.story import EPOCH, Story, service
from swarm_xds.debug.operators import Stranger
from swarm_xds.debug.server import DebugServer
from swarm_xds.debug.service import Probe
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.debug.v1 import debug_pb2_grpc
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.pki import issue
from swarm_xds.pki.issue import Authority, Member
from swarm_xds.server import Credentials, TlsFiles

#: What an empty request may get; gRPC's own health does not implement all of its methods.
ANSWERS = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}
NOW = datetime.now(UTC).replace(microsecond=0)
SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (pb, "Debug"),
        (csds_pb2, "ClientStatusDiscoveryService"),
        (health_pb2, "Health"),
        (reflection_pb2, "ServerReflection"),
    )
]
METHODS = [method for service in SERVICES for method in service.methods]


@dataclass
class Place:
    """A listener, the authority that it trusts, and who was refused."""

    story: Story
    port: int
    folder: Path
    authority: Authority
    refused: list[Stranger] = field(default_factory=list)

    def channel(self, member: Member | None, authority: Authority | None = None) -> grpc.aio.Channel:
        """Return a channel of somebody, whose certificate is another authority's if one is given."""
        own = (None, None)
        if member is not None:
            issued = (authority or self.authority).issue(member, NOW)
            own = (issued.key.reveal(), issued.pem)
        credentials = grpc.ssl_channel_credentials((self.folder / "ca.crt").read_bytes(), *own)
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials)


def write(folder: Path, authority: Authority) -> TlsFiles:
    """Write an authority's certificate, and one that it issues to a control plane."""
    issued = authority.issue(issue.control_plane(), NOW)
    files = TlsFiles(ca=folder / "ca.crt", certificate=folder / "own.crt", key=folder / "own.key")
    files.ca.write_bytes(issue.Issued(certificate=authority.certificate, key=authority.key).pem)
    files.certificate.write_bytes(issued.pem)
    files.key.write_bytes(issued.key.reveal())
    return files


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A running debug API with mutual TLS."""
    story = Story()
    story.publish(service("web"))
    probe = Probe(
        pipeline=lambda: Pipeline(EdgeOptions(), "default"),
        decision=lambda: None,
        reading_age=lambda: 1.0,
        reading_limit=60.0,
        edge=EdgeOptions(),
        wall=lambda: EPOCH + story.now,
    )
    place = Place(story, 0, tmp_path, Authority.make(NOW))
    credentials = Credentials(write(tmp_path, place.authority)).server_credentials()
    server = DebugServer(story.record, probe, "127.0.0.1:0", credentials=credentials, refused=place.refused.append)
    place.port = await server.start()
    yield place
    await server.stop()


async def code(channel: grpc.aio.Channel, method: Any) -> tuple[grpc.StatusCode, str]:
    """Call a method with an empty request, and return how it ends, or OK as soon as it answers anything."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    # It would say nothing until something happens.
    request = (
        pb.WatchRequest(last=1) if method.input_type.name == "WatchRequest" else GetMessageClass(method.input_type)()
    )
    call = getattr(channel, kind)(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=bytes,
    )(iter([request]) if method.client_streaming else request)
    try:
        async with asyncio.timeout(30):
            if not method.server_streaming:
                await call
            elif await call.read() is grpc.aio.EOF:
                return await call.code(), await call.details() or ""
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def test_no_method_answers_a_proxy_or_a_control_plane(place: Place) -> None:
    """Not even reflection and health; each refusal says who may ask, and is told."""
    for member in (issue.fleet("default"), issue.control_plane()):
        async with place.channel(member) as channel:
            for method in METHODS:
                status, details = await code(channel, method)
                assert status is grpc.StatusCode.PERMISSION_DENIED, method.full_name
                assert f"the certificate names {member.uri}, and only operators may ask" in details
    refused = [each.method for each in place.refused]
    assert refused == [f"/{each.containing_service.full_name}/{each.name}" for each in METHODS] * 2
    assert place.refused[0].names == ("spiffe://swarm-xds/fleet/default",)
    assert place.refused[0].address.startswith("ipv4:127.0.0.1:")


async def test_every_method_answers_an_operator(place: Place) -> None:
    """Of all four kinds; what an empty request gets is the method's own matter."""
    async with place.channel(issue.operator("alice")) as channel:
        for method in METHODS:
            status, _ = await code(channel, method)
            assert status in ANSWERS, method.full_name
    assert not place.refused


@pytest.mark.parametrize(
    "uri",
    ["spiffe://swarm-xds/operator/", "spiffe://swarm-xds/operators/alice", "spiffe://other/operator/alice", "x"],
)
async def test_a_name_that_is_nearly_an_operators_is_refused(place: Place, uri: str) -> None:
    """Letter for letter."""
    async with place.channel(Member(name="x", uri=uri, calls=True)) as channel:
        assert (await code(channel, METHODS[0]))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_whoever_has_no_certificate_of_the_authority_gets_nowhere(place: Place) -> None:
    """Neither without one, nor with one of another authority, nor with a relay's (a server's), nor in plain."""
    channels = [
        place.channel(None),
        place.channel(issue.operator("alice"), Authority.make(NOW)),
        place.channel(issue.relay()),
        grpc.aio.insecure_channel(f"127.0.0.1:{place.port}"),
    ]
    for each in channels:
        async with each as channel:
            assert (await code(channel, METHODS[0]))[0] is grpc.StatusCode.UNAVAILABLE


async def test_another_authority_is_followed_without_a_restart(place: Place) -> None:
    """The files are those of the xDS port, and are looked at for each handshake."""
    alice, fresh = issue.operator("alice"), Authority.make(NOW)
    old = place.authority
    async with place.channel(alice) as before:
        assert (await code(before, METHODS[0]))[0] is grpc.StatusCode.OK
        write(place.folder, fresh)
        place.authority = fresh
        async with place.channel(alice) as after, place.channel(alice, old) as late:
            assert (await code(after, METHODS[0]))[0] is grpc.StatusCode.OK
            assert (await code(late, METHODS[0]))[0] is grpc.StatusCode.UNAVAILABLE
        assert (await code(before, METHODS[0]))[0] is grpc.StatusCode.OK, "an open connection stays"


async def test_an_operator_that_stops_watching_is_forgotten(place: Place) -> None:
    """Through the guard as without it."""
    listeners = place.story.record._listeners
    async with place.channel(issue.operator("alice")) as channel:
        call = debug_pb2_grpc.DebugStub(channel).Watch(pb.WatchRequest(last=1))
        async with asyncio.timeout(30):
            assert (await call.read()).change.number == 1
            assert len(listeners) == 2
            call.cancel()
            while len(listeners) != 1:
                await asyncio.sleep(0.01)


async def test_streams_go_both_ways(place: Place) -> None:
    """Of reflection, of CSDS, and of health, which writes by itself."""
    async with place.channel(issue.operator("alice")) as channel, asyncio.timeout(30):
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        for _ in range(2):
            await reflect.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            assert (await reflect.read()).list_services_response.service
        await reflect.done_writing()
        status = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel).StreamClientStatus()
        await status.write(csds_pb2.ClientStatusRequest())
        assert await status.read() == csds_pb2.ClientStatusResponse()
        await status.done_writing()
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
