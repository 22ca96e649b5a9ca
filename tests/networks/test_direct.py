"""The network manager attaches fleets over a fake engine: one update for all, and a failed removal is finished."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.engine import FakeEngine
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.wanted import Attachment, NetworkPlan
from swarm_xds.swarm import SwarmState

from .conftest import World, eventually

STACK = "com.docker.stack.namespace"
PORT = {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "host"}
#: Long enough for a few services to be read as one change.
QUIET = 0.3


class DirectWorld(World):
    """A swarm where every routed service asks for direct attachment of its stack's networks."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine)
        labels = {"swarm-xds.fleet": "default"}
        self.proxies = engine.add_service("edge", labels=labels, networks=[self.edge], tasks=3, ports=[PORT])
        self.plan = self._attachments

    def _attachments(self, state: SwarmState) -> NetworkPlan:
        networks = {network.id: network for network in state.networks}
        found = {network for service in state.services if service.stack for network in service.network_ids}
        return NetworkPlan(
            attachments=tuple(
                Attachment(
                    fleet="default",
                    network_id=each,
                    network_name=networks[each].name,
                    stack=networks[each].stack,
                    reason="asked for",
                )
                for each in sorted(found & networks.keys())
            )
        )

    def direct(self, **timings: float) -> NetworkManager:
        """Start a manager."""
        fast: dict[str, float] = {"attach_quiet": QUIET, "attach_wait": 5.0, "attach_look": 0.02, "finish": 0.05}
        return self.start(**(fast | timings))

    def add_stack(self, stack: str) -> str:
        """Create a stack with a network and a service, and return the network's id."""
        network = self.engine.add_network(f"{stack}_net", stack=stack)
        labels = {"xds.hosts": f"{stack}.example", STACK: stack}
        self.engine.add_service(f"{stack}_app", labels=labels, networks=[network], tasks=1)
        return network

    def stands_on(self) -> set[str]:
        """Return the networks of the fleet's service."""
        spec = self.engine.spec(self.proxies)
        return {each["Target"] for each in spec["TaskTemplate"]["Networks"]}

    def attached(self) -> set[str]:
        """Return the networks that its labels name as attached by us."""
        labels = self.engine.spec(self.proxies)["Labels"]
        return {key.removeprefix("swarm-xds.attached.") for key in labels if key.startswith("swarm-xds.attached.")}

    def updates(self) -> int:
        """Return how often the fleet's service was updated."""
        return self.engine.written.count("update service edge")


@pytest.fixture
async def swarm() -> AsyncIterator[DirectWorld]:
    """A swarm with a fleet and one stack, and no manager yet."""
    with FakeEngine() as engine:
        made = DirectWorld(engine)
        yield made
        await made.stop()


async def test_five_stacks_make_one_update(swarm: DirectWorld, logged: list[Any]) -> None:
    """All of them are attached together, and told of once."""
    swarm.direct()
    stacks = {swarm.add_stack(f"s{number}") for number in range(5)}
    await eventually(lambda: swarm.stands_on() == {swarm.edge, swarm.front} | stacks)
    assert swarm.attached() == stacks | {swarm.front}
    assert swarm.updates() == 1
    config = swarm.engine.spec(swarm.proxies)["UpdateConfig"]
    assert (config["Order"], config["Parallelism"]) == ("stop-first", 1)
    await eventually(lambda: "network.fleet_updated" in [entry["event"] for entry in logged])
    (entry,) = [entry for entry in logged if entry["event"] == "network.fleet_updated"]
    assert entry["network"].split(", ") == ["shop_front", *(f"s{number}_net" for number in range(5))]


@pytest.mark.parametrize("managers", [1, 2])
async def test_failed_removal_is_finished(swarm: DirectWorld, logged: list[Any], managers: int) -> None:
    """`docker stack rm` fails on the network; then the fleet leaves it, it goes, and nothing reminds of it."""
    for _ in range(managers):
        swarm.direct()
    await eventually(lambda: swarm.front in swarm.stands_on())
    assert "is in use by service" in list(swarm.engine.remove_stack("shop"))[-1]
    await eventually(lambda: "remove network shop_front" in swarm.engine.written)
    await eventually(lambda: not swarm.attached())
    assert swarm.stands_on() == {swarm.edge}
    assert not [entry for entry in logged if entry["log_level"] == "warning"]


