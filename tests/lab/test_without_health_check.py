"""A service whose image has no health check: the swarm calls its tasks running before they listen."""

from pathlib import Path

import pytest

from support.images import APP_UNCHECKED
from support.lab import Lab, wait_for
from support.lab_swarm import Edges, edge_url, running, settled
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "example.yml"
HOST = "app.example.org"
SERVICE = "unchecked_app"


async def test_a_forced_restart_start_first(fleet: Lab, edges: Edges) -> None:
    """With two replicas there is always one that listens, and connections to one that doesn't yet are tried again."""
    fleet.deploy("unchecked", EXAMPLE, env={"EXAMPLE_IMAGE": APP_UNCHECKED})
    before = settled(fleet, SERVICE, 2)
    edges.await_tasks(HOST, before)
    async with Load([edge_url(fleet, node) for node in fleet.nodes], HOST, rate=50) as load:
        # A task that nobody checks is taken for one that serves as soon as it has a process: the pause is what the
        # service's owner gives each of them to begin to listen, before the next one is replaced.
        pause = ("--update-delay", "10s")
        fleet.docker(1, "service", "update", "--detach", "--no-resolve-image", "--force", *pause, SERVICE)
        wait_for("all tasks replaced", lambda: not set(before) & set(running(fleet, SERVICE)))
        edges.await_tasks(HOST, settled(fleet, SERVICE, 2))
    print(load.summary())  # noqa: T201
    fleet.docker(1, "stack", "rm", "unchecked")
    assert not load.failures, load.summary()
