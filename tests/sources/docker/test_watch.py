"""The Docker source over a fake engine: what a change yields."""

from typing import Any

from support.engine import FakeEngine
from swarm_xds.problem import Kind

from .conftest import HOSTS, Read, eventually, names, service, unreachable, value


async def test_first_reading_is_complete(engine: FakeEngine, read: Read) -> None:
    """Services with their tasks, networks and nodes are all in the first reading."""
    front = engine.add_network("front", subnet="10.9.0.0/24")
    engine.add_service("web", labels=HOSTS, networks=[front], tasks=2)
    engine.add_service("db", labels={"other": "1"}, tasks=1)
    first = await read().next()
    assert names(first) == ["web"]
    assert [t.serving for t in service(first, "web").tasks] == [True, True]
    assert all(t.addresses[0][0] == front for t in service(first, "web").tasks)
    assert [n.name for n in first.state.networks] == ["ingress", "front"]
    assert [n.hostname for n in first.state.nodes] == ["node1"]
    assert first.state.fleet_networks == ()
    assert first.problems == ()


async def test_all_tasks_of_many_services_are_in_the_first_reading(engine: FakeEngine, read: Read) -> None:
    """More services than fit one question are asked for in several, before anything is yielded."""
    for i in range(150):
        engine.add_service(f"web{i}", labels=HOSTS, tasks=1)
    first = await read().next()
    assert [len(s.tasks) for s in first.state.services] == [1] * 150


async def test_changed_label_is_read_alone(engine: FakeEngine, read: Read) -> None:
    """An event makes the source read that one object and not the list."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read()
    await reader.next()
    engine.asked.clear()
    engine.update_service(web, labels={"xds.hosts": "b.example"})
    reading = await reader.next()
    assert value(reading, "web") == "b.example"
    assert reading.cause == "service web updated"
    assert f"/services/{web}" in engine.asked
    assert "/services" not in engine.asked


async def test_unchanged_objects_are_the_same_objects(engine: FakeEngine, read: Read) -> None:
    """What did not change is the same Python object in the next reading."""
    web = engine.add_service("web", labels=HOSTS, tasks=2)
    engine.add_service("shop", labels=HOSTS, networks=[engine.add_network("n")], tasks=1)
    reader = read()
    before = await reader.next()
    engine.update_service(web, labels={"xds.hosts": "b.example"})
    after = await reader.next()
    assert service(after, "shop") is service(before, "shop")
    assert all(a is b for a, b in zip(after.state.networks, before.state.networks, strict=True))
    assert all(a is b for a, b in zip(after.state.nodes, before.state.nodes, strict=True))
    assert all(a is b for a, b in zip(service(after, "web").tasks, service(before, "web").tasks, strict=True))


async def test_two_events_make_one_reading(engine: FakeEngine, read: Read) -> None:
    """A burst is one reading, whose cause says that there was more."""
    reader = read()
    await reader.next()
    with engine.burst():
        engine.add_service("web", labels=HOSTS)
        engine.add_service("shop", labels=HOSTS)
    reading = await reader.next()
    assert names(reading) == ["shop", "web"]
    assert reading.cause == "service web created and 1 more"


async def test_a_storm_of_events_is_read_as_one_list(engine: FakeEngine, read: Read) -> None:
    """Past a number of services in one burst, the list is read instead of each."""
    reader = read()
    await reader.next()
    engine.asked.clear()
    with engine.burst():
        ids = [engine.add_service(f"web{i:03}", labels=HOSTS) for i in range(100)]
    assert len((await reader.next()).state.services) == 100
    assert not {f"/services/{i}" for i in ids} & set(engine.asked)


async def test_unrelated_service_yields_nothing(engine: FakeEngine, read: Read) -> None:
    """A service without our labels comes, changes and goes unseen."""
    reader = read()
    await reader.next()
    other = engine.add_service("db", labels={"other": "1"}, tasks=1)
    engine.update_service(other, labels={"other": "2"})
    await eventually(lambda: f"/services/{other}" in engine.asked)
    engine.remove_service(other)
    engine.add_service("web", labels=HOSTS)
    assert names(await reader.next()) == ["web"]
    assert reader.queue.empty()


async def test_service_that_gains_a_label_has_its_tasks_at_once(engine: FakeEngine, read: Read) -> None:
    """The reading that first shows a running service shows its tasks, or the route would begin with errors."""
    web = engine.add_service("web", labels={}, tasks=2)
    reader = read()
    await reader.next()
    engine.update_service(web, labels=HOSTS)
    assert len(service(await reader.next(), "web").tasks) == 2


async def test_service_that_loses_its_labels_is_gone(engine: FakeEngine, read: Read) -> None:
    """Without our labels a service is nobody's business any more."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read()
    await reader.next()
    engine.update_service(web, labels={})
    assert (await reader.next()).state.services == ()


