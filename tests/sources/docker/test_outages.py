"""The Docker source over a fake engine that fails, lies or goes: what no failure ever yields."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.engine import FakeEngine
from swarm_xds.sources.docker import DockerSource, Endpoint

from .conftest import BOUND, HOSTS, TIMINGS, Read, eventually, names, service, unreachable, value

FAULTS = [
    pytest.param(lambda e: e.fail(status=500, times=4), id="500 for everything"),
    pytest.param(lambda e: e.fail(status=503, for_path="/services/", message="no leader"), id="no leader"),
    pytest.param(lambda e: e.fail(status=403, for_path="/services/"), id="forbidden"),
    pytest.param(lambda e: e.fail(status=404, for_path="/services/", message="no such page"), id="a proxy's 404"),
    pytest.param(lambda e: e.say(b'{"error": "bad gateway"}', status=502), id="a proxy's JSON"),
    pytest.param(lambda e: e.say(b"[]", status=500), id="an error that is a list"),
    pytest.param(lambda e: e.say(b"null", status=410), id="gone, and nothing said"),
    pytest.param(lambda e: e.say(b"[" * 100_000, for_path="/services/"), id="nested beyond reading"),
    pytest.param(lambda e: e.fail(status=500, for_path="/tasks", times=2), id="tasks fail"),
    pytest.param(lambda e: e.truncate(for_path="/services/"), id="answer broken off"),
    pytest.param(lambda e: e.truncate(for_path="/services/", lie=True), id="half an answer"),
    pytest.param(lambda e: e.fail(status=200, for_path="/services/"), id="another object"),
    pytest.param(lambda e: (e.fail(times=1), e.fail(status=200, for_path="/services")), id="no list"),
    pytest.param(lambda e: (e.fail(times=1), e.truncate(times=3, for_path="/services")), id="half a list"),
    pytest.param(lambda e: (e.fail(times=1), e.truncate(times=3, for_path="/tasks", lie=True)), id="half of the tasks"),
    pytest.param(lambda e: (e.fail(times=1), e.fail(times=2, for_path="/events")), id="no events"),
    pytest.param(lambda e: (e.fail(times=1), e.fail(times=2, for_path="/nodes")), id="no nodes"),
    pytest.param(lambda e: (e.fail(times=1), e.fail(times=2, for_path="/networks")), id="no networks"),
    pytest.param(lambda e: e.close_events(), id="stream closed"),
    pytest.param(lambda e: (e.stop(), e.start()), id="engine restarted"),
]


@pytest.mark.parametrize("break_it", FAULTS)
async def test_no_failure_is_read_as_no_services(
    engine: FakeEngine, read: Read, logged: list[Any], break_it: Callable[[FakeEngine], Any]
) -> None:
    """Whatever fails, the next reading is whole, and the log has one line for the outage and one for its end."""
    web = engine.add_service("web", labels=HOSTS, tasks=2)
    engine.add_service("shop", labels=HOSTS, tasks=1)
    reader = read(slow=600.0)
    await reader.next()
    break_it(engine)
    engine.update_service(web, labels={"xds.hosts": "b.example"})
    reading = await reader.next()
    assert names(reading) == ["shop", "web"]
    assert value(reading, "web") == "b.example"
    assert [len(s.tasks) for s in reading.state.services] == [2, 1]
    await eventually(lambda: len(unreachable(logged)) > 1)
    assert reader.queue.empty()
    assert unreachable(logged) == ["docker.unreachable", "docker.recovered"]
    assert logged[0]["endpoint"] == engine.url
    assert logged[0]["attempt"] == 1
    assert logged[0]["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *((path, b"[]") for path in ("/services", "/tasks", "/networks", "/nodes", "/secrets")),
        pytest.param("/tasks", b'[{"ID": "x", "ServiceID": []}]', id="a task of nobody"),
    ],
)
async def test_a_list_that_is_suddenly_empty_is_doubted(
    engine: FakeEngine, read: Read, logged: list[Any], path: str, body: bytes
) -> None:
    """As from an engine that has just become a manager: everything stays, and the log says why."""
    engine.add_service("web", labels=HOSTS, networks=[engine.add_network("front")], tasks=2)
    engine.write_secret({"Name": "key", "Labels": {}, "Data": ""})
    reader = read(doubt=600.0)
    before = await reader.next()
    engine.say(body, for_path=path, times=1_000_000)
    engine.close_events()
    asked = len(engine.asked)
    await eventually(lambda: len(engine.asked) > asked + 30)
    for told in [reader.queue.get_nowait() for _ in range(reader.queue.qsize())]:
        assert told.state == before.state
        assert told.problems
    if path in {"/services", "/nodes"}:
        assert any("the engine lists no" in entry.get("error", "") for entry in logged)
    engine.mend()
    engine.add_service("shop", labels=HOSTS)
    reading = await reader.until(lambda r: names(r) == ["shop", "web"])
    assert service(reading, "web") is service(before, "web")
    assert reading.state.networks == before.state.networks
    assert reading.state.secrets == before.state.secrets
    if reading.problems:
        engine.close_events()
        await reader.until(lambda r: not r.problems)


async def test_a_list_of_networks_that_lacks_one_in_use_is_doubted(engine: FakeEngine, read: Read) -> None:
    """An engine without a leader lists its own node's alone; those that no service is attached to may go."""
    front, back = engine.add_network("front"), engine.add_network("back")
    unused = engine.add_network("unused")
    engine.add_service("web", labels=HOSTS, networks=[front], tasks=1)
    reader = read(doubt=600.0, resync=0.05)
    before = await reader.next()
    own = json.dumps([{"Id": back, "Name": "back", "Scope": "swarm", "Driver": "overlay"}])
    engine.say(own.encode(), for_path="/networks", times=1_000_000, alone=True)
    reading = await reader.until(lambda r: r.problems)
    assert reading.state.services == before.state.services
    assert [network.id for network in reading.state.networks] == [network.id for network in before.state.networks]
    assert "lacks networks that it had (1)" in str(reading.problems[0])
    engine.mend()
    engine.remove_network(unused)
    await reader.until(lambda r: not r.problems and unused not in {network.id for network in r.state.networks})


