"""Scenarios of a client whose server's state is set, cleared, added to, updated and taken from: the rest of them.

Like the CNCF's harness for xDS: each for both variants of the protocol, aggregated and per type, and each type that it
makes sense for. ``test_requests`` has the first ones, and docs/conformance.md says which rule is shown where.
"""

import asyncio
from dataclasses import dataclass, field

import pytest
from envoy.config.route.v3 import route_components_pb2

from support.xds_client import KINDS, PATIENCE, Client, Received, cluster, listener, only, resource, snapshots
from swarm_xds.server import Publisher, XdsServer
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, VIRTUAL_HOST, Resources, Snapshot

from .conftest import Running

FULL = [pytest.param(CLUSTER, id="cds"), pytest.param(LISTENER, id="lds")]
PARTIAL = [pytest.param(ENDPOINT, id="eds"), pytest.param(ROUTE, id="rds"), pytest.param(SECRET, id="sds")]
#: Those of which several come in one response, and the next before the answer to it.
SEVERAL = FULL + PARTIAL[:-1]
WILDCARDS = [pytest.param((), id="legacy"), pytest.param(("*",), id="explicit")]


@dataclass(slots=True)
class State:
    """What a server has of one type: a number for each name, which stands for its content."""

    running: Running
    type_url: str
    numbers: dict[str, int] = field(default_factory=dict)

    def set(self, **numbers: int) -> None:
        """Have these and no others."""
        self.numbers = numbers
        self.running.publisher.publish(snapshots(only(self.type_url, **numbers)))

    def clear(self) -> None:
        """Have none."""
        self.set()

    def add(self, **numbers: int) -> None:
        """Have these too."""
        assert not self.numbers.keys() & numbers.keys()
        self.set(**self.numbers, **numbers)

    def update(self, **numbers: int) -> None:
        """Have another content of these."""
        assert numbers.keys() <= self.numbers.keys()
        self.set(**{**self.numbers, **numbers})

    def remove(self, name: str) -> None:
        """Have this one no longer."""
        self.set(**{each: number for each, number in self.numbers.items() if each != name})

    async def settled(self, told: int) -> int:
        """Wait until every client has answered everything, and return how many responses there were.

        Args:
            told: How many there are at least: a client may have the last one before the server tells of it.
        """
        await self.running.recorder.until(lambda seen: len(seen.responses) >= told)
        async with asyncio.timeout(PATIENCE):
            await self.running.publisher.answered()
        return len(self.running.recorder.responses)


def whole(client: Client, received: Received) -> tuple[str, ...]:
    """Return names that a full-set response has in SotW, and those that changed in delta."""
    return received.names if client.variant == "sotw" else (*received.names, *(f"-{name}" for name in received.removed))


