"""Direct attachment: five stacks make one rolling update of the fleet, and their failed removals are finished."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import EXAMPLE, FLEET, Edges, edge_url, left, relays, running, settled, tasks
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

DIRECT = Path(__file__).parent / "direct.yml"
EDGE = f"{FLEET}_edge"
STACKS = [f"direct{number}" for number in range(5)]


def stands_on(lab: Lab) -> set[str]:
    """Return the names of the networks in the specification of the fleet's service."""
    form = "{{range .Spec.TaskTemplate.Networks}}{{.Target}} {{end}}"
    ids = lab.docker(1, "service", "inspect", "--format", form, EDGE).split()
    return {lab.docker(1, "network", "inspect", "--format", "{{.Name}}", each) for each in ids}


def labels(lab: Lab) -> str:
    """Return the labels of the fleet's service."""
    return lab.docker(1, "service", "inspect", "--format", "{{json .Spec.Labels}}", EDGE)


def begun(lab: Lab) -> int:
    """Return how many tasks the fleet's service has had."""
    return len(tasks(lab, EDGE))


def deploy(lab: Lab, stack: str) -> None:
    """Deploy one of the stacks."""
    lab.deploy(stack, DIRECT, env={"EXAMPLE_IMAGE": APP, "DIRECT_HOST": f"{stack}.example.org"})


async def test_five_stacks_are_attached_in_one_update(fleet: Lab, client: Edges) -> None:
    """Each edge is replaced once for all of them, and once more when all are gone; another stack's load goes on."""
    # Without the shipped pauses between nodes, which only make it easier.
    hurry = ("--update-delay", "0s", "--update-monitor", "1s")
    fleet.docker(1, "service", "update", "--detach", "--no-resolve-image", *hurry, EDGE)
    fleet.deploy("staying", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    client.await_tasks("app.example.org", settled(fleet, "staying_app", 2))
    own, proxies, before = stands_on(fleet), running(fleet, EDGE), begun(fleet)
    urls = [edge_url(fleet, node) for node in fleet.nodes]
    async with Load(urls, "app.example.org", rate=20, balance=True, limit=400) as load:
        start = time.monotonic()
        with ThreadPoolExecutor() as hands:
            # Side by side: what comes late is another update.
            list(hands.map(lambda stack: deploy(fleet, stack), STACKS))
        deployed = time.monotonic() - start
        for stack in STACKS:
            client.await_status(f"{stack}.example.org", 200, timeout=180)
        served = time.monotonic() - start
        assert stands_on(fleet) == own | {f"{stack}_front" for stack in STACKS}
        settled(fleet, EDGE, len(fleet.nodes))
        assert begun(fleet) - before == len(fleet.nodes), "more than one update"
        assert not set(proxies) & set(running(fleet, EDGE))
        assert not [relay for relay in relays(fleet) if relay.startswith("direct")]

        for stack in STACKS:
            assert "in use" in fleet.docker(1, "stack", "rm", stack, check=False, stderr=True)
        start = time.monotonic()
        for stack in STACKS:
            wait_for(f"the end of {stack}", lambda stack=stack: not left(fleet, stack), timeout=240)
        finished = time.monotonic() - start
        settled(fleet, EDGE, len(fleet.nodes))
        wait_for("the end of the labels", lambda: "attached" not in labels(fleet))
        assert stands_on(fleet) == own
        assert begun(fleet) - before <= 2 * len(fleet.nodes)
        client.await_status("app.example.org", 200)
    print(f"deployed in {deployed:.1f} s, served after {served:.1f} s, removals finished after {finished:.1f} s")  # noqa: T201
    print(load.summary())  # noqa: T201
    fleet.docker(1, "stack", "rm", "staying")
    assert not load.failures, load.summary()
