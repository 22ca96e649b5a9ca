"""A relay leads nowhere but from the fleet into its own network: tried from real tasks on both sides of it."""

import json
from collections.abc import Iterator
from contextlib import closing

import docker
import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import ARTICLE, FLEET, Edges, left, node_of, relays, remove, running, settled

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

HOST = "hole.example.org"
OUTSIDER = "outsider"
#: Ask for each target through each relay; print the status of the answer, or that there was none.
ASK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def ask(relay, target):
    try:
        with socket.create_connection((relay, 15001), float(sys.argv[3])) as line:
            line.sendall(f"CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n".encode())
            return line.recv(100).decode("latin-1").partition("\\r\\n")[0].split(" ")[1:2] or ["closed"]
    except OSError as error:
        return [type(error).__name__]
asked = [(relay, target) for relay in sys.argv[1].split() for target in sys.argv[2].split()]
with ThreadPoolExecutor(8) as hands:
    print(json.dumps([[*pair, *answer] for pair, answer in zip(asked, hands.map(lambda pair: ask(*pair), asked))]))
"""


@pytest.fixture(scope="module")
def two(fleet: Lab) -> Iterator[Lab]:
    """The lab with two stacks, each with a network and relays of its own, and a service beside the fleet."""
    for stack in ("hole", "other"):
        env = {"EXAMPLE_IMAGE": APP, "ARTICLE_HOST": f"{stack}.example.org"}
        fleet.deploy(stack, ARTICLE, env=env)
    fleet.docker(1, "service", "create", "--detach", "--no-resolve-image", "--network", FLEET, "--name", OUTSIDER, APP)
    with Edges(fleet) as edges:
        for stack in ("hole", "other"):
            edges.await_tasks(f"{stack}.example.org", settled(fleet, f"{stack}_demo", 2))
            settled(fleet, relays(fleet, stack)[0], 2)
    settled(fleet, OUTSIDER, 1)
    yield fleet
    fleet.docker(1, "service", "rm", OUTSIDER)
    remove(fleet, "hole", "other")
    for stack in ("hole", "other"):
        wait_for(f"the end of {stack}", lambda stack=stack: not left(fleet, stack))


def addresses(lab: Lab, service: str, network: str) -> list[str]:
    """Return the addresses of a service's running tasks on a network."""
    return sorted(
        address.partition("/")[0]
        for task in running(lab, service).values()
        for attachment in task["NetworksAttachments"]
        if attachment["Network"]["Spec"]["Name"] == network
        for address in attachment["Addresses"]
    )


def ask(
    lab: Lab, service: str, through: list[str], targets: list[str], seconds: float = 30
) -> dict[tuple[str, str], str]:
    """Return what a task of a service is answered by each relay for each target, in so many seconds."""
    container, task = next(iter(running(lab, service).items()))
    program = ["python3", "-Sc", ASK, " ".join(through), " ".join(targets), str(seconds)]
    said = lab.docker(node_of(lab, task), "exec", container, *program, timeout=300)
    return {(relay, target): answer for relay, target, answer in json.loads(said)}


def refusals(lab: Lab, service: str) -> int:
    """Return how many requests the relays have refused, by their own count."""
    total = 0
    for container, task in running(lab, service).items():
        page = "http://127.0.0.1:9901/stats?filter=http.relay.downstream_rq_4xx"
        said = lab.docker(node_of(lab, task), "exec", container, "wget", "-q", "-O", "-", page)
        total += int(said.rpartition(" ")[2])
    return total


def test_from_the_fleets_network(two: Lab) -> None:
    """Whoever stands there gets through to the relay's own network, and nowhere else; refusals are counted."""
    (relay,) = relays(two, "hole")
    through = addresses(two, relay, FLEET)
    own = addresses(two, "hole_demo", "hole_demo-network")
    elsewhere = [
        *(f"{address}:8080" for address in addresses(two, "other_demo", "other_demo-network")),
        *(f"{address}:80" for address in addresses(two, f"{FLEET}_edge", FLEET)),
        *(f"{address}:15001" for address in through),
        *(f"{two.address(node)}:2377" for node in two.nodes),
        "127.0.0.1:9901",
        "0.0.0.0:9901",
        "localhost:9901",
        "[::1]:9901",
        "[::ffff:127.0.0.1]:9901",
        "2130706433:9901",
        "0x7f000001:9901",
        "169.254.169.254:80",
        "172.18.0.1:2375",
        "hole_demo:8080",
        "tasks.hole_demo:8080",
        f"{own[0]}",
        f"{own[0]}:0",
        f"{own[0]}:8080@127.0.0.1:9901",
        f"{own[0]}.:8080",
        f"0{own[0]}:8080",
    ]
    before = refusals(two, relay)
    answers = ask(two, OUTSIDER, through, elsewhere)
    assert len(answers) == len(through) * len(elsewhere)
    assert set(answers.values()) <= {"403", "400", "404"}, answers
    assert refusals(two, relay) - before >= len(answers)
    assert set(ask(two, OUTSIDER, through, [f"{address}:8080" for address in own]).values()) == {"200"}


def test_from_the_stacks_network(two: Lab) -> None:
    """A task cannot leave its network through the relay, at either of the relay's addresses."""
    (relay,) = relays(two, "hole")
    inside, outside = addresses(two, relay, "hole_demo-network"), addresses(two, relay, FLEET)
    targets = [
        *(f"{address}:80" for address in addresses(two, f"{FLEET}_edge", FLEET)),
        *(f"{address}:8080" for address in addresses(two, "other_demo", "other_demo-network")),
        *(f"{address}:8080" for address in addresses(two, "hole_demo", "hole_demo-network")),
        "127.0.0.1:9901",
    ]
    answers = ask(two, "hole_demo", [*inside, *outside], targets, seconds=5)
    assert len(answers) == 4 * len(targets)
    assert not [answer for answer in answers.values() if answer.isdigit()], answers


def test_the_relays_stand_where_they_should(two: Lab) -> None:
    """On the stack's network and the fleet's, with no port of a node and no right that it does not need."""
    (relay,) = relays(two, "hole")
    with closing(docker.APIClient(f"unix://{two.socket(1)}", version="1.41", timeout=30)) as client:
        spec = client.inspect_service(relay)["Spec"]
        names = {each["Id"]: each["Name"] for each in client.networks()}
    assert {names[each["Target"]] for each in spec["TaskTemplate"]["Networks"]} == {FLEET, "hole_demo-network"}
    assert not spec["EndpointSpec"].get("Ports")
    assert spec["TaskTemplate"]["ContainerSpec"]["CapabilityDrop"] == ["ALL"]
