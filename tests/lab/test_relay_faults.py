"""What happens to relays in bad times: each ends in the state that the plan asks for, without help."""

import subprocess
from collections.abc import Iterator

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import (
    ARTICLE,
    FLEET,
    Edges,
    Task,
    edge_url,
    healed,
    leader_of,
    left,
    node_of,
    relays,
    remove,
    running,
    settled,
)
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

CONFIG = "{{(index .Spec.TaskTemplate.ContainerSpec.Configs 0).ConfigName}}"
STACK, HOST = "faulty", "faulty.example.org"


@pytest.fixture
def relayed(fleet: Lab, client: Edges) -> Iterator[Lab]:
    """The lab with a stack that is reached through relays; it goes at the first try, whatever the test did."""
    fleet.deploy(STACK, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": HOST})
    client.await_tasks(HOST, settled(fleet, f"{STACK}_demo", 2))
    (relay,) = relays(fleet, STACK)
    settled(fleet, relay, 2)
    yield fleet
    remove(fleet, STACK)
    for node in fleet.nodes:
        # The next test deploys it by another manager, where its network may be seen for longer: it would be used again.
        wait_for(f"the end of the stack on node {node}", lambda node=node: not left(fleet, STACK, node))


def test_a_relay_that_is_removed_by_hand_comes_back(relayed: Lab, edges: Edges) -> None:
    """The plan still asks for it."""
    (relay,) = relays(relayed, STACK)
    before = running(relayed, relay)
    relayed.docker(1, "service", "rm", relay)
    wait_for("other tasks of it", lambda: running(relayed, relay).keys() - before)
    settled(relayed, relay, 2)
    edges.await_status(HOST, 200)
    assert relays(relayed, STACK) == [relay]


def test_a_config_and_a_network_that_are_removed_by_hand(relayed: Lab, edges: Edges) -> None:
    """What a relay uses the swarm keeps; what is left when all was removed goes by itself, and comes back whole."""
    (relay,) = relays(relayed, STACK)
    config = relayed.docker(1, "service", "inspect", "--format", CONFIG, relay)
    network = f"{STACK}_demo-network"
    for kind, name in (("config", config), ("network", network)):
        with pytest.raises(Exception, match="in use"):
            relayed.docker(1, kind, "rm", name)
    relayed.docker(1, "service", "rm", f"{STACK}_demo", relay)
    wait_for("the network's end", lambda: not removed_by_hand(relayed, network) or None, interval=0.5)
    wait_for("the end of all of it", lambda: not left(relayed, STACK))
    relayed.deploy(STACK, ARTICLE, env={"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": HOST})
    edges.await_tasks(HOST, settled(relayed, f"{STACK}_demo", 2))


def removed_by_hand(lab: Lab, network: str) -> bool:
    """Try to remove a network; return whether it is still there."""
    lab.docker(1, "network", "rm", network, check=False)
    return network in lab.docker(1, "network", "ls", "--format", "{{.Name}}").split()


async def test_a_relay_that_dies_costs_nothing_that_may_be_asked_again(relayed: Lab, edges: Edges) -> None:
    """Its endpoints go through the other one until the swarm has replaced it."""
    (relay,) = relays(relayed, STACK)
    before = running(relayed, relay)
    victim, task = next(iter(before.items()))
    async with Load([edge_url(relayed, node) for node in relayed.nodes], HOST, rate=20) as load:
        relayed.docker(node_of(relayed, task), "kill", victim)
        wait_for("the swarm's notice", lambda: victim not in running(relayed, relay))
        settled(relayed, relay, 2)
        edges.await_tasks(HOST, running(relayed, f"{STACK}_demo"))
    print(load.summary())  # noqa: T201
    assert not load.failures, load.summary()


async def test_a_node_that_is_cut_off_and_healed(relayed: Lab, client: Edges) -> None:
    """Relay and tasks that stood there are left for others; when the node is back everything is as it should be."""
    (relay,) = relays(relayed, STACK)
    cut = max(node_of(relayed, task) for task in running(relayed, relay).values())
    kept = [node for node in relayed.nodes if node != cut]

    def elsewhere(service: str) -> dict[str, Task]:
        """Return the service's tasks once there are two, none of them on the lost node; nothing before."""
        found = running(relayed, service, kept[0])
        return found if len(found) == 2 and all(task["NodeID"] != lost for task in found.values()) else {}

    lost = relayed.docker(cut, "info", "--format", "{{.Swarm.NodeID}}")
    async with Load([edge_url(relayed, node) for node in kept], HOST, rate=10) as load:
        with Edges(relayed, kept) as edges, relayed.partition(cut):
            for service in (relay, f"{STACK}_demo"):
                wait_for(f"{service} elsewhere", lambda service=service: elsewhere(service))
            edges.await_tasks(HOST, lambda: elsewhere(f"{STACK}_demo"))
            since = load.elapsed
            edges.await_tasks(HOST, lambda: elsewhere(f"{STACK}_demo"))
        healed(relayed)
        settled(relayed, relay, 2)
        settled(relayed, f"{STACK}_demo", 2)
        settled(relayed, f"{FLEET}_control-plane", 2)
    print(load.summary())  # noqa: T201
    # Until the swarm says that the node is gone, a task there may be asked in vain; from then on, none is.
    assert not [failure for failure in load.failures if failure.at > since], load.summary()
    client.await_tasks(HOST, running(relayed, f"{STACK}_demo"))


def test_the_leader_dies_during_a_removal(fleet: Lab, client: Edges) -> None:
    """Whatever the command comes to, what is left of the stack goes with a second one, and it can be deployed again."""
    leader = leader_of(fleet)
    other = next(node for node in fleet.nodes if node != leader)
    env = {"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": HOST}
    fleet.deploy(STACK, ARTICLE, env=env, node=other)
    client.await_tasks(HOST, settled(fleet, f"{STACK}_demo", 2, node=other))
    command = ["docker", "-H", f"unix://{fleet.socket(other)}", "stack", "rm", STACK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as removal:
        assert removal.stdout is not None
        removal.stdout.readline()
        fleet.kill(leader)
        said, status = removal.stdout.read(), removal.wait(120)
    print(f"status {status}: {said}")  # noqa: T201
    try:
        wait_for("no service", lambda: gone_at_last(fleet, other), interval=1)
    finally:
        fleet.start(leader)
        healed(fleet)
    for node in fleet.nodes:
        settled(fleet, f"{FLEET}_edge", len(fleet.nodes), node=node)
    wait_for("the end of the stack", lambda: not left(fleet, STACK, other))
    fleet.deploy(STACK, ARTICLE, env=env, node=other)
    client.await_tasks(HOST, settled(fleet, f"{STACK}_demo", 2))
    remove(fleet, STACK)
    wait_for("the end of the stack", lambda: not left(fleet, STACK))


def gone_at_last(lab: Lab, node: int) -> bool:
    """Remove what is left of the stack; return whether nothing is, but for tasks of the node that is not there."""
    lab.docker(node, "stack", "rm", STACK, check=False)
    return not [each for each in left(lab, STACK, node) if not each.startswith("task ")]
