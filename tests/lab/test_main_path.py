"""From a label to an answer, on three managers with an edge each, under a load that must not lose a request."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import Edges, edge_url, running, settled, tasks
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "example.yml"
HOST = "app.example.org"
SERVICE = "example_app"
RATE = 50


@pytest.fixture(scope="module")
def example(fleet: Lab) -> Lab:
    """The lab with `deploy/example.yml` on it."""
    fleet.deploy("example", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    settled(fleet, SERVICE, 2)
    return fleet


@pytest.fixture
def two(example: Lab, edges: Edges) -> Iterator[Lab]:
    """The example with two tasks, which every edge knows."""
    if len(running(example, SERVICE)) != 2:
        scale(example, 2)
    edges.await_tasks(HOST, settled(example, SERVICE, 2))
    return example


def load(lab: Lab) -> Load:
    """Load every edge at once."""
    return Load([edge_url(lab, node) for node in lab.nodes], HOST, rate=RATE)


def scale(lab: Lab, replicas: int) -> None:
    """Change the number of the example's tasks, without waiting."""
    lab.docker(1, "service", "scale", "--detach", f"{SERVICE}={replicas}")


def update(lab: Lab, *args: str) -> None:
    """Update the example's service, without waiting."""
    lab.docker(1, "service", "update", "--detach", "--no-resolve-image", *args, SERVICE)


def assert_clean(done: Load) -> None:
    """Check that the load was there and that every request was answered."""
    print(done.summary())  # noqa: T201
    assert len(done.answers) > 0.5 * done.rate * len(done.urls) * min(done.elapsed, done.limit)
    assert not done.failures, done.summary()


def test_every_edge_answers_from_every_task(two: Lab, edges: Edges) -> None:
    """A service with Interlock's three labels is reached through the edge of any node, on all its tasks."""
    edges.await_tasks(HOST, running(two, SERVICE))


def test_a_host_that_nobody_claims_is_not_found(two: Lab, edges: Edges) -> None:
    """Another host's requests never reach the service."""
    assert [edges.status(node, "other.example.org") for node in two.nodes] == [404, 404, 404]


async def test_scaling_loses_no_request(two: Lab, edges: Edges) -> None:
    """Tasks take traffic once they run and none once they are to stop."""
    async with load(two) as running_load:
        scale(two, 5)
        edges.await_tasks(HOST, settled(two, SERVICE, 5))
        scale(two, 1)
        edges.await_tasks(HOST, settled(two, SERVICE, 1))
    assert_clean(running_load)


async def test_changed_labels_take_effect_and_lose_no_request(two: Lab, edges: Edges) -> None:
    """A second host and another port need neither a new task nor a new edge."""
    before = running(two, SERVICE)
    async with load(two) as running_load:
        update(two, "--label-add", f"com.docker.lb.hosts={HOST},www.example.org")
        edges.await_status("www.example.org", 200)
        update(two, "--label-add", "com.docker.lb.port=8081")
        for node in two.nodes:
            wait_for("port 8081", lambda node=node: edges.seen(node, HOST, key="port") == {"8081"})
        update(two, "--label-add", "com.docker.lb.port=8080", "--label-add", f"com.docker.lb.hosts={HOST}")
        edges.await_status("www.example.org", 404)
        for node in two.nodes:
            wait_for("port 8080", lambda node=node: edges.seen(node, HOST, key="port") == {"8080"})
    assert_clean(running_load)
    assert set(running(two, SERVICE)) == set(before)


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
async def test_a_forced_restart_loses_no_request(two: Lab, edges: Edges, order: str) -> None:
    """Every task is replaced, one after the other, whichever goes first."""
    before = running(two, SERVICE)
    async with load(two) as running_load:
        update(two, "--force", "--update-order", order)
        wait_for("all tasks replaced", lambda: not set(before) & set(running(two, SERVICE)))
        edges.await_tasks(HOST, settled(two, SERVICE, 2))
    assert_clean(running_load)


async def test_a_container_that_dies_is_left_and_its_successor_found(two: Lab, edges: Edges) -> None:
    """A crash costs no request that may be asked again, and the new task is used."""
    container, victim = next(iter(running(two, SERVICE).items()))
    node = next(
        node for node in two.nodes if two.docker(node, "info", "--format", "{{.Swarm.NodeID}}") == victim["NodeID"]
    )
    async with load(two) as running_load:
        two.docker(node, "kill", container)
        wait_for("the swarm's notice", lambda: container not in running(two, SERVICE))
        edges.await_tasks(HOST, settled(two, SERVICE, 2))
    assert_clean(running_load)


def test_a_removed_stack_is_gone(two: Lab, edges: Edges) -> None:
    """After `docker stack rm` its host is nobody's, at every edge."""
    two.docker(1, "stack", "rm", "example")
    edges.await_status(HOST, 404)
    wait_for("the end of its tasks", lambda: not tasks(two, SERVICE))
