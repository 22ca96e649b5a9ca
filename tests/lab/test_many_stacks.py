"""Thirty stacks with a network each come at once, are served, and go at once."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import mean

import docker
import pytest

from support.images import APP_UNCHECKED
from support.lab import Lab, wait_for
from support.lab_swarm import ARTICLE, Edges, left, remove
from swarm_xds.networks.home import RelayOptions
from swarm_xds.swarm.marks import STACK_LABEL

pytestmark = [pytest.mark.lab, pytest.mark.timeout(480)]

STACKS = [f"many{number:02}" for number in range(30)]
#: Deployments that run at a time.
HANDS = 6


def test_thirty_stacks_at_once(fleet: Lab, edges: Edges) -> None:
    """Every edge serves each of them; when all that belongs to them is there, one command removes all at the first try.

    What is printed is the time from when the swarm says that a task and a relay of a stack run until every edge has
    answered from it, in the order in which that happened: it must not grow with the number of networks there are.
    """

    def deploy(stack: str) -> None:
        fleet.deploy(stack, ARTICLE, env={"EXAMPLE_IMAGE": APP_UNCHECKED, "ARTICLE_HOST": f"{stack}.example.org"})

    start = time.monotonic()
    with ThreadPoolExecutor(HANDS) as hands:
        list(hands.map(deploy, STACKS))
    ready: dict[str, float] = {}
    served: dict[str, float] = {}

    def look() -> bool:
        for stack in sorted(complete(fleet) - ready.keys()):
            ready[stack] = time.monotonic()
        for stack in sorted(ready.keys() - served.keys()):
            if all(edges.status(node, f"{stack}.example.org") == 200 for node in fleet.nodes):
                served[stack] = time.monotonic()
        return len(served) == len(STACKS)

    wait_for("every edge to serve every stack", look, timeout=240)
    waits = [served[stack] - ready[stack] for stack in sorted(served, key=lambda stack: served[stack])]
    last, first_ten, last_ten = max(served.values()) - start, mean(waits[:10]), mean(waits[-10:])
    print(f"{len(STACKS)} stacks deployed at once, the last one served after {last:.1f} s")  # noqa: T201
    print(f"served after task and relay ran: {' '.join(f'{wait:.1f}' for wait in waits)} s;", end=" ")  # noqa: T201
    print(f"first ten {first_ten:.2f} s, last ten {last_ten:.2f} s on average")  # noqa: T201
    wait_for("all that stands beside the relays", lambda: paused(fleet) >= set(STACKS))
    # With one command: where several run at a time, a swarm without any proxy fails just so (docs/adr/007).
    remove(fleet, *STACKS)
    for stack in STACKS:
        wait_for(f"the end of {stack}", lambda stack=stack: not left(fleet, stack), timeout=120)
    for stack in STACKS:
        edges.await_status(f"{stack}.example.org", 404)


def paused(lab: Lab) -> set[str]:
    """Return the stacks whose relays have all their configs beside them."""
    with closing(docker.APIClient(f"unix://{lab.socket(1)}", version="1.41", timeout=30)) as client:
        stacks = Counter(each["Spec"]["Labels"].get(STACK_LABEL, "") for each in client.configs())
    return {stack for stack, number in stacks.items() if number == 1 + RelayOptions().pauses}


def complete(lab: Lab) -> set[str]:
    """Return the stacks of which a task and a relay run."""
    with closing(docker.APIClient(f"unix://{lab.socket(1)}", version="1.41", timeout=30)) as client:
        services = client.services()
        tasks = client.tasks(filters={"desired-state": "running"})
    running = {task["ServiceID"] for task in tasks if task["Status"]["State"] == "running"}
    found: dict[str, set[bool]] = {}
    for service in services:
        labels = service["Spec"]["Labels"]
        if service["ID"] in running:
            found.setdefault(labels.get(STACK_LABEL, ""), set()).add("swarm-xds.relay" in labels)
    return {stack for stack, kinds in found.items() if kinds == {True, False}}
