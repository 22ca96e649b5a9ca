"""The network manager over a fake engine: it converges from wherever it finds the swarm, and trips nobody up."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest

from support.engine import FakeEngine
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.wanted import NetworkPlan
from swarm_xds.sources.docker import Endpoint, EngineError
from swarm_xds.swarm import Service, SwarmState

from .conftest import NEWER, TIMINGS, World, eventually

STACK = "com.docker.stack.namespace"


def events(logged: list[Any], level: str = "info") -> list[str]:
    """Return what was logged of networks at a level."""
    return [e["event"] for e in logged if e["log_level"] == level and e["event"].startswith("network.")]


async def test_relay_is_created(world: World, logged: list[Any]) -> None:
    """A routed network gets a relay, which its stack's removal takes along, and the relay is told of."""
    world.start()
    await eventually(world.converged)
    (config,), (relay,) = world.engine.specs("config"), world.engine.specs("service")
    assert base64.b64decode(config["Spec"]["Data"]).decode() == world.spec.configuration
    assert config["Spec"]["Labels"][STACK] == relay["Spec"]["Labels"][STACK] == "shop"
    await eventually(lambda: "network.relay_created" in events(logged))
    (entry,) = [entry for entry in logged if entry["event"] == "network.relay_created"]
    assert (entry["service"], entry["network"], entry["stack_name"]) == (world.spec.name, "shop_front", "shop")


async def test_nothing_is_written_before_a_plan(world: World) -> None:
    """Not even the engine is asked, whatever is there."""
    manager = NetworkManager([Endpoint(url=world.engine.url)], TIMINGS)
    world.engine.add_service("old", labels={"swarm-xds.relay": "n", "swarm-xds.relay.fleet": "edge"})
    world.engine.asked.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(manager.run(), 0.05)
    assert world.engine.asked == []


async def test_a_converged_swarm_is_not_written_to(world: World) -> None:
    """Looking again, even anew, writes nothing."""
    world.start()
    await eventually(world.converged)
    world.engine.written.clear()
    manager = world.start(resync=0.01)
    await eventually(lambda: manager.latest is not None)
    world.engine.asked.clear()
    await eventually(lambda: world.engine.asked.count("/configs") > 5)
    assert world.engine.written == []


async def test_new_configuration(world: World, logged: list[Any]) -> None:
    """The new config comes first and the old one goes last."""
    world.start()
    await eventually(world.converged)
    old, world.engine.written[:] = world.spec, []
    world.spec = replace(old, configuration=NEWER.configuration)
    world.engine.update_service(world.web, labels={"xds.hosts": "b.example", STACK: "shop"})
    await eventually(world.converged)
    assert world.engine.written == [
        f"create config {world.spec.config_name}",
        f"update service {world.spec.name}",
        f"remove config {old.config_name}",
    ]
    assert "network.relay_updated" in events(logged)


async def test_last_service_gone(world: World, logged: list[Any]) -> None:
    """Relay and config go, but only after a while."""
    manager = world.start()
    await eventually(world.converged)
    world.engine.remove_service(world.web)
    await eventually(lambda: bool(manager.latest and manager.latest.later))
    await eventually(world.bare)
    await eventually(lambda: "network.relay_removed" in events(logged))


async def test_relay_removed_by_hand(world: World) -> None:
    """It comes back."""
    world.start()
    await eventually(world.converged)
    (relay,) = world.engine.specs("service")
    world.engine.erase_service(relay["ID"])
    assert not world.converged()
    await eventually(world.converged)


async def test_network_taken_from_a_relay_by_hand(world: World) -> None:
    """It is given back."""
    world.start()
    await eventually(world.converged)
    (relay,) = world.engine.specs("service")
    spec = relay["Spec"]
    spec["TaskTemplate"]["Networks"].pop()
    world.engine.rewrite_service(relay["ID"], relay["Version"]["Index"], spec)
    await eventually(lambda: len(world.engine.specs("service")[0]["Spec"]["TaskTemplate"]["Networks"]) == 2)


async def test_what_others_left(world: World) -> None:
    """Relays and configs that nobody wants go, whoever made them; what only looks alike stays."""
    labels = {"swarm-xds.relay": "gone", "swarm-xds.relay.fleet": "edge"}
    world.engine.add_service("old", labels=labels)
    world.engine.write_config({"Name": "old", "Labels": labels, "Data": ""})
    world.engine.add_service("mine", labels={"swarm-xds.relay": "hello"})
    world.start()
    await eventually(lambda: world.relays() == [world.spec.name] and world.configs() == [world.spec.config_name])
    await eventually(
        lambda: [raw["Spec"]["Name"] for raw in world.engine.specs("service")] == ["mine", world.spec.name]
    )


