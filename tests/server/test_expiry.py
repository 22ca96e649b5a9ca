"""Certificates that expire while streams are open: who has no valid one any more is served no longer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from support.pki import Authority
from support.ports import free_port
from support.xds_client import PATIENCE, Client, cluster, endpoints, listener, routes, snapshot, snapshots
from swarm_xds.server import Limits, Refusal
from swarm_xds.server.certificates import expiry
from swarm_xds.snapshot import CLUSTER, LISTENER, Snapshot

from .test_certificates import Secured, attempts, envoy_of, renew, secure


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    """A server that soon asks for other connections."""
    secured = await secure(tmp_path, Limits(additions=60, removals=60, connection_age=0.5, authorities=0.05))
    yield secured
    await secured.server.stop(0.2)


async def test_a_client_whose_certificate_expires_is_served_no_longer(secured: Secured) -> None:
    """Its stream ends, and it is told why; nor is there another, or an answer to a request, on whatever connection."""
    member = secured.authority.member("shop", timedelta(seconds=3))
    request = discovery_pb2.DiscoveryRequest(node={"id": "n1", "cluster": "shop"}).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1)]
    target, credentials = f"127.0.0.1:{secured.port}", secured.credentials(member)
    gone = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE}
    async with (
        Client(secured.port, fleet="shop", aggregated=False, credentials=credentials) as client,
        grpc.aio.secure_channel(target, credentials, options=options) as channel,
    ):
        fetch = channel.unary_unary("/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters")
        assert (await client.have(CLUSTER)).names == ("shop",)
        assert await fetch(request).code() is grpc.StatusCode.OK
        code, details = await client.end(CLUSTER)
        assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "the client's certificate has expired")
        ((peer, refusal, _),) = secured.recorder.refusals
        assert (peer.node, refusal) == ("n1", Refusal.FORBIDDEN)
        assert len(secured.recorder.closures) == 1
        await client.subscribe(LISTENER)
        assert (await client.end(LISTENER))[0] in gone
        assert await fetch(request).code() in gone
    async with secured.client("shop", member) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.UNAVAILABLE
    assert len(secured.recorder.peers) == 1


async def test_who_is_no_longer_vouched_for_is_shut_out_without_a_restart(secured: Secured) -> None:
    """All streams end, as at a stop; who has a certificate of the new authority comes back, and others do not."""
    member, other = secured.authority.member("shop"), Authority("other")
    async with secured.client("shop", member) as client:
        await client.have(CLUSTER)
        secured.files.ca.write_bytes(b"half of one")
        other.write(secured.folder)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.OK
    assert secured.recorder.refusals == []
    async with secured.client("shop", member) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.UNAVAILABLE
    async with secured.client("shop", other.member("shop")) as client:
        assert (await client.have(CLUSTER)).names == ("shop",)


def test_a_client_without_a_certificate_has_none_that_expires() -> None:
    """GRPC has nothing to show then."""
    assert expiry({}) is None


@pytest.mark.envoy
async def test_an_envoy_keeps_its_stream_when_its_connection_is_old_and_shows_its_certificate_anew(
    secured: Secured, envoy_binary: Path
) -> None:
    """Nothing breaks at a connection's age, and what it serves goes on when its certificate has expired.

    It is refused then, though it resumes its TLS session, for which TLS looks at no certificate; and let in again when
    it has a new one, without a restart.
    """
    port = free_port()

    def world(number: int) -> Snapshot:
        return snapshot(
            clusters=[cluster("a", connect_timeout=number)],
            endpoints=[endpoints("a", 1)],
            listeners=[listener("edge", port, "table")],
            routes=[routes("table", {})],
        )

    secured.publisher.publish(snapshots(world(1)))
    member = secured.authority.member("shop", timedelta(seconds=10))
    envoy = envoy_of(secured, envoy_binary, member)
    async with httpx.AsyncClient() as client, asyncio.timeout(3 * PATIENCE):
        try:
            await envoy.start()
            while True:
                found = await client.get(f"{envoy.admin}/stats", params={"filter": r"\(xds\)\.upstream_cx_close_not"})
                if found.text.rpartition(": ")[2].strip() == "1":
                    break
            secured.publisher.publish(snapshots(world(2)))
            await secured.publisher.answered()
            assert (len(secured.recorder.peers), secured.recorder.closures) == (1, [])
            assert await attempts(envoy) == 1
            await secured.recorder.until(lambda seen: seen.refusals)
            while await attempts(envoy) < 2:
                pass
            assert len(secured.recorder.peers) == 1
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == httpx.codes.NOT_FOUND
            renew(secured, secured.authority.member("shop"))
            await secured.recorder.until(lambda seen: len(seen.peers) == 2)
            await secured.publisher.answered()
        finally:
            await envoy.stop()
