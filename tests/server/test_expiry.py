"""Certificates that expire while streams are open: who has no valid one any more is served no longer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from support.ports import free_port
from support.xds_client import PATIENCE, Client, cluster, endpoints, listener, routes, snapshot, snapshots
from swarm_xds.server import Limits, Refusal
from swarm_xds.server.certificates import expiry
from swarm_xds.snapshot import CLUSTER, LISTENER, Snapshot

from .test_certificates import Secured, attempts, envoy_of, secure


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    """A server that soon asks for other connections."""
    secured = await secure(tmp_path, Limits(additions=60, removals=60, connection_age=0.5))
    yield secured
    await secured.server.stop(0.2)


@pytest.mark.parametrize("variant", ["sotw", "delta"])
async def test_a_stream_ends_when_its_clients_certificate_expires(secured: Secured, variant: str) -> None:
    """It is told why; so is another stream on the same connection, and on another there is none."""
    member = secured.authority.member("shop", timedelta(seconds=3))
    async with Client(
        secured.port, variant=variant, fleet="shop", aggregated=False, credentials=secured.credentials(member)
    ) as client:
        assert (await client.have(CLUSTER)).names == ("shop",)
        code, details = await client.end(CLUSTER)
        assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "the client's certificate has expired")
        ((peer, refusal, _),) = secured.recorder.refusals
        assert (peer.node, refusal) == ("n1", Refusal.FORBIDDEN)
        assert len(secured.recorder.closures) == 1
        await client.subscribe(LISTENER)
        assert (await client.end(LISTENER))[0] in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE}
    async with secured.client("shop", member, variant) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.UNAVAILABLE
    assert len(secured.recorder.peers) == 1


async def test_nothing_is_fetched_with_an_expired_certificate(secured: Secured) -> None:
    """Over a connection from before."""
    member = secured.authority.member("shop", timedelta(seconds=2))
    request = discovery_pb2.DiscoveryRequest(node={"id": "n1", "cluster": "shop"})
    options = [("grpc.use_local_subchannel_pool", 1)]
    target = f"127.0.0.1:{secured.port}"
    async with grpc.aio.secure_channel(target, secured.credentials(member), options=options) as channel:
        fetch = channel.unary_unary("/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters")
        async with asyncio.timeout(PATIENCE):
            while (code := await fetch(request.SerializeToString()).code()) is grpc.StatusCode.OK:
                pass
    assert code in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE}


def test_a_client_without_a_certificate_has_none_that_expires() -> None:
    """GRPC has nothing to show then."""
    assert expiry({}) is None


@pytest.mark.envoy
async def test_an_envoy_keeps_its_stream_when_its_connection_is_old_and_shows_its_certificate_anew(
    secured: Secured, envoy_binary: Path
) -> None:
    """Nothing breaks at a connection's age, and what it serves goes on when its certificate has expired.

    It is refused then, though it resumes its TLS session, for which TLS looks at no certificate.
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
    member = secured.authority.member("shop", timedelta(seconds=8))
    envoy = envoy_of(secured, envoy_binary, member)
    async with httpx.AsyncClient() as client, asyncio.timeout(3 * PATIENCE):
        try:
            await envoy.start()
            while True:
                found = await client.get(
                    f"{envoy.admin}/stats", params={"filter": "^cluster.xds.upstream_cx_close_not"}
                )
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
        finally:
            await envoy.stop()