@pytest.mark.parametrize("wildcard", WILDCARDS)
@pytest.mark.parametrize("type_url", FULL)
async def test_a_wildcard_is_told_of_every_change(
    running: Running, client: Client, type_url: str, wildcard: tuple[str, ...]
) -> None:
    """Updated, added, removed, all gone, and there again: SotW has the whole set each time, delta the difference."""
    state, sotw = State(running, type_url), client.variant == "sotw"
    state.set(a=1, b=1)
    assert (await client.have(type_url, *wildcard)).names == ("a", "b")
    state.update(b=2)
    assert whole(client, await client.take(type_url)) == (("a", "b") if sotw else ("b",))
    state.add(c=1)
    assert whole(client, await client.take(type_url)) == (("a", "b", "c") if sotw else ("c",))
    state.remove("a")
    assert whole(client, await client.take(type_url)) == (("b", "c") if sotw else ("-a",))
    state.clear()
    assert whole(client, await client.take(type_url)) == (() if sotw else ("-b", "-c"))
    state.set(d=1)
    assert whole(client, await client.take(type_url)) == ("d",)
    assert await state.settled(6) == 6


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
async def test_of_several_names_those_that_exist_are_sent(running: Running, client: Client, type_url: str) -> None:
    """The others when they come: nothing waits for the whole list."""
    state = State(running, type_url)
    state.set(a=1, c=1)
    first = await client.have(type_url, "a", "b")
    if client.variant == "delta":
        assert (first.names, first.removed) == (("a",), ("b",))
    else:
        # A cluster that only the client knows must not warm in vain, so it has no endpoints.
        assert first.names == (("a", "b") if type_url == ENDPOINT else ("a",))
    state.add(b=1)
    assert "b" in (await client.take(type_url)).values


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
async def test_nobody_is_told_of_what_he_did_not_ask_for(running: Running, client: Client, type_url: str) -> None:
    """Not of an update, an addition or a removal."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.have(type_url, "a")
    before = await state.settled(1)
    state.update(b=2)
    state.add(c=1)
    state.remove("b")
    assert await state.settled(before) == before
    state.update(a=2)
    assert (await client.take(type_url)).names == ("a",)


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_who_drops_all_names_and_asks_for_another_has_that_one(
    running: Running, client: Client, type_url: str
) -> None:
    """An empty list after names is no wildcard, and what was dropped is not told of."""
    state = State(running, type_url)
    state.set(a=1, b=1, c=1, d=1)
    await client.have(type_url, "a", "b")
    await client.unsubscribe(type_url, "a", "b")
    # The answer to the next request shows that the one before was read.
    assert (await client.have(type_url, "c")).names == ("c",)
    state.set(a=2, b=2, c=2, d=2)
    assert (await client.take(type_url)).names == ("c",)
    assert await state.settled(3) == 3


@pytest.mark.parametrize("type_url", FULL)
async def test_the_wildcard_is_dropped_and_a_name_kept(running: Running, client: Client, type_url: str) -> None:
    """From then on only names count."""
    state = State(running, type_url)
    state.set(a=1, b=1, c=1)
    await client.have(type_url, "*", "a")
    await client.unsubscribe(type_url, "*")
    assert whole(client, await client.have(type_url, "c")) == (("a", "c") if client.variant == "sotw" else ("c",))
    state.update(b=2)
    state.update(a=2)
    assert whole(client, await client.take(type_url)) == (("a", "c") if client.variant == "sotw" else ("a",))
    assert await state.settled(3) == 3


@pytest.mark.parametrize("type_url", FULL)
async def test_a_name_is_dropped_and_the_wildcard_kept(running: Running, client: Client, type_url: str) -> None:
    """Delta says whether the wildcard still covers it, since the client cannot know; SotW has nothing new."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.have(type_url, "*", "a")
    await client.unsubscribe(type_url, "a")
    if client.variant == "delta":
        assert (await client.take(type_url)).names == ("a",)
    state.update(a=2)
    assert "a" in (await client.take(type_url)).names


