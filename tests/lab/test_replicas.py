"""Control planes lose a node, the leader and each other, and get a new version: clients of the edges notice nothing.

Two control planes on three managers. In each test a change is made while something is wrong, and has to arrive.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import FLEET, Edges, edge_url, healed, leader_of, node_of, running, settled
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

EDGE, CONTROL_PLANE = f"{FLEET}_edge", f"{FLEET}_control-plane"
SERVICE, HOST = "replicas", "replicas.example.org"
#: With a task on the node that is cut off.
THERE, HOST_THERE = "replicas-there", "there.example.org"
#: With a task on every node.
SPREAD, HOST_SPREAD = "replicas-spread", "spread.example.org"
RATE = 20
UPDATE = ("service", "update", "--detach", "--no-resolve-image")


@pytest.fixture(scope="module")
def served(fleet: Lab) -> Iterator[Lab]:
    """The lab with a service whose tasks stay away from what is broken."""
    create(fleet, SERVICE, HOST, "--replicas", "2")
    yield fleet
    fleet.docker(1, "service", "rm", SERVICE)


def create(lab: Lab, name: str, host: str, *options: str) -> None:
    """Run the application on the fleet's network."""
    labels = {"com.docker.lb.hosts": host, "com.docker.lb.port": "8080"}
    options += tuple(f"--label={key}={value}" for key, value in labels.items())
    lab.docker(
        1, "service", "create", "--detach", "--no-resolve-image", "--network", FLEET, "--name", name, *options, APP
    )


def stay(lab: Lab, node: int) -> None:
    """Have the service's tasks on one node, and wait until every edge asks just those."""
    others = [f"--constraint-add=node.hostname!=node{other}" for other in lab.nodes if other != node]
    anywhere = f"--constraint-rm=node.hostname!=node{node}"
    lab.docker(1, *UPDATE, *others, anywhere, SERVICE)

    def there() -> bool:
        found = running(lab, SERVICE)
        return len(found) == 2 and {node_of(lab, task) for task in found.values()} == {node}

    wait_for(f"its tasks on node {node}", there)
    with Edges(lab) as edges:
        edges.await_tasks(HOST, settled(lab, SERVICE, 2))


def change(lab: Lab, node: int, host: str) -> None:
    """Have the service answer for one more host; while the managers elect a leader none of them can be told."""
    label = f"--label-add=com.docker.lb.hosts={HOST},{host}"

    def told() -> bool:
        lab.docker(node, *UPDATE, label, SERVICE)
        return True

    wait_for("a manager that can be told", told, interval=0.5)


def arrived(lab: Lab, nodes: Sequence[int], host: str) -> None:
    """Wait until these edges serve what was changed."""
    with Edges(lab, nodes) as edges:
        edges.await_status(host, 200)


def container(lab: Lab, node: int, service: str) -> str:
    """Return the container of a service's task on a node, as its own engine has it."""
    mine = ("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={service}")
    return lab.docker(node, *mine).partition("\n")[0]


@contextmanager
def unnoticed(lab: Lab, nodes: Sequence[int], ask: int) -> Iterator[None]:
    """Load the edges on these nodes: no request may fail, and none of the edges may be replaced."""

    def edges() -> set[str]:
        return {task["ID"] for task in running(lab, EDGE, ask).values() if task["NodeID"] in mine}

    mine = {lab.docker(node, "info", "--format", "{{.Swarm.NodeID}}") for node in nodes}
    before = edges()
    assert len(before) == len(nodes)
    with Load([edge_url(lab, node) for node in nodes], HOST, rate=RATE, limit=280, timeout=30) as load:
        yield
    print(load.summary())  # noqa: T201
    assert len(load.answers) > 0.5 * load.rate * len(nodes) * load.elapsed
    assert not load.failures, load.summary()
    assert edges() == before


def test_a_node_is_cut_off_and_healed(served: Lab) -> None:
    """The others go on, and so does the edge that is alone."""
    leader = leader_of(served)
    hosts = {node_of(served, task) for task in settled(served, CONTROL_PLANE, 2).values()}
    cut = min(hosts - {leader})
    (kept,) = set(served.nodes) - {leader, cut}
    create(served, THERE, HOST_THERE, "--constraint", f"node.hostname==node{cut}")
    stay(served, kept)
    arrived(served, served.nodes, HOST_THERE)
    others = [leader, kept]
    with unnoticed(served, others, ask=kept):
        with served.partition(cut):
            change(served, kept, "cut.example.org")
            arrived(served, others, "cut.example.org")
            edge = container(served, cut, EDGE)
            asked = ("exec", edge, "wget", "-q", "-O", "-", "--header", f"Host: {HOST_THERE}", "http://127.0.0.1/")
            assert '"version"' in served.docker(cut, *asked)
            wait_for("the swarm's notice", lambda: len(away(served, kept, {leader, kept})) == 0)
        healed(served)
        settled(served, CONTROL_PLANE, 2, timeout=120, node=kept)
        settled(served, EDGE, len(served.nodes), timeout=120, node=kept)
    arrived(served, served.nodes, "cut.example.org")
    served.docker(kept, "service", "rm", THERE)


