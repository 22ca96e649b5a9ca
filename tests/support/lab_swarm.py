"""What the tests ask of a swarm in the lab, and of the edges on its nodes."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import docker
import httpx

from support.lab import Lab, LabError, wait_for
from swarm_xds.swarm.marks import STACK_LABEL

#: Task states that a task never leaves.
ENDED = {"complete", "shutdown", "failed", "rejected", "orphaned", "remove"}

#: The project's own stack.
FLEET = "swarm-xds"
STACK_FILE = Path(__file__).parent.parent.parent / "deploy" / "stack.yml"
#: Stacks to serve: one on the fleet's own network, one with a network of its own.
EXAMPLE = STACK_FILE.with_name("example.yml")
ARTICLE = Path(__file__).parent.parent / "lab" / "article.yml"

Task = dict[str, Any]


def tasks(lab: Lab, service: str, node: int = 1) -> list[Task]:
    """Return a service's tasks as the engine's API has them, also such as have ended; none if there is no service.

    While the managers elect a leader nobody can say; that is waited for.
    """

    def ask() -> list[list[Task]]:
        with _client(lab, node) as client:
            return [client.tasks(filters={"service": service}) if client.services(filters={"name": service}) else []]

    return wait_for(f"an answer for the tasks of {service}", ask, timeout=60)[0]


def healed(lab: Lab) -> None:
    """Wait until every node is ready in the eyes of every manager, who have one leader."""
    states = ["Ready"] * len(lab.nodes)
    for node in lab.up_nodes:

        def ready(node: int = node) -> bool:
            said = lab.docker(
                node, "node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}", check=False
            ).splitlines()
            return [line.split(" ")[0] for line in said] == states and sum("Leader" in line for line in said) == 1

        wait_for(f"a swarm that is whole, as node {node} sees it", ready, timeout=120)


def running(lab: Lab, service: str, node: int = 1) -> dict[str, Task]:
    """Return the tasks that take traffic, by the name of their container: its own host name."""
    return {
        task["Status"]["ContainerStatus"]["ContainerID"][:12]: task
        for task in tasks(lab, service, node)
        if task["Status"]["State"] == "running" and task["DesiredState"] == "running"
    }


def settled(lab: Lab, service: str, replicas: int, timeout: float = 120, node: int = 1) -> dict[str, Task]:
    """Wait until just so many tasks run, every other has ended, and no update is under way; return those that run."""

    def check() -> dict[str, Task] | None:
        alive = [task for task in tasks(lab, service, node) if task["Status"]["State"] not in ENDED]
        update = lab.docker(node, "service", "inspect", "--format", "{{json .UpdateStatus}}", service, check=False)
        found = running(lab, service, node)
        return found if len(found) == len(alive) == replicas and '"updating"' not in update else None

    try:
        return wait_for(f"{replicas} running tasks of {service}", check, timeout, interval=0.2)
    except LabError as error:
        raise LabError(f"{error}\n{lab.docker(node, 'service', 'ps', '--no-trunc', service, check=False)}") from None


def remove(lab: Lab, *stacks: str, node: int = 1) -> None:
    """Remove stacks with one command, which must succeed without a word of complaint."""
    done = _remove(lab, *stacks, node=node)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}{done.stderr}"


def remove_early(lab: Lab, stack: str) -> None:
    """Remove a stack that has just been deployed; nothing of ours may be in the way.

    While a stack's own tasks are only being made, a swarm without any proxy may refuse it (docs/adr/009): that is no
    failure of ours if one more command succeeds when they have ended, and it is printed.
    """
    done = _remove(lab, stack)
    tasks = re.findall(r"is in use by task (\w{25})", done.stderr)
    if len(tasks) == done.stderr.count("Failed to remove") > 0 and not any(_is_ours(lab, done, task) for task in tasks):
        print(f"refused by the swarm alone: {done.stderr}")  # noqa: T201
        wait_for("the end of its tasks", lambda: not [each for each in left(lab, stack) if each.startswith("task ")])
        done = _remove(lab, stack)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}{done.stderr}"


def _is_ours(lab: Lab, removal: subprocess.CompletedProcess[str], task: str) -> bool:
    """Return whether a task might be a relay's: it is not where there was none, nor where it runs something else."""
    if FLEET not in removal.stdout:
        return False
    with _client(lab) as client, suppress(docker.errors.NotFound):
        image: str = client.inspect_task(task)["Spec"]["ContainerSpec"]["Image"]
        return "edge" in image
    return True