@pytest.mark.parametrize("type_url", FULL)
async def test_the_wildcard_is_added_to_a_name(running: Running, client: Client, type_url: str) -> None:
    """And answered with the rest at least."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.have(type_url, "a")
    assert "b" in (await client.have(type_url, "*")).names
    state.add(c=1)
    assert "c" in (await client.take(type_url)).names


async def test_a_name_after_the_legacy_wildcard(running: Running, client: Client) -> None:
    """Ends it in SotW, whose list is the whole subscription, and is beside it in delta."""
    state = State(running, CLUSTER)
    state.set(a=1, b=1, c=1)
    await client.have(CLUSTER)
    await client.subscribe(CLUSTER, "a")
    if client.variant == "delta":
        assert (await client.take(CLUSTER)).names == ("a",)
        state.update(b=2)
        assert (await client.take(CLUSTER)).names == ("b",)
    else:
        assert (await client.take(CLUSTER)).names == ("a",)
        assert (await client.have(CLUSTER, "c")).names == ("a", "c")
        state.update(b=2)
        state.update(a=2)
        assert (await client.take(CLUSTER)).names == ("a", "c")
        assert await state.settled(4) == 4


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_a_client_that_never_answers_still_gets_the_latest(
    running: Running, client: Client, type_url: str
) -> None:
    """A change is not held back by the answer to the one before."""
    state = State(running, type_url)
    state.set(a=1)
    await client.subscribe(type_url, "a")
    await client.receive(type_url)
    state.update(a=2)
    received = await client.receive(type_url)
    assert received.values["a"] == KINDS[type_url]("a", 2).value


async def resume(client: Client, type_url: str, received: Received) -> None:
    """Ask for what an earlier stream brought; for endpoints after clusters, as Envoy does if no cluster warms."""
    if client.aggregated and type_url == ENDPOINT:
        await client.subscribe(CLUSTER, "none")
        if client.variant == "delta":
            await client.take(CLUSTER)
    await client.subscribe(type_url, *received.names, initial=received.versions)


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
async def test_a_client_that_comes_back(running: Running, client: Client, type_url: str) -> None:
    """In delta it says what it has and is sent nothing; in SotW it is sent the same under the same version."""
    state = State(running, type_url)
    state.set(a=1)
    first = await client.have(type_url, "a")
    before = await state.settled(1)
    async with Client(running.port, variant=client.variant, aggregated=client.aggregated) as again:
        if client.variant == "delta":
            await resume(again, type_url, first)
            marker = await again.have(type_url, "marker")
            assert (marker.names, marker.removed) == ((), ("marker",))
            await running.recorder.until(
                lambda seen: any(each.type_url == type_url for each in seen.responses[before:])
            )
            assert [each.type_url for each in running.recorder.responses[before:]].count(type_url) == 1
        else:
            await again.send(type_url, resource_names=["a"], version_info=first.version)
            received = await again.receive(type_url)
            assert (received.version, received.values) == (first.version, first.values)
            assert received.nonce != first.nonce


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
async def test_a_client_that_comes_to_another_replica(
    running: Running, client: Client, variant: str, type_url: str
) -> None:
    """Versions are of the content, so equal content is equal everywhere, whatever it was made in."""
    State(running, type_url).set(a=1, b=2)
    first = await client.have(type_url, "a", "b")
    publisher = Publisher()
    make = KINDS[type_url]
    publisher.publish(snapshots(Snapshot({type_url: Resources([make("b", 2), make("a", 1)])})))
    other = XdsServer(publisher, "127.0.0.1:0", running.recorder)
    port = await other.start()
    try:
        async with Client(port, variant=variant, aggregated=client.aggregated) as moved:
            await resume(moved, type_url, first)
            if variant == "delta":
                marker = await moved.have(type_url, "marker")
                assert (marker.names, marker.removed) == ((), ("marker",))
            else:
                assert (await moved.receive(type_url)).version == first.version
    finally:
        await other.stop(0.2)


@pytest.mark.parametrize("type_url", SEVERAL)
async def test_a_name_that_goes_comes_back(running: Running, client: Client, type_url: str) -> None:
    """Sent again where its removal was, though it is as it was before."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.have(type_url, "a", "b")
    state.remove("a")
    if client.variant == "delta" or type_url in (CLUSTER, LISTENER):
        assert whole(client, await client.take(type_url)) == (("b",) if client.variant == "sotw" else ("-a",))
        state.add(a=1)
        assert "a" in (await client.take(type_url)).names
    else:
        state.add(a=1)
    state.update(a=2)
    assert "a" in (await client.take(type_url)).names


@pytest.mark.parametrize("type_url", FULL)
async def test_the_wildcard_is_dropped_and_nothing_is_left(running: Running, client: Client, type_url: str) -> None:
    """No wildcard of the old kind either, and a name that is asked for later is all there is."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.have(type_url, "*")
    await client.unsubscribe(type_url, "*")
    assert (await client.have(type_url, "a")).names == ("a",)
    before = await state.settled(2)
    state.update(b=2)
    state.add(c=1)
    assert await state.settled(before) == before
    state.update(a=2)
    assert (await client.take(type_url)).names == ("a",)


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
async def test_a_name_that_is_asked_for_again(running: Running, client: Client, type_url: str) -> None:
    """Answered in delta, where a name is only said to be sent; the same list in SotW is no news."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.have(type_url, "a")
    await client.subscribe(type_url, "a")
    if client.variant == "delta":
        assert (await client.take(type_url)).names == ("a",)
    assert "b" in (await client.have(type_url, "b")).names
    responses = 3 if client.variant == "delta" else 2
    assert await state.settled(responses) == responses


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
async def test_an_answer_to_what_was_dropped_is_no_news(running: Running, client: Client, type_url: str) -> None:
    """Be it late: what the client asks for by then is what it has."""
    state = State(running, type_url)
    state.set(a=1, b=1)
    await client.subscribe(type_url, "a")
    first = await client.receive(type_url)
    await client.subscribe(type_url, "b")
    await client.receive(type_url)
    await client.unsubscribe(type_url, "a")
    await client.ack(type_url, nonce=first.nonce)
    await client.ack(type_url)
    assert await state.settled(2) == 2
    state.update(a=2)
    state.update(b=2)
    assert (await client.take(type_url)).names == ("b",)


