"""A server on loopback for each test that asks for one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from support.xds_client import Client, Recorder
from swarm_xds.server import Limits, Publisher, XdsServer


@dataclass(frozen=True, slots=True)
class Running:
    """A server, what it serves, and what happens on it."""

    publisher: Publisher
    recorder: Recorder
    server: XdsServer
    port: int


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A server that nothing was published to yet, whose time limits no test should reach."""
    publisher, recorder = Publisher(), Recorder()
    server = XdsServer(publisher, "127.0.0.1:0", recorder, Limits(additions=60, removals=60))
    port = await server.start()
    yield Running(publisher, recorder, server, port)
    await server.stop(0.2)


@pytest.fixture(params=["sotw", "delta"])
def variant(request: pytest.FixtureRequest) -> str:
    """The form of the protocol."""
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["aggregated", "single"])
def aggregated(request: pytest.FixtureRequest) -> bool:
    """Whether the aggregated service is used, or the type's own."""
    return bool(request.param)


@pytest.fixture
async def client(running: Running, variant: str, aggregated: bool) -> AsyncIterator[Client]:  # a fixture
    """A client of each kind."""
    async with Client(running.port, variant=variant, aggregated=aggregated) as client:
        yield client