def _remove(lab: Lab, *stacks: str, node: int = 1) -> subprocess.CompletedProcess[str]:
    command = ["docker", "-H", f"unix://{lab.socket(node)}", "stack", "rm", *stacks]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * len(stacks), check=False)


def left(lab: Lab, stack: str, node: int = 1) -> list[str]:
    """Return what is left of a stack, in the swarm and on any node: its objects, its tasks, a node's own network.

    A node makes a network for a task, and may do so after the command that removed both. Whoever deploys the stack anew
    in that moment fails, with or without a proxy: the command takes the node's network for the swarm's.
    """
    own = {"label": f"{STACK_LABEL}={stack}"}
    with _client(lab, node) as client:
        listed = {
            "service": [each["Spec"]["Name"] for each in client.services(filters=own)],
            "config": [each["Spec"]["Name"] for each in client.configs(filters=own)],
            "secret": [each["Spec"]["Name"] for each in client.secrets(filters=own)],
            "task": [each["ID"] for each in client.tasks(filters=own)],
        }
    for each in lab.up_nodes:
        with _client(lab, each) as client:
            listed[f"network, on node {each},"] = [network["Name"] for network in client.networks(filters=own)]
    return [f"{kind} {name}" for kind, names in listed.items() for name in names]


def _client(lab: Lab, node: int = 1) -> closing[docker.APIClient]:
    return closing(docker.APIClient(f"unix://{lab.socket(node)}", version="1.41", timeout=30))


def clear(lab: Lab) -> None:
    """Remove every stack and service but the project's own, and wait for their end."""
    stacks: set[str] = set()

    def gone() -> bool:
        with _client(lab) as client:
            kinds = [client.services(), client.configs(), client.secrets()]
            labels = [each["Spec"]["Labels"] for kind in kinds for each in kind]
            labels += [each["Labels"] or {} for each in client.networks()]
            alone = [each["ID"] for each in kinds[0] if STACK_LABEL not in each["Spec"]["Labels"]]
        stacks.update({each.get(STACK_LABEL, FLEET) for each in labels} - {FLEET})
        if alone:
            lab.docker(1, "service", "rm", *alone, check=False)
        if stacks:
            lab.docker(1, "stack", "rm", *sorted(stacks), check=False)
        return not alone and not any(left(lab, stack) for stack in stacks)

    wait_for("the end of all stacks but the own", gone, interval=1)


def relays(lab: Lab, stack: str = "") -> list[str]:
    """Return the names of the relays in a stack, or of all."""
    of_stack = ["--filter", f"label={STACK_LABEL}={stack}"] if stack else []
    mine = ("service", "ls", "--filter", "label=swarm-xds.relay", *of_stack, "--format", "{{.Name}}")
    return sorted(lab.docker(1, *mine).split())


def node_of(lab: Lab, task: Task) -> int:
    """Return the number of the node that a task runs on."""
    known = {lab.docker(node, "info", "--format", "{{.Swarm.NodeID}}"): node for node in lab.up_nodes}
    return known[task["NodeID"]]


def leader_of(lab: Lab) -> int:
    """Return the number of the node whose manager leads."""
    form = "{{if .ManagerStatus}}{{.ManagerStatus.Leader}}{{end}}"
    return next(
        node for node in lab.up_nodes if "true" in lab.docker(node, "node", "inspect", "self", "--format", form)
    )


def edge_url(lab: Lab, node: int, path: str = "/") -> str:
    """Return the address of the edge on a node."""
    return f"http://{lab.address(node)}{path}"


