"""Relays as they are wanted and as they are there, a fake engine, and managers of it in the background."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from support.engine import FakeEngine
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.memory import NetworkTimings
from swarm_xds.networks.observed import Config, Relay
from swarm_xds.networks.wanted import NetworkPlan, RelaySpec
from swarm_xds.sources.docker import DockerSource, Endpoint, Timings
from swarm_xds.swarm import SwarmState

#: Seconds within which everything that a test waits for must have happened.
BOUND = 20.0
TIMINGS = NetworkTimings(
    linger=0.05,
    recreate_after=0.05,
    settle=0.02,
    quiet=0.02,
    update_again=0.05,
    gather=0.0,
    resync=1.0,
    retry_first=0.01,
    retry_cap=0.05,
    call=5.0,
)
READING = Timings(fast=0.01, slow=0.05, resync=60.0, linger=0.2, retry_first=0.01, retry_cap=0.05, call=5.0)
SPEC = RelaySpec(
    fleet="edge",
    stack="shop",
    network_id="n1",
    network_name="shop_front",
    fleet_network_id="n9",
    image="envoy:1",
    replicas=2,
    configuration='{"one": 1}',
    memory=2**27,
)
#: The same relay with another configuration.
NEWER = replace(SPEC, configuration='{"two": 2}')


def relay_of(spec: RelaySpec, **more: Any) -> Relay:
    """Return a relay as it is wanted, or a little otherwise."""
    relay = Relay(
        id="r1",
        name=spec.name,
        version=7,
        fleet=spec.fleet,
        network_id=spec.network_id,
        stack=spec.stack,
        fingerprint=spec.fingerprint,
        network_ids=(spec.network_id, spec.fleet_network_id),
        config_ids=(config_of(spec).id,),
    )
    return replace(relay, **more)


def config_of(spec: RelaySpec) -> Config:
    """Return a relay's config; its id is its name's end."""
    return Config(
        id=spec.config_name[-8:],
        name=spec.config_name,
        fleet=spec.fleet,
        network_id=spec.network_id,
        stack=spec.stack,
    )


async def eventually(*facts: Callable[[], bool]) -> None:
    """Wait for one of some facts that come about in another thread and wake nobody here."""
    async with asyncio.timeout(BOUND):
        while not any(fact() for fact in facts):
            await asyncio.sleep(0.002)


class World:
    """A swarm with a fleet's network and a stack, and whoever keeps its relays.

    Attributes:
        plan: Makes the plan of a state; by default ``spec`` is wanted as long as a service is labelled for it.
        spec: The relay of the stack's network.
    """

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.edge = engine.add_network("edge")
        self.front = engine.add_network("shop_front", stack="shop")
        self.spec = replace(SPEC, network_id=self.front, fleet_network_id=self.edge)
        self.web = self.add_web()
        self.plan: Callable[[SwarmState], NetworkPlan] = self._plan
        self._tasks: list[asyncio.Task[None]] = []
        self._known: set[str] = set()

    def add_web(self) -> str:
        """Create the stack's routed service."""
        labels = {"xds.hosts": "a.example", "com.docker.stack.namespace": "shop"}
        return self.engine.add_service("shop_web", labels=labels, networks=[self.front], tasks=1)

    def _plan(self, state: SwarmState) -> NetworkPlan:
        return NetworkPlan(relays=(self.spec,) if any(s.name == "shop_web" for s in state.services) else ())

    def start(self, **timings: float) -> NetworkManager:
        """Start a manager with a source of its own."""
        manager = NetworkManager([Endpoint(url=self.engine.url)], replace(TIMINGS, **timings))
        self._tasks += [asyncio.create_task(manager.run()), asyncio.create_task(self._read(manager))]
        return manager

    async def _read(self, manager: NetworkManager) -> None:
        source = DockerSource([Endpoint(url=self.engine.url)], timings=READING)
        async for reading in source.readings():
            manager.want(self.plan(reading.state), reading.state)
            self._known = {service.name for service in (*reading.state.services, *reading.state.relays)}

    async def seen(self) -> None:
        """Wait until the (only) source has read which services there are, and the manager has looked three times."""
        await eventually(lambda: self._known == self.engine.names("service"))
        looks = self.engine.asked.count("/configs")
        await eventually(lambda: self.engine.asked.count("/configs") > looks + 3)

    async def stop(self) -> None:
        """Stop all managers, wherever they are."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result
        self._tasks.clear()

    def relays(self) -> list[str]:
        """Return the names of the relays that are as they are wanted."""
        made = self.engine.specs("service")
        return [raw["Spec"]["Name"] for raw in made if self._is_wanted(raw["Spec"])]

    def _is_wanted(self, spec: dict[str, Any]) -> bool:
        configs = spec["TaskTemplate"]["ContainerSpec"].get("Configs") or ()
        return spec["Labels"].get("swarm-xds.relay.fingerprint") == self.spec.fingerprint and [
            config["ConfigName"] for config in configs
        ] == [self.spec.config_name]

    def configs(self) -> list[str]:
        """Return the names of the configs."""
        return [raw["Spec"]["Name"] for raw in self.engine.specs("config")]

    def converged(self) -> bool:
        """Whether there is the one relay with its one config, and nothing else."""
        return (
            self.relays() == [self.spec.name]
            and len(self.engine.specs("service")) == 1
            and self.configs() == [self.spec.config_name]
        )

    def bare(self) -> bool:
        """Whether nothing of ours is left."""
        return not self.engine.specs("service") and not self.engine.specs("config")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A swarm of which nobody keeps the relays yet."""
    with FakeEngine() as engine:
        made = World(engine)
        yield made
        await made.stop()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged, as events with fields."""
    with structlog.testing.capture_logs() as entries:
        yield entries