async def test_tasks_are_polled_until_they_run(engine: FakeEngine, read: Read) -> None:
    """Tasks move without any event; each move that matters is a reading."""
    reader = read()
    await reader.next()
    web = engine.add_service("web", labels=HOSTS)
    task = engine.task(web, state="starting")
    engine.update_service(web, replicas=1)
    engine.set_tasks(web, [task])
    await reader.until(lambda r: names(r) == ["web"])
    task["Status"]["State"] = "running"
    engine.set_tasks(web, [task])
    assert [t.serving for t in service(await reader.next(), "web").tasks] == [True]
    task["DesiredState"] = "shutdown"
    engine.set_tasks(web, [task])
    assert [t.serving for t in service(await reader.next(), "web").tasks] == [False]
    task["Status"]["State"] = "shutdown"
    engine.set_tasks(web, [task])
    assert service(await reader.next(), "web").tasks == ()


async def test_tasks_of_quiet_services_are_polled_too(engine: FakeEngine, read: Read) -> None:
    """A task that dies in a service where nothing else happens is missed."""
    web = engine.add_service("web", labels=HOSTS, tasks=2)
    reader = read(resync=600.0)
    await reader.next()
    engine.set_tasks(web, engine.tasks(web)[:1])
    assert len(service(await reader.next(), "web").tasks) == 1


async def test_service_removed(engine: FakeEngine, read: Read) -> None:
    """A removed service is gone with its tasks, and nothing is asked about it again."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read()
    await reader.next()
    engine.remove_service(web)
    assert (await reader.next()).state.services == ()


async def test_service_removed_between_event_and_read(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """An update event for a service that is gone by the time it is read means that it is removed."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    engine.add_service("shop", labels=HOSTS, tasks=1)
    reader = read(slow=600.0)
    await reader.next()
    with engine.burst():
        engine.update_service(web, labels={"xds.hosts": "b.example"})
        engine.remove_service(web, tell=False)
    assert names(await reader.next()) == ["shop"]
    assert unreachable(logged) == []


