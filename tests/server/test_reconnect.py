"""Clients that come back by state of the world: who has everything is sent nothing, and who may lack something all."""

import asyncio

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from support.xds_client import PATIENCE, Client, cluster, endpoints, routes, snapshot, snapshots
from swarm_xds.server.sotw import SotwSubscription
from swarm_xds.server.subscription import Answer
from swarm_xds.server.wire import Encoder, Variant
from swarm_xds.snapshot import CLUSTER, ENDPOINT, ROUTE, Resources

from .conftest import Running
from .test_subscription_sotw import FULL, ask, names, these


@pytest.mark.parametrize("type_url", FULL)
def test_who_comes_back_with_all_of_a_full_set_type_is_sent_nothing(type_url: str) -> None:
    """Until something changes; and what did not change is known not to have."""
    subscription = SotwSubscription(type_url)
    subscription.on_request(names=(), nonce="", version=these(a=1, b=1).version)
    assert subscription.next_response(these(a=1, b=1)) is None
    assert subscription.answered(these(a=1, b=1)) is Answer.ACCEPTED
    response = subscription.next_response(these(a=1, b=2))
    assert names(response) == ["a", "b"]
    assert response
    assert response.updated == ("b",)


@pytest.mark.parametrize(
    ("type_url", "wanted", "version"),
    [
        pytest.param(CLUSTER, [], these(a=1), id="another version"),
        pytest.param(CLUSTER, ["*"], these(a=1, b=1), id="it may have asked for less before"),
        pytest.param(CLUSTER, ["a", "b"], these(a=1, b=1), id="names may be newer than the version"),
        pytest.param(ENDPOINT, ["a", "b"], these(a=1, b=1), id="a response has a part"),
    ],
)
def test_who_may_lack_something_is_sent_all(type_url: str, wanted: list[str], version: Resources) -> None:
    """A version proves something only if it can be of nothing but the whole."""
    subscription = SotwSubscription(type_url)
    subscription.on_request(names=wanted, nonce="", version=version.version)
    assert names(subscription.next_response(these(a=1, b=1))) == ["a", "b"]


def test_what_is_brought_counts_in_the_first_request_only() -> None:
    """Later, the nonce says what was accepted."""
    subscription = SotwSubscription(CLUSTER)
    subscription.on_request(names=(), nonce="", version=these(a=1).version)
    subscription.on_request(names=["a"], nonce="", version=these(a=1).version)
    assert names(subscription.next_response(these(a=1))) == ["a"]


def test_a_part_is_no_whole() -> None:
    """A client that asks by name has a version that it can bring to no wildcard."""
    subscription = SotwSubscription(CLUSTER)
    ask(subscription, "a")
    response = subscription.next_response(these(a=1, b=1))
    assert response
    said = discovery_pb2.DiscoveryResponse.FromString(Encoder().encode(Variant.SOTW, response)).version_info
    assert said != response.version
    subscription = SotwSubscription(CLUSTER)
    subscription.on_request(names=(), nonce="", version=said)
    assert names(subscription.next_response(these(a=1, b=1))) == ["a", "b"]


async def test_endpoints_are_sent_again_to_who_says_nothing_of_clusters(running: Running) -> None:
    """Envoy does so while one of them warms, and it warms with what comes now only."""
    running.publisher.publish(snapshots(snapshot(clusters=[cluster("a")], endpoints=[endpoints("a", 1)])))
    async with Client(running.port, variant="delta") as client:
        await client.subscribe(ENDPOINT, "a", "b", initial={"a": endpoints("a", 1).version, "b": "old"})
        received = await client.take(ENDPOINT)
        assert (received.names, received.removed) == (("a",), ("b",))
        await client.subscribe(CLUSTER, initial={"a": cluster("a").version})
        async with asyncio.timeout(PATIENCE):
            await running.publisher.answered()
    assert len(running.recorder.responses) == 1


async def test_who_comes_back_by_state_of_the_world_is_sent_parts_only(running: Running) -> None:
    """And the next change."""
    whole = snapshot(clusters=[cluster("a")], endpoints=[endpoints("a", 1)], routes=[routes("table", {"/": "a"})])
    running.publisher.publish(snapshots(whole))
    async with Client(running.port) as client:
        await client.send(CLUSTER, version_info=whole.of(CLUSTER).version)
        await client.send(ENDPOINT, version_info=whole.of(ENDPOINT).version, resource_names=["a"])
        assert (await client.receive(ENDPOINT)).names == ("a",)
        await client.send(ROUTE, version_info=whole.of(ROUTE).version, resource_names=["table"])
        assert (await client.receive(ROUTE)).names == ("table",)
        changed = snapshot(clusters=[cluster("a", connect_timeout=2)], endpoints=[endpoints("a", 1)])
        running.publisher.publish(snapshots(changed))
        assert (await client.receive(CLUSTER)).names == ("a",)