async def test_two_managers(world: World, logged: list[Any]) -> None:
    """Whoever comes second finds it done; neither fails or undoes anything."""
    world.start()
    world.start()
    for _ in range(5):
        await eventually(world.converged)
        world.engine.remove_service(world.web)
        await eventually(world.bare)
        world.web = world.add_web()
    await eventually(world.converged)
    assert events(logged, "warning") == []
    made = [line for line in world.engine.written if line.startswith("create service")]
    assert len(made) == 6


async def test_two_managers_update(world: World, logged: list[Any]) -> None:
    """One of them is out of sequence, and says nothing."""
    world.start()
    world.start()
    await eventually(world.converged)
    for number in range(5):
        world.spec = replace(world.spec, configuration=f'{{"number": {number}}}')
        world.engine.update_service(world.web, labels={"xds.hosts": f"{number}.example", STACK: "shop"})
        await eventually(world.converged)
    assert events(logged, "warning") == []


@pytest.mark.parametrize("lose_answer", [False, True], ids=["not begun", "answer lost"])
@pytest.mark.parametrize("after", range(1, 9))
async def test_stopped_between_two_writes(world: World, after: int, *, lose_answer: bool) -> None:
    """A manager that is stopped after any write, and one that begins there, get to where one alone gets."""
    engine, made, first = world.engine, 0, world.spec
    engine.stop_writes(after=after, lose_answer=lose_answer)
    for story in ("made", "changed", "gone"):
        if story == "changed":
            world.spec = replace(first, configuration=NEWER.configuration)
        elif story == "gone":
            engine.remove_service(world.web)
        want = world.bare if story == "gone" else world.converged
        world.start()
        await eventually(want, engine.writes_stopped.is_set)
        if engine.writes_stopped.is_set():
            made += 1
            await world.stop()
            engine.writes_stopped.clear()
            engine.mend()
            world.start()
        await eventually(want)
        await world.stop()
    assert made == 1 or (after, lose_answer) == (8, False)


async def test_name_taken_by_another(world: World, logged: list[Any]) -> None:
    """A service of somebody else's is left alone and told of once; when it is gone the relay is made."""
    other = world.engine.add_service(world.spec.name, labels={"owner": "else"})
    world.start()
    await eventually(lambda: "network.failed" in events(logged, "warning"))
    world.engine.asked.clear()
    await eventually(lambda: world.engine.asked.count("/services/create") > 3)
    assert events(logged, "warning") == ["network.failed"]
    (entry,) = [entry for entry in logged if entry["log_level"] == "warning"]
    assert "which swarm-xds has not made" in entry["error"]
    world.engine.remove_service(other)
    await eventually(world.converged)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/configs/create", id="config"),
        pytest.param("POST", "/services/create", id="service"),
        pytest.param("GET", "/configs", id="list of configs"),
        pytest.param("GET", "/services", id="list of services"),
        pytest.param("GET", "/version", id="connecting"),
    ],
)
async def test_engine_that_fails_for_a_while(world: World, logged: list[Any], method: str, path: str) -> None:
    """It is told of once, and done when the engine can again."""
    world.engine.fail(times=8, method=method, for_path=path)
    world.start()
    await eventually(world.converged)
    failed = [entry for entry in logged if entry["event"] == "network.failed" and entry["log_level"] == "warning"]
    assert len(failed) == 1 or path in {"/services", "/version"}  # the source asks for these too


@pytest.mark.parametrize("path", ["/configs/create", "/configs", "/services/create", "/services", "/version"])
async def test_engine_whose_answers_make_no_sense(world: World, path: str) -> None:
    """It is one that fails."""
    for answer in (b"null", b'{"ID": null}', b'{"error": "bad gateway"}'):
        world.engine.say(answer, for_path=path)
        world.engine.say(answer, status=502, for_path=path)
    world.start()
    await eventually(world.converged)


async def test_one_that_fails_holds_up_no_other(world: World, logged: list[Any]) -> None:
    """A relay that cannot be made is tried ever again; the others are made meanwhile."""
    bad = replace(world.spec, network_id="no-such-network", network_name="gone")
    world.plan = lambda _: NetworkPlan(relays=tuple(sorted((bad, world.spec), key=lambda spec: spec.name)))
    world.start()
    await eventually(lambda: world.relays() == [world.spec.name])
    await eventually(lambda: "network.failed" in events(logged, "warning"))
    (entry,) = [entry for entry in logged if entry["log_level"] == "warning"]
    assert (entry["service"], entry["network"], entry["stack_name"]) == (bad.name, "gone", "shop")
    assert "no-such-network not found" in entry["error"]


async def test_engine_restarts(world: World, logged: list[Any]) -> None:
    """An engine that was away is followed again, and told of twice in all."""
    world.start(resync=0.05)
    await eventually(world.converged)
    world.engine.stop()
    await eventually(lambda: [entry["event"] for entry in logged].count("network.failed") > 2)
    world.spec = replace(world.spec, configuration=NEWER.configuration)
    world.engine.update_service(world.web, labels={"xds.hosts": "b.example", STACK: "shop"})
    world.engine.start()
    await eventually(lambda: "network.recovered" in events(logged))
    await eventually(world.converged)
    assert (events(logged, "warning"), events(logged).count("network.recovered")) == (["network.failed"], 1)


