"""A control plane that is killed after any write of a plan: the next one, wherever it begins, ends where it should."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import ARTICLE, ENDED, FLEET, left, relays, remove, settled, tasks
from swarm_xds.model import EdgeOptions
from swarm_xds.networks.engine import RelayEngine
from swarm_xds.networks.home import RelayOptions
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.memory import NetworkTimings
from swarm_xds.networks.plan import NetworkOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.sources.docker import DockerSource, Endpoint

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

STACK = "killed"
WRITES = ("create_service", "create_config", "update_service", "create_pause", "remove_service", "remove_config")
OPTIONS = NetworkOptions(relay=RelayOptions(pauses=1))


class KilledError(Exception):
    """The control plane is no more."""


@pytest.fixture(scope="module")
def alone(fleet: Lab) -> Iterator[Lab]:
    """The lab without its own control planes; the edges keep what they have."""
    fleet.docker(1, "service", "scale", "--detach", f"{FLEET}_control-plane=0")
    # Those that are told to end may still write.
    wait_for(
        "no control plane",
        lambda: all(task["Status"]["State"] in ENDED for task in tasks(fleet, f"{FLEET}_control-plane")),
    )
    yield fleet
    fleet.docker(1, "service", "scale", "--detach", f"{FLEET}_control-plane=2")
    settled(fleet, f"{FLEET}_control-plane", 2)


async def keep_networks(lab: Lab) -> None:
    """Be the part of a control plane that reads and writes the swarm."""
    endpoint = Endpoint(url=f"unix://{lab.socket(1)}")
    manager = NetworkManager([endpoint], NetworkTimings(linger=0.5))
    pipeline = Pipeline(EdgeOptions(), "default", OPTIONS)

    async def read() -> None:
        async for reading in DockerSource([endpoint]).readings():
            build = pipeline.build(reading.state, reading.problems)
            assert build.networks is not None
            manager.want(build.networks, reading.state)

    reader = asyncio.create_task(read())
    try:
        await manager.run()
    finally:
        reader.cancel()


@asynccontextmanager
async def kept(lab: Lab) -> Any:
    """Keep networks for the length of a block."""
    keeper = asyncio.create_task(keep_networks(lab))
    try:
        yield
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper


async def until(what: str, fact: Callable[[], bool]) -> None:
    """Wait for a fact without holding up the event loop."""
    await asyncio.to_thread(wait_for, what, fact, 60)


@pytest.mark.parametrize("after", range(1, 8))
async def test_killed_after_a_write(alone: Lab, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Four writes make a relay with one pause, three take it away."""
    done, armed = 0, after <= 4

    def counted(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapper(*args: Any) -> Any:
            nonlocal done
            try:
                return await write(*args)
            finally:
                # Also after a failure: the swarm sometimes says that an update is out of sequence, and has done it.
                done += 1
                if armed and done == after:
                    raise KilledError

        return wrapper

    for name in WRITES:
        monkeypatch.setattr(RelayEngine, name, counted(getattr(RelayEngine, name)))
    await asyncio.to_thread(alone.deploy, STACK, ARTICLE, env={"EXAMPLE_IMAGE": APP})
    if after <= 4:
        with pytest.raises(KilledError):
            await keep_networks(alone)
    async with kept(alone):
        await until(
            "a relay, its config and its pause", lambda: sum("relay" in each for each in left(alone, STACK)) == 3
        )
        await asyncio.to_thread(settled, alone, relays(alone, STACK)[0], 2)
    gone = ("service", "update", "--detach", "--no-resolve-image", "--label-rm", "com.docker.lb.hosts")
    await asyncio.to_thread(alone.docker, 1, *gone, f"{STACK}_demo")
    if after > 4:
        done, armed = 4, True
        with pytest.raises(KilledError):
            await keep_networks(alone)
    async with kept(alone):
        await until("no relay and no config", lambda: not [each for each in left(alone, STACK) if "relay" in each])
    await asyncio.to_thread(remove, alone, STACK)
    await until("the end of the stack", lambda: not left(alone, STACK))
