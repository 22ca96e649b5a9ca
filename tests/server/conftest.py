"""A server on loopback for each test that asks for one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from support.xds_client import Recorder
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
