"""The project's own stack goes and comes back, whoever else is on its network, and leaves nothing if one wants so.

It comes back without TLS, from `deploy/stack.yml` alone; so these are the last of the lab's tests (conftest.py).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import (
    ARTICLE,
    EXAMPLE,
    FLEET,
    STACK_FILE,
    Edges,
    await_fleet,
    left,
    relays,
    remove,
    running,
    settled,
    tasks,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

HOST, RELAYED = "app.example.org", "relayed.example.org"


def test_the_own_stack_is_removed_at_the_first_try_and_installed_again(fleet: Lab, client: Edges) -> None:
    """Services of others stay on the network, and relays in their stacks until `uninstall`; the next one serves all."""
    fleet.deploy("staying", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    fleet.deploy("relayed", ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": RELAYED})
    stayed, apart = settled(fleet, "staying_app", 2), settled(fleet, "relayed_demo", 2)
    client.await_tasks(HOST, stayed)
    client.await_tasks(RELAYED, apart)
    (relay,) = relays(fleet)

    remove(fleet, FLEET)
    for node in fleet.nodes:
        wait_for(f"the end of edge {node}", lambda node=node: client.status(node, HOST) == 0)
    for service in ("edge", "control-plane"):
        wait_for(f"the end of {service}", lambda service=service: not tasks(fleet, f"{FLEET}_{service}"))
    networks = ("network", "ls", "--format", "{{.Name}}")
    for node in fleet.nodes:
        wait_for(
            "the end of its own network",
            lambda node=node: f"{FLEET}_control" not in fleet.docker(node, *networks).split(),
        )
    assert FLEET in fleet.docker(1, *networks).split()
    assert set(running(fleet, "staying_app")) == set(stayed)
    assert relays(fleet) == [relay]

    assert uninstall(fleet).splitlines()[0] == f"removed {relay}"
    assert uninstall(fleet) == "nothing to remove"
    assert not [each for each in left(fleet, "relayed") if "relay-" in each]
    assert set(running(fleet, "relayed_demo")) == set(apart)

    fleet.deploy(FLEET, STACK_FILE, env={"TAG": "lab"})
    await_fleet(fleet)
    client.await_tasks(HOST, stayed)
    client.await_tasks(RELAYED, apart)
    remove(fleet, "staying", "relayed")
    for stack in ("staying", "relayed"):
        wait_for(f"the end of {stack}", lambda stack=stack: not left(fleet, stack))


def uninstall(lab: Lab) -> str:
    """Run the command as an operator does, and return what it printed."""
    command = [str(Path(sys.executable).with_name("swarm-xds")), "uninstall"]
    environ = {**os.environ, "DOCKER_HOST": f"unix://{lab.socket(1)}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()