async def test_service_removed_between_two_polls(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """The engine refuses a poll that names a removed service; the others are polled on."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    shop = engine.add_service("shop", labels=HOSTS, tasks=2)
    reader = read(resync=600.0)
    await reader.next()
    engine.remove_service(web, tell=False)
    assert names(await reader.next()) == ["shop"]
    engine.set_tasks(shop, engine.tasks(shop)[:1])
    assert len(service(await reader.next(), "shop").tasks) == 1
    assert unreachable(logged) == []


async def test_networks_come_and_go(engine: FakeEngine, read: Read) -> None:
    """A network's events change the reading."""
    reader = read()
    await reader.next()
    front = engine.add_network("shop_front", stack="shop")
    reading = await reader.next()
    assert [(n.name, n.stack) for n in reading.state.networks if n.id == front] == [("shop_front", "shop")]
    engine.remove_network(front)
    assert [n.id for n in (await reader.next()).state.networks] == [engine.ingress]


async def test_network_that_no_event_told_of_is_read_with_its_service(engine: FakeEngine, read: Read) -> None:
    """A service never names a network that the same reading does not have."""
    reader = read()
    await reader.next()
    engine.mute_events()
    front = engine.add_network("front")
    engine.mute_events(muted=False)
    engine.add_service("web", labels=HOSTS, networks=[front])
    assert front in [n.id for n in (await reader.next()).state.networks]


async def test_tasks_of_a_node_that_is_down_do_not_serve(engine: FakeEngine, read: Read) -> None:
    """The swarm takes its time to move them; until then they are there and do not serve."""
    lost = engine.add_node("node2", "192.0.2.2")
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    engine.set_tasks(web, [*engine.tasks(web), engine.task(web, node=lost)])
    reader = read()
    assert [t.serving for t in service(await reader.next(), "web").tasks] == [True, True]
    engine.set_node(lost, state="down")
    tasks = service(await reader.next(), "web").tasks
    assert {t.node_id: t.serving for t in tasks}[lost] is False
    assert sum(t.serving for t in tasks) == 1
    engine.set_node(lost, state="unknown")  # as all nodes are after the managers elected a leader
    assert all(t.serving for t in service(await reader.next(), "web").tasks)


async def test_fleet_networks(engine: FakeEngine, read: Read) -> None:
    """The labelled proxies' networks are the fleet's, with those that the settings name; ingress is not."""
    front, extra = engine.add_network("front"), engine.add_network("extra")
    engine.add_service("proxy", labels={"swarm-xds.fleet": "edge"}, networks=[engine.ingress, front])
    reader = read(fleet_networks=(("edge", ("extra",)), ("inner", ("missing",))))
    reading = await reader.next()
    assert reading.state.fleet_networks == (("edge", tuple(sorted((front, extra)))),)
    assert [(p.kind, p.value) for p in reading.problems] == [(Kind.UNKNOWN_NETWORK, "missing")]
    missing = engine.add_network("missing")
    reading = await reader.next()
    assert dict(reading.state.fleet_networks or ())["inner"] == (missing,)
    assert reading.problems == ()


async def test_odd_service_is_a_problem_and_keeps_its_last_form(engine: FakeEngine, read: Read) -> None:
    """One object that cannot be read takes no other with it, and is what it was."""
    web = engine.add_service("web", labels=HOSTS, tasks=1)
    reader = read()
    before = await reader.next()
    engine.update_service(web, Endpoint="none")
    odd = await reader.next()
    assert odd.state == before.state
    assert [(p.service, p.kind) for p in odd.problems] == [("web", Kind.BAD_VALUE)]
    engine.add_service("shop", labels=HOSTS)
    assert names(await reader.next()) == ["shop", "web"]
    engine.update_service(web, Endpoint={})
    assert (await reader.next()).problems == ()


async def test_lost_events_are_found_by_resync(engine: FakeEngine, read: Read) -> None:
    """Changes whose events were lost are seen at the next resync, which also brings a new stream."""
    web = engine.add_service("web", labels=HOSTS)
    reader = read(resync=0.2)
    await reader.next()
    engine.update_service(web, labels={"xds.hosts": "b.example"}, tell=False)
    reading = await reader.next()
    assert value(reading, "web") == "b.example"
    assert reading.cause == "resync"
    engine.remove_service(web, tell=False)
    assert (await reader.next()).state.services == ()


async def test_mute_stream_is_replaced(engine: FakeEngine, read: Read) -> None:
    """A stream that stays open and tells nothing is replaced at the next resync."""
    reader = read(resync=0.1)
    await reader.next()
    engine.asked.clear()
    await eventually(lambda: engine.asked.count("/events") >= 2)
    assert engine.asked.count("/version") == 0


async def test_event_that_cannot_be_read_brings_a_resync(engine: FakeEngine, read: Read, logged: list[Any]) -> None:
    """Something happened and nobody knows what: everything is read."""
    reader = read()
    await reader.next()
    engine.mute_events()
    engine.add_service("web", labels=HOSTS)
    engine.mute_events(muted=False)
    engine.tell(b'{"Type": "service", "Action": ')
    assert names(await reader.next()) == ["web"]
    assert unreachable(logged) == []