async def test_types_on_one_stream_know_nothing_of_each_other(running: Running, variant: str) -> None:
    """A nonce of another type answers nothing, and a rejection of one type leaves the other alone."""
    content = Snapshot({CLUSTER: Resources([cluster("a")]), LISTENER: Resources([listener("a", 1, "table")])})
    running.publisher.publish(snapshots(content))
    async with Client(running.port, variant=variant) as client:
        clusters = await client.have(CLUSTER)
        await running.recorder.until(lambda seen: seen.acks)
        await client.subscribe(LISTENER)
        await client.receive(LISTENER)
        await client.ack(LISTENER, nonce=clusters.nonce)
        await client.nack(LISTENER, "bad")
        await running.recorder.until(lambda seen: seen.nacks)
        assert [type_url for type_url, _ in running.recorder.acks] == [CLUSTER]
        changed = Snapshot({CLUSTER: Resources([cluster("a", connect_timeout=2)]), LISTENER: content.of(LISTENER)})
        running.publisher.publish(snapshots(changed))
        assert (await client.take(CLUSTER)).names == ("a",)


async def test_a_change_of_everything_comes_in_order(running: Running, variant: str) -> None:
    """Clusters, endpoints, listeners, routes, on one stream, whatever was asked for first."""
    types = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
    async with Client(running.port, variant=variant) as client:
        for number in (1, 2):
            running.publisher.publish(
                snapshots(Snapshot({type_url: Resources([KINDS[type_url]("a", number)]) for type_url in types}))
            )
            if number == 1:
                for type_url in (CLUSTER, ROUTE, LISTENER, ENDPOINT):
                    await client.have(type_url, "a")
        for type_url in types:
            assert (await client.take(type_url)).names == ("a",)


async def test_the_node_may_be_left_out_after_the_first_request(running: Running, client: Client) -> None:
    """Or be said again: the stream is the same client's."""
    state = State(running, CLUSTER)
    state.set(a=1)
    await client.have(CLUSTER)
    await client.send(CLUSTER, node={"id": "other", "cluster": "other"}, response_nonce="stale")
    state.update(a=2)
    await client.take(CLUSTER)
    assert [(peer.node, peer.fleet) for peer in running.recorder.peers] == [("n1", "")]


def _hosts(*names: str) -> Resources:
    """Return virtual hosts with the names that they have on the wire: table and host."""
    return Resources(
        resource(name, route_components_pb2.VirtualHost(name=name, domains=[name.partition("/")[2]])) for name in names
    )


async def test_virtual_hosts_are_sent_on_demand(running: Running, aggregated: bool) -> None:
    """A spontaneous subscription, whose unknown name is answered at once, and with the host when there is one."""
    running.publisher.publish(snapshots(Snapshot({VIRTUAL_HOST: _hosts("table/a.example")})))
    async with Client(running.port, variant="delta", aggregated=aggregated) as client:
        received = await client.have(VIRTUAL_HOST, "table/a.example", "table/b.example")
        assert (received.names, received.removed) == (("table/a.example",), ("table/b.example",))
        running.publisher.publish(snapshots(Snapshot({VIRTUAL_HOST: _hosts("table/a.example", "table/b.example")})))
        assert (await client.take(VIRTUAL_HOST)).names == ("table/b.example",)
        running.publisher.publish(snapshots(Snapshot({VIRTUAL_HOST: _hosts("table/b.example")})))
        assert (await client.take(VIRTUAL_HOST)).removed == ("table/a.example",)
