"""A fake engine, and a source that reads it in the background."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from support.engine import FakeEngine
from swarm_xds.sources import Reading
from swarm_xds.sources.docker import DockerSource, Endpoint, Timings
from swarm_xds.sources.docker.view import FleetNetworks
from swarm_xds.swarm import Service

#: Seconds within which everything that a test waits for must have happened.
BOUND = 10.0
#: Brisk polls; no resync unless a test asks for it.
TIMINGS = Timings(fast=0.01, slow=0.05, resync=60.0, linger=0.2, retry_first=0.01, retry_cap=0.05, call=5.0, doubt=0.1)

HOSTS = {"xds.hosts": "a.example"}


class Reader:
    """Keeps reading a source and hands out its readings one by one."""

    def __init__(self, source: DockerSource) -> None:
        self.queue: asyncio.Queue[Reading] = asyncio.Queue()
        self.iterator = source.readings()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for reading in self.iterator:
            self.queue.put_nowait(reading)

    async def next(self) -> Reading:
        """Return the next reading."""
        return await asyncio.wait_for(self.queue.get(), BOUND)

    async def until(self, fact: Callable[[Reading], bool]) -> Reading:
        """Return the first reading for which ``fact`` holds."""
        async with asyncio.timeout(BOUND):
            while not fact(reading := await self.queue.get()):
                pass
        return reading

    async def stop(self) -> None:
        """Cancel the reading and wait for its end."""
        self.task.cancel()
        await asyncio.wait([self.task], timeout=BOUND)
        await self.iterator.aclose()
        assert self.task.cancelled(), self.task


Read = Callable[..., Reader]


def names(reading: Reading) -> list[str]:
    """Return the names of a reading's services, sorted."""
    return sorted(service.name for service in reading.state.services)


def service(reading: Reading, name: str) -> Service:
    """Return a service of a reading by its name."""
    return next(s for s in reading.state.services if s.name == name)


async def eventually(fact: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread and wakes nobody here."""
    async with asyncio.timeout(BOUND):
        while not fact():
            await asyncio.sleep(0.002)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine with no services."""
    with FakeEngine() as fake:
        yield fake


@pytest.fixture
async def read(engine: FakeEngine) -> AsyncIterator[Callable[..., Reader]]:
    """Start to read the engine (or other ``endpoints``); keywords are timings, or the source's own."""
    readers: list[Reader] = []

    def start(*endpoints: Endpoint, fleet_networks: FleetNetworks = (), **timings: float) -> Reader:
        source = DockerSource(
            endpoints or (Endpoint(url=engine.url),),
            fleet_networks=fleet_networks,
            timings=replace(TIMINGS, **timings),
        )
        readers.append(Reader(source))
        return readers[-1]

    yield start
    for reader in readers:
        await reader.stop()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged, as events with fields."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def value(reading: Reading, name: str) -> str:
    """Return the last label's value."""
    return service(reading, name).labels[-1][1]


def unreachable(logged: list[Any]) -> list[Any]:
    """Return the log's entries above debug about the engine."""
    return [entry["event"] for entry in logged if entry["log_level"] != "debug"]
