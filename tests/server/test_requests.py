"""What requests are answered with, over real streams of both variants and both kinds of service: the first scenarios.

``test_scenarios`` has the rest of those that the CNCF's harness for xDS has.
"""

import asyncio

import pytest

from support.xds_client import (
    PATIENCE,
    Client,
    cluster,
    endpoints,
    listener,
    only,
    routes,
    snapshot,
    snapshots,
)
from swarm_xds.server.subscription import Nack, Suspect
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Snapshot

from .conftest import Running

TYPES = [
    pytest.param(CLUSTER, id="cds"),
    pytest.param(LISTENER, id="lds"),
    pytest.param(ENDPOINT, id="eds"),
    pytest.param(ROUTE, id="rds"),
    pytest.param(SECRET, id="sds"),
]
FULL = TYPES[:2]
#: Those of which several come in one response.
SEVERAL = TYPES[:-1]


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_subscribed_resources_are_sent(running: Running, client: Client, type_url: str) -> None:
    """Subscribe to names, get these."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1, c=1)))
    received = await client.have(type_url, "a", "b")
    assert received.names == ("a", "b")
    assert received.nonce
    assert received.version


async def test_secrets_come_one_by_one(running: Running, client: Client) -> None:
    """So that a rejection names its culprit; also when they change."""
    running.publisher.publish(snapshots(only(SECRET, a=1, b=1)))
    assert (await client.have(SECRET, "a", "b")).names == ("a",)
    assert (await client.take(SECRET)).names == ("b",)
    running.publisher.publish(snapshots(only(SECRET, a=2, b=2)))
    assert [(await client.take(SECRET)).names for _ in range(2)] == [("a",), ("b",)]


@pytest.mark.parametrize("wildcard", [pytest.param((), id="legacy"), pytest.param(("*",), id="explicit")])
@pytest.mark.parametrize("type_url", FULL)
async def test_a_wildcard_gets_everything(
    running: Running, client: Client, type_url: str, wildcard: tuple[str, ...]
) -> None:
    """Both forms of it."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1)))
    assert (await client.have(type_url, *wildcard)).names == ("a", "b")


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_an_update_is_sent(running: Running, client: Client, type_url: str) -> None:
    """The new content, under a new version and nonce."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1)))
    first = await client.have(type_url, "a", "b")
    running.publisher.publish(snapshots(only(type_url, a=1, b=2)))
    second = await client.take(type_url)
    full_set = client.variant == "sotw" and type_url in (CLUSTER, LISTENER)
    assert second.names == (("a", "b") if full_set else ("b",))
    assert second.values["b"] != first.values["b"]
    assert second.nonce != first.nonce
    assert second.version != first.version


@pytest.mark.parametrize("type_url", TYPES)
async def test_a_resource_that_does_not_exist_is_sent_when_it_does(
    running: Running, client: Client, type_url: str
) -> None:
    """In the meantime delta says that it is missing, and SotW nothing, or that a cluster has no endpoints."""
    running.publisher.publish(snapshots(only(type_url, a=1)))
    await client.have(type_url, "a")
    await client.subscribe(type_url, "b")
    if client.variant == "delta":
        assert (await client.take(type_url)).removed == ("b",)
    elif type_url == ENDPOINT:
        assert (await client.take(type_url)).names == ("b",)
    running.publisher.publish(snapshots(only(type_url, a=1, b=1)))
    assert "b" in (await client.take(type_url)).values


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_a_removed_resource_is_removed(running: Running, client: Client, type_url: str) -> None:
    """In SotW by absence where absence means that, and else by its parent only."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1)))
    await client.have(type_url, "a", "b")
    running.publisher.publish(snapshots(only(type_url, a=1)))
    if client.variant == "delta":
        received = await client.take(type_url)
        assert (received.names, received.removed) == ((), ("b",))
    elif type_url in (CLUSTER, LISTENER):
        assert (await client.take(type_url)).names == ("a",)
    running.publisher.publish(snapshots(only(type_url, a=2)))
    assert (await client.take(type_url)).names == ("a",)


@pytest.mark.parametrize("type_url", FULL)
async def test_the_last_resource_is_removed(running: Running, client: Client, type_url: str) -> None:
    """An empty set is one like others."""
    running.publisher.publish(snapshots(only(type_url, a=1)))
    await client.have(type_url)
    running.publisher.publish(snapshots(Snapshot()))
    received = await client.take(type_url)
    assert received.names == ()
    assert received.removed == (("a",) if client.variant == "delta" else ())


@pytest.mark.parametrize("type_url", TYPES)
async def test_names_can_be_added(running: Running, client: Client, type_url: str) -> None:
    """Though nothing changed on the server."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1)))
    await client.have(type_url, "a")
    assert "b" in (await client.have(type_url, "b")).values


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_names_can_be_dropped(running: Running, client: Client, type_url: str) -> None:
    """Updates of the rest are the only ones from then on."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1, c=1)))
    await client.have(type_url, "a", "b")
    await client.unsubscribe(type_url, "b")
    full_set = client.variant == "sotw" and type_url in (CLUSTER, LISTENER)
    expected = ("a", "c") if full_set else ("c",)
    # The answer to the next request shows that the one before was read.
    assert (await client.have(type_url, "c")).names == expected
    running.publisher.publish(snapshots(only(type_url, a=1, b=2, c=2)))
    assert (await client.take(type_url)).names == expected