async def test_a_network_in_use_that_stays_away_is_gone_after_a_while(engine: FakeEngine, read: Read) -> None:
    """Whatever the service says."""
    front = engine.add_network("front")
    engine.add_service("web", labels=HOSTS, networks=[front])
    reader = read(doubt=0.2, resync=0.05)
    await reader.next()
    engine.fail(status=404, times=1_000_000, for_path=f"/networks/{front}", message=f"network {front} not found")
    engine.say(b"[]", for_path="/networks", times=1_000_000, alone=True)
    await reader.until(lambda r: r.problems)
    await reader.until(lambda r: not r.problems and front not in {network.id for network in r.state.networks})


async def test_a_network_that_goes_while_the_lists_are_read_is_not_doubted(engine: FakeEngine, read: Read) -> None:
    """The list of services is from before, that of networks from after, and the events stand in between."""
    front = engine.add_network("front")
    web = engine.add_service("web", labels=HOSTS, networks=[front])
    reader = read(doubt=600.0)
    await reader.next()
    engine.hang(for_path="/networks")
    asked = engine.asked.count("/services")
    engine.close_events()
    await eventually(lambda: engine.asked.count("/services") > asked and "/networks" in engine.asked[-3:])
    with engine.burst():
        engine.remove_service(web)
        engine.remove_network(front)
    engine.release()
    while (reading := await reader.next()).state.services:
        assert not reading.problems
    assert not reading.problems


