"""Resources with a lifetime: sent with heartbeats to who knows of them, kept while these come, and gone afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from support.ports import free_port
from support.xds_client import PATIENCE, Client, listener, routes, snapshots
from swarm_xds.demo.envoy import Envoy
from swarm_xds.given import SettingsError
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.server import Publisher, XdsServer
from swarm_xds.server.delta import DeltaSubscription
from swarm_xds.server.subscription import Response
from swarm_xds.settings import Settings, load
from swarm_xds.snapshot import LISTENER, ROUTE, Resource, Resources, Snapshot
from swarm_xds.swarm import SwarmState
from swarm_xds.translate import BootstrapOptions

from .conftest import Running

TAKES_TTL = ("xds.config.supports-resource-ttl",)


def these(*, ttl: int = 30, **versions: int) -> Resources:
    """Resources by name with content that differs by number."""
    return Resources(Resource.of(name, f"{name}{number}".encode(), ttl) for name, number in versions.items())


def subscription(resources: Resources, *, takes_ttl: bool = True) -> DeltaSubscription:
    """A subscription to everything whose client has accepted these."""
    made = DeltaSubscription(LISTENER, takes_ttl=takes_ttl)
    made.on_request()
    response = made.next_response(resources)
    assert response
    assert {each.ttl for each in response.resources} == ({30} if takes_ttl else {0})
    made.on_request(nonce=response.nonce)
    return made


def kept(response: Response | None) -> dict[str, str] | None:
    """Versions of what a heartbeat keeps; ``None`` for no heartbeat."""
    if response is None:
        return None
    assert response.heartbeat
    assert {each.ttl for each in response.resources} == {30}
    return {each.name: each.version for each in response.resources}


def versions(resources: Resources) -> dict[str, str]:
    """Versions by name."""
    return {name: each.version for name, each in resources.items()}


def test_three_heartbeats_come_to_a_lifetime() -> None:
    """The first a third of it after the resource."""
    resources = these(a=1, b=1)
    made = subscription(resources)
    found = [kept(made.heartbeat(resources, now / 2)) for now in range(70)]
    assert [index / 2 for index, each in enumerate(found) if each is not None] == [10, 20, 30]
    assert found[20] == versions(resources)
    assert made.pulse.at == 40


def test_who_knows_of_no_lifetimes_gets_none() -> None:
    """Nor heartbeats, which it would take for empty resources."""
    resources = these(a=1)
    made = subscription(resources, takes_ttl=False)
    assert [made.heartbeat(resources, now) for now in (0, 100, 200)] == [None] * 3
    assert made.pulse.at is None


def test_what_has_no_lifetime_has_no_heartbeats() -> None:
    """Beside what has one."""
    resources = Resources([*these(a=1).values(), *these(b=1, ttl=0).values()])
    made = DeltaSubscription(LISTENER, takes_ttl=True)
    made.on_request()
    assert made.next_response(resources)
    assert made.heartbeat(resources, 0) is None
    made = DeltaSubscription(LISTENER, takes_ttl=True)
    made.on_request(initial=versions(resources))
    assert made.next_response(resources) is None
    assert kept(made.heartbeat(resources, 0)) == versions(these(a=1))


def test_who_comes_back_has_a_heartbeat_at_once() -> None:
    """Nobody knows how long it was away."""
    resources = these(a=1, b=1)
    made = DeltaSubscription(LISTENER, takes_ttl=True)
    made.on_request(initial=versions(resources))
    assert made.next_response(resources) is None
    assert kept(made.heartbeat(resources, 1000)) == versions(resources)
    assert made.heartbeat(resources, 1001) is None


def test_what_is_on_its_way_has_no_heartbeat_and_what_was_rejected_that_of_before() -> None:
    """A client rejects a heartbeat of what it has not got, and keeps what it had before a rejection."""
    first, second = these(a=1, b=1), these(a=2, b=1, c=1)
    made = subscription(first)
    response = made.next_response(second)
    assert response
    assert made.heartbeat(second, 0) is None
    assert kept(made.heartbeat(second, 10)) == versions(these(b=1))
    made.on_request(nonce=response.nonce, error="bad")
    assert kept(made.heartbeat(second, 20)) == versions(first)


def test_after_a_standstill_everything_is_sent_anew() -> None:
    """The client may have dropped it, and would not say so."""
    resources = these(a=1, b=1)
    made = subscription(resources)
    assert made.heartbeat(resources, 0) is None
    assert kept(made.heartbeat(resources, 29)) == versions(resources)
    response = made.heartbeat(resources, 59)
    assert response
    assert not response.heartbeat
    assert response.resources == tuple(resources.values())
    made.on_request(nonce=response.nonce)
    assert made.answered(resources).value == "accepted"
    assert kept(made.heartbeat(resources, 69)) == versions(resources)


def test_an_answer_to_a_heartbeat_is_no_news() -> None:
    """Else each proxy would count as waiting three times in a lifetime."""
    resources = these(a=1)
    made = subscription(resources)
    made.heartbeat(resources, 0)
    beat = made.heartbeat(resources, 10)
    assert beat
    assert made.answered(resources).value == "accepted"
    made.on_request(nonce=beat.nonce)
    assert made.next_response(resources) is None


def test_a_lifetime_is_part_of_the_version() -> None:
    """A client that has the bytes with a lifetime must be sent them without, when there is to be none any more."""
    assert len({each.version for ttl in (0, 30, 60) for each in these(a=1, ttl=ttl).values()}) == 3


def test_only_listeners_have_a_lifetime_and_only_if_it_is_set() -> None:
    """Envoy 1.40 makes nothing good of one of another type (docs/adr/034)."""
    for ttl in (0, 60):
        options = load({"listener_ttl_seconds": str(ttl)}, {}).edge
        found = Pipeline(options, "default").build(SwarmState()).snapshots.empty
        assert {url: each.ttl for url, each in found.resources.items() if each} == {LISTENER: ttl, ROUTE: 0}
    assert Settings().edge == EdgeOptions()
    with pytest.raises(SettingsError, match="60 at least"):
        load({"listener_ttl_seconds": "59"}, {})


def _edge(port: int, ttl: int) -> Snapshot:
    listening = Resource.of("edge", listener("edge", port, "table").value, ttl)
    return Snapshot({LISTENER: Resources([listening]), ROUTE: Resources([routes("table", {})])})


async def test_a_client_that_knows_of_them_gets_lifetimes_and_heartbeats(running: Running) -> None:
    """Beside one that does not, which gets the same under the same version."""
    running.publisher.publish(snapshots(_edge(1, 1)))
    async with (
        Client(running.port, variant="delta", features=TAKES_TTL) as client,
        Client(running.port, variant="delta") as other,
        Client(running.port, variant="sotw", features=TAKES_TTL) as third,
    ):
        first = await client.have(LISTENER)
        assert first.ttls == {"edge": 1}
        plain = await other.have(LISTENER)
        assert (plain.versions, plain.values, plain.ttls) == (first.versions, first.values, {})
        assert (await third.have(LISTENER)).values == first.values
        for _ in range(2):
            beat = await client.take(LISTENER)
            assert (beat.versions, beat.ttls, beat.values) == (first.versions, {"edge": 1}, {"edge": b""})
        await running.recorder.until(lambda seen: len(seen.acks) == 3)
        async with asyncio.timeout(PATIENCE):
            await running.publisher.answered(streams=3)
    assert len(running.recorder.responses) == 3


@asynccontextmanager
async def _serving(publisher: Publisher, port: int) -> AsyncIterator[None]:
    server = XdsServer(publisher, f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0.2)


@pytest.mark.envoy
async def test_envoy_listens_while_heartbeats_come_and_again_when_they_are_back(
    envoy_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between, it does not: a balancer before it is to take another."""
    port, xds, admin = free_port(), free_port(), free_port()
    publisher = Publisher()
    publisher.publish(snapshots(_edge(port, 1)))
    envoy = Envoy(envoy_binary, BootstrapOptions(node="e", fleet="f", host="127.0.0.1", port=xds, admin_port=admin))
    async with httpx.AsyncClient() as client, asyncio.timeout(3 * PATIENCE):

        async def listens() -> bool:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/")).status_code == httpx.codes.NOT_FOUND
            except httpx.TransportError:
                return False

        async def updates() -> int:
            found = await client.get(
                f"{envoy.admin}/stats", params={"filter": r"^listener_manager.lds.update_success$"}
            )
            return int(found.text.rpartition(": ")[2])

        try:
            async with _serving(publisher, xds):
                await envoy.start()
                while not await listens():
                    pass
                until = await updates() + 4
                while await updates() < until:
                    assert await listens()
                with monkeypatch.context() as patch:
                    patch.setattr(DeltaSubscription, "heartbeat", lambda *_: None)
                    while await listens():
                        pass
            async with _serving(publisher, xds):
                while not await listens():
                    pass
                publisher.publish(snapshots(_edge(port, 0)))
                await publisher.answered()
            rejected = await client.get(f"{envoy.admin}/stats", params={"filter": "update_rejected"})
            assert {line.rpartition(": ")[2] for line in rejected.text.splitlines()} == {"0"}
        finally:
            await envoy.stop()
