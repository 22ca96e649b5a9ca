"""The failure that this project exists for: a stack with a network of its own is removed at the first try, every time.

`make soak CYCLES=100` runs the same for longer.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import Edges, edge_url, settled
from support.load import Load

CYCLES = int(os.environ.get("CYCLES", "20"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(120 + 60 * CYCLES)]

ARTICLE = Path(__file__).parent / "article.yml"
EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "example.yml"
HOST = "demo.example.org"


def remove(lab: Lab, stack: str) -> None:
    """Remove a stack with one command, which must succeed without a word of complaint."""
    command = ["docker", "-H", f"unix://{lab.socket(1)}", "stack", "rm", stack]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def left(lab: Lab, stack: str) -> list[str]:
    """Return what is left of a stack."""
    label = f"label=com.docker.stack.namespace={stack}"
    return [
        f"{kind} {name}"
        for kind in ("service", "network", "config", "secret")
        for name in lab.docker(1, kind, "ls", "--filter", label, "--format", "{{.Name}}").split()
    ]


def test_a_stack_is_removed_at_the_first_try_and_deployed_again(fleet: Lab, edges: Edges) -> None:
    """Deployed, served by every edge, removed, nothing left: again and again, while another stack is under load."""
    fleet.deploy("staying", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    edges.await_tasks("app.example.org", settled(fleet, "staying_app", 2))
    served: list[float] = []
    urls = [edge_url(fleet, node) for node in fleet.nodes]
    with Load(urls, "app.example.org", rate=5, limit=60 * CYCLES) as load:
        for cycle in range(CYCLES):
            start = time.monotonic()
            fleet.deploy("article", ARTICLE, env={"EXAMPLE_IMAGE": APP})
            edges.await_status(HOST, 200, timeout=60)
            served.append(time.monotonic() - start)
            remove(fleet, "article")
            wait_for("the end of the stack", lambda: not left(fleet, "article"), timeout=90)
            edges.await_status(HOST, 404, timeout=30)
            print(f"cycle {cycle + 1} of {CYCLES}: served after {served[-1]:.1f} s")  # noqa: T201
    fleet.docker(1, "stack", "rm", "staying")
    print(f"{CYCLES} of {CYCLES} cycles; {load.summary()}")  # noqa: T201
    assert not load.failures, load.summary()


def test_two_stacks_are_served_side_by_side_and_apart(fleet: Lab, edges: Edges) -> None:
    """Each has its own network and relay; removing one leaves the other alone."""
    for name in ("left", "right"):
        fleet.deploy(name, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": f"{name}.example.org"})
    for name in ("left", "right"):
        edges.await_tasks(f"{name}.example.org", settled(fleet, f"{name}_demo", 2), timeout=60)
    remove(fleet, "left")
    wait_for("the end of the stack", lambda: not left(fleet, "left"), timeout=90)
    edges.await_status("left.example.org", 404, timeout=30)
    edges.await_status("right.example.org", 200)
    remove(fleet, "right")
    wait_for("the end of the stack", lambda: not left(fleet, "right"), timeout=90)


def test_a_relay_that_is_removed_by_hand_comes_back(fleet: Lab, edges: Edges) -> None:
    """The plan still asks for it."""
    fleet.deploy("byhand", ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": "byhand.example.org"})
    edges.await_status("byhand.example.org", 200, timeout=60)
    (relay,) = fleet.docker(1, "service", "ls", "--filter", "label=swarm-xds.relay", "--format", "{{.Name}}").split()
    fleet.docker(1, "service", "rm", relay)
    edges.await_status("byhand.example.org", 503, timeout=30)
    edges.await_status("byhand.example.org", 200, timeout=60)
    remove(fleet, "byhand")
    wait_for("the end of the stack", lambda: not left(fleet, "byhand"), timeout=90)