@pytest.mark.parametrize("type_url", TYPES)
async def test_a_nack_is_reported_and_answered_with_nothing_until_something_changes(
    running: Running, client: Client, type_url: str
) -> None:
    """The same bytes would be rejected again."""
    running.publisher.publish(snapshots(only(type_url, a=1)))
    await client.have(type_url, "a")
    await running.recorder.until(lambda seen: seen.acks)
    running.publisher.publish(snapshots(only(type_url, a=2)))
    bad = await client.receive(type_url)
    await client.nack(type_url, "will not do")
    await running.recorder.until(lambda seen: seen.nacks)
    rejected, accepted = (only(type_url, a=number).of(type_url)["a"].version for number in (2, 1))
    expected = Nack(
        nonce=bad.nonce,
        version=bad.version.removesuffix("-part"),
        message="will not do",
        names=("a",),
        suspects=(Suspect("a", rejected, accepted),),
    )
    assert running.recorder.nacks == [(type_url, expected)]
    running.publisher.publish(snapshots(only(type_url, a=3)))
    good = await client.take(type_url)
    assert good.values != bad.values
    await running.recorder.until(lambda seen: len(seen.acks) == 2)
    assert len(running.recorder.responses) == 3


async def test_an_ack_is_answered_with_nothing(running: Running, client: Client) -> None:
    """Nor is a publication that changes nothing for this client."""
    running.publisher.publish(snapshots(only(CLUSTER, a=1)))
    await client.have(CLUSTER)
    async with asyncio.timeout(PATIENCE):
        await running.publisher.answered()
    running.publisher.publish(snapshots(only(CLUSTER, a=1)))
    running.publisher.publish(snapshots(only(CLUSTER, a=2)))
    await client.take(CLUSTER)
    async with asyncio.timeout(PATIENCE):
        await running.publisher.answered()
    assert len(running.recorder.responses) == 2


@pytest.mark.parametrize("type_url", TYPES)
async def test_a_stale_nonce(running: Running, client: Client, type_url: str) -> None:
    """Ignored whole in SotW; in delta only the answer is."""
    running.publisher.publish(snapshots(only(type_url, a=1, b=1)))
    first = await client.have(type_url, "a")
    running.publisher.publish(snapshots(only(type_url, a=2, b=1)))
    await client.receive(type_url)
    change = {"resource_names": ["a", "b"]} if client.variant == "sotw" else {"resource_names_subscribe": ["b"]}
    await client.send(type_url, response_nonce=first.nonce, **change)
    if client.variant == "delta":
        assert (await client.receive(type_url)).names == ("b",)
    await client.ack(type_url)
    running.publisher.publish(snapshots(only(type_url, a=3, b=1)))
    assert (await client.take(type_url)).names == ("a",)


async def test_nothing_is_answered_before_the_first_publication(running: Running, client: Client) -> None:
    """An empty answer would delete what the client has."""
    await client.subscribe(CLUSTER)
    await running.recorder.until(lambda seen: seen.peers)
    assert running.recorder.responses == []
    running.publisher.publish(snapshots(only(CLUSTER, a=1)))
    assert (await client.take(CLUSTER)).names == ("a",)


async def test_the_fleet_is_that_of_the_first_request(running: Running, variant: str) -> None:
    """A client of gRPC sends its node only then."""
    running.publisher.publish(snapshots(only(CLUSTER, a=1), inner=only(CLUSTER, b=1)))
    async with Client(running.port, variant=variant, fleet="inner", node="n7") as client:
        assert (await client.have(CLUSTER)).names == ("b",)
        running.publisher.publish(snapshots(only(CLUSTER, a=1), inner=only(CLUSTER, b=2)))
        assert (await client.take(CLUSTER)).names == ("b",)
    assert [(peer.node, peer.fleet, peer.variant) for peer in running.recorder.peers] == [("n7", "inner", variant)]
    await running.recorder.until(lambda seen: seen.closures)
    async with Client(running.port, variant=variant, node=None) as client:
        assert (await client.have(CLUSTER)).names == ("a",)


async def test_another_fleet_hears_nothing(running: Running, variant: str) -> None:
    """What changes for one is nothing to the others."""
    running.publisher.publish(snapshots(only(CLUSTER, a=1), inner=only(CLUSTER, b=1)))
    async with Client(running.port, variant=variant) as client:
        await client.have(CLUSTER)
        running.publisher.publish(snapshots(only(CLUSTER, a=1), inner=only(CLUSTER, b=2)))
        running.publisher.publish(snapshots(only(CLUSTER, a=2), inner=only(CLUSTER, b=2)))
        await client.take(CLUSTER)
        async with asyncio.timeout(PATIENCE):
            await running.publisher.answered()
        assert len(running.recorder.responses) == 2


async def test_a_client_that_comes_back_with_everything_is_sent_nothing(running: Running) -> None:
    """Its next response is the next change."""
    whole = snapshot(
        clusters=[cluster("a")],
        endpoints=[endpoints("a", 1)],
        listeners=[listener("edge", 1, "table")],
        routes=[routes("table", {"/": "a"})],
    )
    running.publisher.publish(snapshots(whole))
    async with Client(running.port, variant="delta") as client:
        for type_url, resources in whole.resources.items():
            initial = {name: resource.version for name, resource in resources.items()}
            names = () if type_url in (CLUSTER, LISTENER) else tuple(resources)
            await client.subscribe(type_url, *names, initial=initial)
        async with asyncio.timeout(PATIENCE):
            await running.publisher.answered()
        await client.subscribe(ENDPOINT, "marker")
        assert (await client.receive(ENDPOINT)).removed == ("marker",)
        await running.recorder.until(lambda seen: seen.responses)
    assert len(running.recorder.responses) == 1