@pytest.mark.parametrize("status", [200, 403, 404, 500])
async def test_a_first_list_that_lacks_a_network_is_completed(engine: FakeEngine, read: Read, status: int) -> None:
    """One that a service is attached to is asked for by its id; where that fails the rest is read all the same."""
    front, back = engine.add_network("front"), engine.add_network("back")
    engine.add_service("web", labels=HOSTS, networks=[front], tasks=1)
    own = json.dumps([{"Id": back, "Name": "back", "Scope": "swarm", "Driver": "overlay"}])
    engine.say(own.encode(), for_path="/networks", times=1_000_000, alone=True)
    if status != 200:
        engine.fail(status=status, times=1_000_000, for_path=f"/networks/{front}")
    reading = await read().next()
    assert {network.id for network in reading.state.networks} == ({front, back} if status == 200 else {back})
    assert names(reading) == ["web"]


async def test_a_network_that_every_node_has_is_none_of_the_swarms(engine: FakeEngine, read: Read) -> None:
    """The engine does not list ``host``, which a service may name all the same, and gives it by its id."""
    front, host = engine.add_network("front"), engine.add_network("host", predefined=True)
    engine.add_service("web", labels=HOSTS, networks=[front, host], tasks=1)
    reader = read(resync=0.05)
    before = await reader.next()
    assert host not in {network.id for network in before.state.networks}
    asked = engine.asked.count("/networks")
    await eventually(lambda: engine.asked.count("/networks") > asked + 1)
    assert reader.queue.empty()


async def test_a_service_that_goes_while_the_list_is_read_is_not_doubted(engine: FakeEngine, read: Read) -> None:
    """Its event comes after the list."""
    web = engine.add_service("web", labels=HOSTS)
    reader = read(doubt=600.0, resync=0.2)
    await reader.next()
    engine.remove_service(web, tell=False)
    asked = engine.asked.count("/services")
    await eventually(lambda: engine.asked.count("/services") > asked)
    engine.tell(b'{"Type": "service", "Action": "remove", "Actor": {"ID": "%b"}}' % web.encode())
    assert (await reader.next()).state.services == ()