@pytest.mark.parametrize("name", ["shop_app", "shop_zoo"], ids=["app before relay", "relay before app"])
async def test_stack_is_removed_at_the_first_try(world: World, name: str) -> None:
    """While a manager and its source follow, whatever the order of the services, nothing is in the way."""
    world.plan = lambda state: NetworkPlan(relays=(world.spec,) if state.services else ())
    world.engine.remove_service(world.web)
    world.start(linger=30.0, recreate_after=30.0, resync=0.02)
    for _ in range(3):
        world.engine.add_service(name, labels={"xds.hosts": "a", STACK: "shop"}, networks=[world.front], tasks=1)
        await eventually(world.converged)
        for said in world.engine.remove_stack("shop"):
            assert said == ""
            await world.seen()
        assert world.bare()
        world.front = world.engine.add_network("shop_front", stack="shop")
        world.spec = replace(world.spec, network_id=world.front)


async def test_a_relay_with_pauses(world: World) -> None:
    """They come once the relay is made, come back, and go with the stack."""
    world.spec = replace(world.spec, pauses=3)
    world.start(linger=30.0, recreate_after=30.0, resync=0.02)

    def whole() -> bool:
        return set(world.configs()) == {world.spec.config_name, *world.spec.pause_names} and bool(world.relays())

    await eventually(whole)
    made = [each for each in world.engine.written if "service" not in each]
    assert made == [f"create config {name}" for name in (world.spec.config_name, *world.spec.pause_names)]
    assert world.engine.written[-4] == f"update service {world.spec.name}"
    (lost,) = [raw["ID"] for raw in world.engine.specs("config") if raw["Spec"]["Name"] == world.spec.pause_names[1]]
    world.engine.erase_config(lost)
    await eventually(whole)
    for said in world.engine.remove_stack("shop"):
        assert said == ""
        await world.seen()
    assert world.bare()


async def test_stack_is_removed_by_somebody_who_does_not_know_of_the_relay(world: World) -> None:
    """What was listed before the relay was begun is removed all the same, and then so is the relay."""
    removal = world.engine.remove_stack("shop")
    world.start(settle=30.0, resync=0.02)
    await eventually(lambda: len(world.engine.specs("service")) == 1)
    assert list(removal) == ["", ""]
    await eventually(world.bare)


async def test_nothing_is_made_in_a_stack_that_is_being_removed(world: World) -> None:
    """Even if the source has not told of it yet, a service that is gone keeps the relay from being made."""
    manager = NetworkManager([Endpoint(url=world.engine.url)], TIMINGS)
    web = Service(id=world.web, name="shop_web", stack="shop")
    state = SwarmState(services=(web, replace(web, id="gone", name="shop_api")))
    running = asyncio.create_task(manager.run())
    manager.want(NetworkPlan(relays=(world.spec,)), state)
    await eventually(lambda: world.engine.asked.count("/services") > 6)
    assert world.engine.written == [f"create service {world.spec.name}"]
    manager.want(NetworkPlan(relays=(world.spec,)), SwarmState(services=(web,)))
    await eventually(world.converged)
    running.cancel()


async def test_preview_writes_nothing(world: World) -> None:
    """The steps that would be taken, as values."""
    manager = NetworkManager([Endpoint(url="tcp://127.0.0.1:1"), Endpoint(url=world.engine.url)], TIMINGS)
    decision = await manager.preview(NetworkPlan(relays=(world.spec,)), SwarmState())
    assert [str(step.action) for step in decision.steps] == ["create relay"]
    assert world.engine.written == []


async def test_uninstall(world: World) -> None:
    """Everything of ours goes at once, and is told; a second time there is nothing to do."""
    manager = world.start(linger=60.0)
    await eventually(world.converged)
    await world.stop()
    done = await manager.uninstall()
    assert [step.name for step in done.removed] == [world.spec.name, world.spec.config_name]
    assert done.failed == ()
    assert world.bare()
    assert (await manager.uninstall()).removed == ()


async def test_uninstall_says_what_failed(world: World) -> None:
    """What cannot be removed stops nothing else."""
    manager = world.start()
    await eventually(world.converged)
    await world.stop()
    world.engine.fail(method="DELETE", for_path="/services", message="not now")
    done = await manager.uninstall()
    assert [(step.name, reason) for step, reason in done.failed] == [(world.spec.name, "500: not now")]
    await manager.uninstall()
    assert world.bare()


async def test_no_engine() -> None:
    """What is asked for at once fails at once; without an endpoint there can be no manager."""
    with FakeEngine() as engine:
        url = engine.url
    with pytest.raises(EngineError):
        await NetworkManager([Endpoint(url=url)], TIMINGS).uninstall()
    with pytest.raises(ValueError, match="endpoint"):
        NetworkManager([])
