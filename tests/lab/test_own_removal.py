"""The project's own stack goes and comes back, whoever else is on its network."""

import subprocess
from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import FLEET, Edges, deploy_fleet, running, settled, tasks

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "example.yml"
HOST = "app.example.org"


def test_the_own_stack_is_removed_at_the_first_try_and_deployed_again(fleet: Lab) -> None:
    """Another stack's service stays on the network and keeps its tasks; the next deployment serves it."""
    fleet.deploy("staying", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    stayed = settled(fleet, "staying_app", 2)
    edges = Edges(fleet)
    edges.await_tasks(HOST, stayed)
    command = ["docker", "-H", f"unix://{fleet.socket(1)}", "stack", "rm", FLEET]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for node in fleet.nodes:
        wait_for(f"the end of edge {node}", lambda node=node: edges.status(node, HOST) == 0, timeout=60)
    for service in ("edge", "control-plane"):
        wait_for(f"the end of {service}", lambda service=service: not tasks(fleet, f"{FLEET}_{service}"), timeout=60)
    networks = ("network", "ls", "--format", "{{.Name}}")
    for node in fleet.nodes:
        wait_for(
            "the end of its own network",
            lambda node=node: f"{FLEET}_control" not in fleet.docker(node, *networks).split(),
        )
    assert FLEET in fleet.docker(1, *networks).split()
    assert set(running(fleet, "staying_app")) == set(stayed)
    deploy_fleet(fleet)
    edges.await_tasks(HOST, stayed)
    edges.close()
    fleet.docker(1, "stack", "rm", "staying")