def away(lab: Lab, ask: int, nodes: set[int]) -> list[str]:
    """Return the control planes that run, as the swarm has it, on other nodes."""
    known = {lab.docker(node, "info", "--format", "{{.Swarm.NodeID}}") for node in nodes}
    return [name for name, task in running(lab, CONTROL_PLANE, ask).items() if task["NodeID"] not in known]


def test_the_leader_is_killed(served: Lab) -> None:
    """With its engine, its edge, its tasks and, if there is one, its control plane.

    Until the swarm says that it is gone, a task there may be asked in vain; from then on, none is.
    """
    leader = leader_of(served)
    kept, _ = others = [node for node in served.nodes if node != leader]
    create(served, SPREAD, HOST_SPREAD, "--replicas", "3")
    stay(served, kept)
    gone = {name for name, task in settled(served, SPREAD, 3).items() if node_of(served, task) == leader}
    assert gone
    arrived(served, others, HOST_SPREAD)
    urls = [edge_url(served, node) for node in others]
    with unnoticed(served, others, ask=kept):
        with Load(urls, HOST_SPREAD, rate=RATE, limit=280) as load:
            served.kill(leader)
            try:
                change(served, kept, "leader.example.org")
                arrived(served, others, "leader.example.org")
                wait_for("the swarm's notice", lambda: not gone & set(running(served, SPREAD, kept)))
                wait_for("three tasks", lambda: len(running(served, SPREAD, kept)) == 3)
                now, three = load.elapsed, set(running(served, SPREAD, kept))
                wait_for("an answer of each", lambda: set(load.who("host", since=now)) == three)
            finally:
                served.start(leader)
        assert not [failure for failure in load.failures if failure.at > now], load.summary()
        healed(served)
        settled(served, CONTROL_PLANE, 2, timeout=120, node=kept)
        settled(served, EDGE, len(served.nodes), timeout=120, node=kept)
    arrived(served, served.nodes, "leader.example.org")
    served.docker(kept, "service", "rm", SPREAD)


def test_a_replica_is_killed(served: Lab) -> None:
    """Edges that it served go to the other one."""
    name, task = min(settled(served, CONTROL_PLANE, 2).items())
    with unnoticed(served, served.nodes, ask=1):
        served.docker(node_of(served, task), "kill", name)
        change(served, 1, "killed.example.org")
        arrived(served, served.nodes, "killed.example.org")
        wait_for("its successor", lambda: name not in running(served, CONTROL_PLANE))
        settled(served, CONTROL_PLANE, 2)


def test_an_edge_begins_while_no_manager_answers(served: Lab) -> None:
    """Control planes that begin then, too, serve what was kept on their nodes."""
    with_file = {node_of(served, task) for task in settled(served, CONTROL_PLANE, 2).values()}
    (without,) = set(served.nodes) - with_file
    before = set(running(served, CONTROL_PLANE))
    nobody = (
        "--env-add=DOCKER_HOST=tcp://127.0.0.1:9",
        "--update-delay=0s",
        "--update-monitor=1s",
        "--update-failure-action=pause",
    )
    here = f"--constraint-add=node.hostname!=node{without}"
    served.docker(1, *UPDATE, *nobody, here, CONTROL_PLANE)
    wait_for("new ones", lambda: not before & set(running(served, CONTROL_PLANE)))
    settled(served, CONTROL_PLANE, 2)
    edge = container(served, without, EDGE)
    served.docker(without, "kill", edge)
    wait_for("a new edge", lambda: container(served, without, EDGE) not in {"", edge})
    arrived(served, [without], HOST)
    settled(served, EDGE, len(served.nodes))
    for name, task in running(served, CONTROL_PLANE).items():
        asked = (node_of(served, task), "logs", name)
        wait_for("what was kept", lambda asked=asked: "snapshot.restored" in served.docker(*asked, stderr=True))


def test_a_rolling_update_of_the_control_planes(served: Lab) -> None:
    """One after the other, with the pauses that deploy/stack.yml has; those that had no manager have one again."""
    before = set(settled(served, CONTROL_PLANE, 2))
    anywhere = [f"--constraint-rm=node.hostname!=node{node}" for node in served.nodes]
    shipped = (
        "--env-rm=DOCKER_HOST",
        "--update-delay=5s",
        "--update-monitor=5s",
        "--update-failure-action=rollback",
    )
    with unnoticed(served, served.nodes, ask=1):
        served.docker(1, *UPDATE, "--force", *shipped, *anywhere, CONTROL_PLANE)
        wait_for("one that stops", lambda: not before <= set(running(served, CONTROL_PLANE)))
        change(served, 1, "rolling.example.org")
        arrived(served, served.nodes, "rolling.example.org")
        wait_for("new ones", lambda: not before & set(running(served, CONTROL_PLANE)))
        settled(served, CONTROL_PLANE, 2)