class Edges:
    """A client of the edges, of all or of those on some nodes, with one kept connection to each."""

    def __init__(self, lab: Lab, nodes: Sequence[int] = ()) -> None:
        self.lab = lab
        self.nodes = nodes or lab.nodes
        self.client = httpx.Client(timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, node: int, host: str, path: str = "/") -> httpx.Response:
        """Ask the edge on a node for a host's page."""
        return self.client.get(edge_url(self.lab, node, path), headers={"host": host})

    def status(self, node: int, host: str) -> int:
        """Return an answer's status; 0 if there was none."""
        try:
            return self.get(node, host).status_code
        except httpx.HTTPError:
            return 0

    def seen(self, node: int, host: str, requests: int = 20, key: str = "host") -> set[str]:
        """Return who answered a few requests in a row: ``key`` of the application's answers."""
        answers = [self.get(node, host) for _ in range(requests)]
        return {str(answer.json()[key]) if answer.is_success else f"{answer.status_code}" for answer in answers}

    def await_tasks(
        self, host: str, expected: Mapping[str, object] | Callable[[], Mapping[str, object]], timeout: float = 120
    ) -> float:
        """Wait until every edge answers from these tasks and no other; return how long it took.

        Which they are is asked again and again if the swarm may yet change its mind about it.
        """
        start = time.monotonic()
        for node in self.nodes:
            wanted: set[str] = set()
            seen: set[str] = set()

            def check(node: int = node) -> bool:
                nonlocal wanted, seen
                wanted = set(expected() if callable(expected) else expected)
                try:
                    seen = self.seen(node, host, requests=6 * max(1, len(wanted)))
                except httpx.TransportError as error:
                    seen = {f"nobody: {error}"}
                return seen == wanted

            try:
                wait_for(f"answers for {host}", check, timeout)
            except LabError as error:
                raise LabError(
                    f"edge {node}: {error}; wanted {sorted(wanted)}, answers came from {sorted(seen)}"
                ) from None
        return time.monotonic() - start

    def await_status(self, host: str, status: int, timeout: float = 120) -> None:
        """Wait until every edge answers with a status."""
        for node in self.nodes:
            wait_for(
                f"{status} for {host} from edge {node}", lambda node=node: self.status(node, host) == status, timeout
            )


def await_fleet(lab: Lab) -> None:
    """Wait until the project's own stack runs, and an edge takes traffic on every node."""
    settled(lab, f"{FLEET}_control-plane", 2)
    settled(lab, f"{FLEET}_edge", len(lab.nodes))
    with Edges(lab) as edges:
        edges.await_status("nobody.example.org", 404)


def admin(lab: Lab, node: int, path: str, service: str = f"{FLEET}_edge") -> str:
    """Return a page of the admin interface of the edge on a node."""
    mine = ("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={service}")
    container = lab.docker(node, *mine, check=False).partition("\n")[0]
    page = f"http://127.0.0.1:9901/{path}"
    return lab.docker(node, "exec", container, "wget", "-q", "-O", "-", page, check=False, stderr=True)


def report(lab: Lab) -> str:
    """Return what helps to see why a test failed: nodes, tasks, and the ends of all logs."""
    parts = [lab.docker(1, kind, "ls", check=False, timeout=20) for kind in ("node", "service", "network")]
    for service in lab.docker(1, "service", "ls", "--format", "{{.Name}}", check=False, timeout=20).split():
        parts += [
            f"--- {service}",
            lab.docker(1, "service", "ps", "--no-trunc", service, check=False, timeout=20),
            _logs(lab, service),
        ]
    parts += [f"--- edge of node {node}\n{admin(lab, node, 'clusters')}" for node in lab.nodes]
    parts += [f"--- engine of node {node}\n{lab.log(node, lines=8)}" for node in lab.nodes]
    return "\n".join(parts)


def _logs(lab: Lab, service: str) -> str:
    """Return the ends of the logs of a service's containers, also of ended ones; each node's engine has its own."""
    parts = []
    for node in lab.nodes:
        mine = ("ps", "-a", "--filter", f"label=com.docker.swarm.service.name={service}", "--format", "{{.ID}}")
        for container in lab.docker(node, *mine, check=False, timeout=20).split()[:4]:
            text = lab.docker(node, "logs", "--tail", "40", container, check=False, timeout=20, stderr=True)
            parts.append(f"[node {node}, container {container}]\n{text}")
    return "\n".join(parts)