async def test_another_swarm_is_doubted(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """Its services are none of those that were there."""
    with FakeEngine() as other:
        other.add_service("other", labels=HOSTS)
        engine.add_network("one more, for other ids than there")
        engine.add_service("web", labels=HOSTS)
        reader = read(Endpoint(url=engine.url), Endpoint(url=other.url), doubt=600.0)
        assert names(await reader.next()) == ["web"]
        engine.stop()
        await eventually(lambda: any("none of the 1 services" in entry.get("error", "") for entry in logged))
        assert reader.queue.empty()


async def test_what_is_gone_for_a_while_is_gone(engine: FakeEngine, read: Read) -> None:
    """All services went while nobody could tell of it."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read(doubt=0.2)
    await reader.next()
    engine.stop()
    engine.remove_service(web)
    engine.start()
    assert (await reader.next()).state.services == ()


async def test_what_events_tell_of_is_not_doubted(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """All services are removed or scaled to nothing, each with its event; so many that the list is read."""
    ids = [engine.add_service(f"web{i:03}", labels=HOSTS, tasks=1) for i in range(40)]
    reader = read(doubt=600.0)
    await reader.next()
    with engine.burst():
        for each in ids:
            engine.scale(each, 0)
    await reader.until(lambda r: not any(s.tasks for s in r.state.services))
    with engine.burst():
        for each in ids:
            engine.remove_service(each)
    await reader.until(lambda r: not r.state.services)
    assert unreachable(logged) == []


async def test_unchanged_swarm_after_an_outage_yields_nothing(engine: FakeEngine, read: Read) -> None:
    """Reconnecting to the same swarm is no news."""
    engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read()
    await reader.next()
    engine.asked.clear()
    engine.close_events()
    await eventually(lambda: "/tasks" in engine.asked)
    engine.add_service("shop", labels=HOSTS)
    assert names(await reader.next()) == ["shop", "web"]


async def test_engine_down_at_the_start(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """Nothing is yielded until there is a complete view; the log says once that it waits."""
    engine.add_service("web", labels=HOSTS, tasks=1)
    engine.stop()
    reader = read()
    await eventually(lambda: sum(e["event"] == "docker.unreachable" for e in logged) >= 3)
    assert reader.queue.empty()
    engine.start()
    assert names(await reader.next()) == ["web"]
    assert unreachable(logged) == ["docker.unreachable", "docker.recovered"]


async def test_engine_that_fails_halfway_through_the_first_reading(engine: FakeEngine, read: Read) -> None:
    """Half of the first reading is no reading."""
    engine.add_service("web", labels=HOSTS, tasks=1)
    engine.fail(times=3, for_path="/tasks")
    assert len(service(await read().next(), "web").tasks) == 1


async def test_engine_that_is_no_manager(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """The log says what to do about it, in words."""
    engine.fail(status=503, for_path="/networks", message="This node is not a swarm manager. Use docker swarm init")
    await read().next()
    assert "this engine is not a swarm manager" in logged[0]["error"]


async def test_engine_that_hangs(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """A call without an answer ends after its time limit; the source recovers when the engine does."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read(call=0.5)
    await reader.next()
    engine.hang()
    await eventually(lambda: unreachable(logged) == ["docker.unreachable"])
    assert reader.queue.empty()
    engine.update_service(web, labels={"xds.hosts": "b.example"})
    engine.release()
    assert value(await reader.next(), "web") == "b.example"
    assert unreachable(logged) == ["docker.unreachable", "docker.recovered"]


async def test_event_stream_that_does_not_open(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """Opening the stream has a time limit too; nothing is yielded without one."""
    engine.add_service("web", labels=HOSTS)
    engine.hang(for_path="/events")
    reader = read(call=0.2)
    await eventually(lambda: unreachable(logged) == ["docker.unreachable"])
    assert reader.queue.empty()
    engine.release()
    assert names(await reader.next()) == ["web"]


async def test_next_manager_is_tried(engine: FakeEngine, read: Read) -> None:
    """With several managers, the failure of one is the turn of the next."""
    with FakeEngine() as other:
        engine.add_service("web", labels=HOSTS)
        other.add_service("web", labels={"xds.hosts": "b.example"})
        reader = read(Endpoint(url=engine.url), Endpoint(url=other.url), retry_first=600.0, retry_cap=600.0)
        assert value(await reader.next(), "web") == "a.example"
        engine.stop()
        assert value(await reader.next(), "web") == "b.example"


@pytest.mark.parametrize("hang", [False, True], ids=["engine well", "engine hangs"])
async def test_cancelling_ends_everything(engine: FakeEngine, read: Read, *, hang: bool) -> None:
    """A cancelled reading is over at once; no thread that could keep the process is left."""
    engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read(call=600.0)
    await reader.next()
    if hang:
        engine.asked.clear()
        engine.hang()
        await eventually(lambda: bool(engine.asked))
    began = asyncio.get_running_loop().time()
    await reader.stop()
    assert asyncio.get_running_loop().time() - began < BOUND / 2
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("docker-"))
    await eventually(lambda: not any(t.name == "docker-events" for t in threading.enumerate()))


async def test_closing_the_generator_ends_the_stream(engine: FakeEngine) -> None:
    """``aclose`` between two readings closes the event stream."""
    source = DockerSource([Endpoint(url=engine.url)], timings=TIMINGS)
    readings = source.readings()
    await anext(readings)
    await readings.aclose()
    await eventually(lambda: not any(t.name == "docker-events" for t in threading.enumerate()))


def test_a_source_needs_an_endpoint() -> None:
    """No endpoint is a mistake of the caller's, not an outage."""
    with pytest.raises(ValueError, match="endpoint"):
        DockerSource([])
