"""A manager dies; the others' edges go on."""

from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import Edges, edge_url, healed, running, settled
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "example.yml"
HOST = "lost.example.org"
SERVICE = "loss_app"
LOST = 3


async def test_the_other_edges_serve_on_when_a_manager_is_lost(fleet: Lab) -> None:
    """Its tasks are left out, others take their place, and its own edge serves again when it is back."""
    fleet.deploy("loss", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    fleet.docker(
        1, "service", "update", "--detach", "--label-add", f"com.docker.lb.hosts={HOST}", "--replicas", "3", SERVICE
    )
    settled(fleet, SERVICE, 3)
    edges = Edges(fleet)
    try:
        edges.await_tasks(HOST, running(fleet, SERVICE))
        lost = fleet.docker(LOST, "info", "--format", "{{.Swarm.NodeID}}")
        before = {name for name, task in running(fleet, SERVICE).items() if task["NodeID"] == lost}
        async with Load([edge_url(fleet, node) for node in (1, 2)], HOST, rate=20) as load:
            fleet.kill(LOST)
            wait_for("the swarm's notice", lambda: not before & set(running(fleet, SERVICE)), timeout=60)
            wait_for("three tasks", lambda: len(running(fleet, SERVICE)) == 3, timeout=60)
            now = load.elapsed
            wait_for("an answer of each", lambda: set(load.who("host", since=now)) == set(running(fleet, SERVICE)))
        print(load.summary())  # noqa: T201
        assert not [failure for failure in load.failures if failure.at > now], load.summary()
    finally:
        edges.close()
        if LOST not in fleet.up_nodes:
            fleet.start(LOST)
            healed(fleet)
    settled(fleet, "swarm-xds_edge", 3, timeout=90)
    edges = Edges(fleet)
    edges.await_status(HOST, 200, timeout=30)
    edges.close()
    fleet.docker(1, "stack", "rm", "loss")
