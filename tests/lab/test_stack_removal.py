"""The failure that this project exists for: a stack with a network of its own is removed at the first try, every time.

`make soak CYCLES=100` runs the same for longer.
"""

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import ARTICLE, EXAMPLE, Edges, edge_url, left, remove, remove_early, settled
from support.load import Load
from support.unbroken import Unbroken

CYCLES = int(os.environ.get("CYCLES", "20"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(120 + 60 * CYCLES)]

#: They come and go side by side.
STACKS = ("article", "second")


def test_a_stack_is_removed_at_the_first_try_and_deployed_again(fleet: Lab, edges: Edges) -> None:
    """Deployed, served by every edge, removed, nothing left: again and again, two stacks that share the cycles.

    Meanwhile another stack is under load, and a WebSocket and a download through it go on and on.
    """
    done = itertools.count(1)
    # One command at a time: where several run, a swarm without any proxy fails (docs/adr/009).
    command = threading.Lock()

    def live(stack: str, cycles: int) -> None:
        host = f"{stack}.example.org"
        with Edges(fleet) as mine:
            for _ in range(cycles):
                start = time.monotonic()
                fleet.deploy(stack, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": host})
                mine.await_status(host, 200)
                served = time.monotonic() - start
                with command:
                    remove(fleet, stack)
                wait_for(f"the end of {stack}", lambda: not left(fleet, stack))
                start = time.monotonic()
                mine.await_status(host, 404)
                gone = time.monotonic() - start
                print(f"cycle {next(done)} of {CYCLES}: served after {served:.1f} s, gone after {gone:.1f} s")  # noqa: T201

    fleet.deploy("staying", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    edges.await_tasks("app.example.org", settled(fleet, "staying_app", 2))
    urls = [edge_url(fleet, node) for node in fleet.nodes]
    with (
        Load(urls, "app.example.org", rate=5, limit=120 * CYCLES) as load,
        Unbroken(fleet.address(2), "app.example.org", limit=120 * CYCLES) as connections,
        ThreadPoolExecutor() as hands,
    ):
        list(hands.map(live, STACKS, ((CYCLES + 1) // 2, CYCLES // 2)))
    fleet.docker(1, "stack", "rm", "staying")
    print(f"{CYCLES} of {CYCLES} cycles; {connections.summary()}; {load.summary()}")  # noqa: T201
    assert not load.failures, load.summary()
    assert not connections.breaks


#: Seconds after the deployment: before the relay is begun, while it is, while its tasks start, and just after.
EARLY = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0]


def test_a_stack_is_removed_at_any_time_after_its_deployment(fleet: Lab, edges: Edges) -> None:
    """Also while its relay is just being made: nothing fails for anything of ours, and nothing is left."""
    for number, seconds in enumerate(EARLY):
        stack = f"early{number}"
        fleet.deploy(stack, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": f"{stack}.example.org"})
        time.sleep(seconds)  # the moment itself is what is tried here, not a fact to wait for
        remove_early(fleet, stack)
    for number in range(len(EARLY)):
        stack = f"early{number}"
        wait_for(f"the end of {stack}", lambda stack=stack: not left(fleet, stack))


def test_two_stacks_are_served_side_by_side_and_apart(fleet: Lab, edges: Edges) -> None:
    """Each has its own network and relay; removing one leaves the other alone."""
    for name in ("left", "right"):
        fleet.deploy(name, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": f"{name}.example.org"})
    for name in ("left", "right"):
        edges.await_tasks(f"{name}.example.org", settled(fleet, f"{name}_demo", 2))
    remove(fleet, "left")
    wait_for("the end of the stack", lambda: not left(fleet, "left"))
    edges.await_status("left.example.org", 404)
    edges.await_status("right.example.org", 200)
    remove(fleet, "right")
    wait_for("the end of the stack", lambda: not left(fleet, "right"))


def test_two_stacks_with_one_subnet_are_served_side_by_side(fleet: Lab, edges: Edges) -> None:
    """Their networks know nothing of each other; a fleet that stood on both could not tell where an address is."""
    for name, part in (("castor", "10.123.0.0/25"), ("pollux", "10.123.0.128/25")):
        # The swarm gives out a subnet twice only in parts, which no stack file can ask for.
        label = f"com.docker.stack.namespace={name}"
        subnet = ("--subnet", "10.123.0.0/24", "--ip-range", part)
        fleet.docker(1, "network", "create", "--driver", "overlay", *subnet, "--label", label, f"{name}_demo-network")
        fleet.deploy(name, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": f"{name}.example.org"})
    for name in ("castor", "pollux"):
        edges.await_tasks(f"{name}.example.org", settled(fleet, f"{name}_demo", 2))
    remove(fleet, "castor", "pollux")
    for name in ("castor", "pollux"):
        wait_for(f"the end of {name}", lambda name=name: not left(fleet, name))