async def test_network_of_a_stack_that_lives_stays(swarm: DirectWorld) -> None:
    """A route that goes is no removal: the fleet leaves, and the network is its stack's business."""
    other = {"plain": "1", STACK: "shop"}
    swarm.engine.add_service("shop_db", labels=other, networks=[swarm.front], tasks=1)
    swarm.direct()
    await eventually(lambda: swarm.front in swarm.stands_on())
    swarm.engine.remove_service(swarm.web)
    await eventually(lambda: swarm.stands_on() == {swarm.edge} and not swarm.attached())
    assert "remove network shop_front" not in swarm.engine.written


async def test_task_that_has_not_ended_is_waited_for(swarm: DirectWorld, logged: list[Any]) -> None:
    """The engine keeps the network for it; nobody is told of a failure."""
    swarm.direct()
    await eventually(lambda: swarm.front in swarm.stands_on())
    old = swarm.engine.task(swarm.proxies)
    list(swarm.engine.remove_stack("shop"))
    await eventually(lambda: swarm.stands_on() == {swarm.edge})
    now = swarm.engine.tasks(swarm.proxies)
    swarm.engine.set_tasks(swarm.proxies, [*now, old])
    swarm.engine.asked.clear()
    await eventually(lambda: swarm.engine.asked.count(f"/networks/{swarm.front}") > 20)
    assert "remove network shop_front" not in swarm.engine.written
    swarm.engine.set_tasks(swarm.proxies, now)
    await eventually(lambda: "remove network shop_front" in swarm.engine.written)
    assert not [entry for entry in logged if entry["log_level"] == "warning"]


@pytest.mark.parametrize("lose_answer", [False, True], ids=["not begun", "answer lost"])
@pytest.mark.parametrize("after", range(1, 5))
async def test_stopped_between_two_writes(swarm: DirectWorld, after: int, *, lose_answer: bool) -> None:
    """A manager that is stopped after any write, and one that begins there, get to where one alone gets."""
    engine = swarm.engine
    engine.stop_writes(after=after, lose_answer=lose_answer)

    def attached() -> bool:
        return swarm.front in swarm.stands_on()

    def bare() -> bool:
        return "remove network shop_front" in engine.written and not swarm.attached()

    for want in (attached, bare):
        if want is bare:
            list(engine.remove_stack("shop"))
        swarm.direct(attach_quiet=0.02)
        await eventually(want, engine.writes_stopped.is_set)
        await swarm.stop()
        if engine.writes_stopped.is_set():
            engine.mend()
        swarm.direct(attach_quiet=0.02)
        await eventually(want)
        await swarm.stop()
    assert swarm.stands_on() == {swarm.edge}


async def test_failed_update_is_not_tried_at_once(swarm: DirectWorld, logged: list[Any]) -> None:
    """An engine that takes it back would otherwise have its tasks replaced for ever."""
    swarm.engine.update_service(swarm.proxies, status="rollback_completed")
    swarm.direct(attach_again=60.0)
    await eventually(lambda: swarm.updates() == 1)  # who begins does not know how long it has been so
    spec = swarm.engine.spec(swarm.proxies)
    spec["TaskTemplate"]["Networks"] = [{"Target": swarm.edge}]
    swarm.engine.update_service(swarm.proxies, status="rollback_completed", Spec=spec)
    await eventually(lambda: "network.stuck" in [entry["event"] for entry in logged])
    assert swarm.updates() == 1


async def test_uninstall(swarm: DirectWorld) -> None:
    """The fleet's service is as its owner made it."""
    manager = swarm.direct()
    await eventually(lambda: swarm.front in swarm.stands_on())
    await swarm.stop()
    done = await manager.uninstall()
    assert [(step.name, step.network) for step in done.removed] == [("edge", "shop_front")]
    assert (swarm.stands_on(), swarm.attached()) == ({swarm.edge}, set())
    assert (await manager.uninstall()).removed == ()
