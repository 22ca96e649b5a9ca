"""What the relay costs, beside the direct path in one run; the figures are printed, never judged by a clock."""

import re
from pathlib import Path
from statistics import median

import pytest

from support.images import EDGE
from support.lab import Lab, run, wait_for
from support.lab_swarm import Edges, edge_url, left, node_of, relays, remove, running, settled

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

STACK = "cost"
ROUNDS, SECONDS = 5, 2


def measure(lab: Lab, host: str) -> tuple[float, float, float]:
    """Ask the edge of node 1 as fast as it answers; return requests a second, and median and 99th percentile in ms."""
    said = run(
        "wrk", "-t1", "-c16", f"-d{SECONDS}s", "--latency", "--timeout", "30s", "-H", f"Host: {host}", edge_url(lab, 1)
    )
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])
    half, most = (_milliseconds(*re.findall(rf"{each}%\s+([\d.]+)(us|ms|s)", said)[0]) for each in (50, 99))
    return rate, half, most


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def test_cost_of_the_relay(fleet: Lab, edges: Edges) -> None:
    """Turn and turn about, so that whatever else the machine does meets both."""
    fleet.deploy(STACK, Path(__file__).parent / "cost.yml", env={"ENVOY_IMAGE": EDGE})
    hosts = ("direct.example.org", "relayed.example.org")
    for host in hosts:
        edges.await_status(host, 200)
    (relay,) = relays(fleet, STACK)
    settled(fleet, relay, 2)
    found: dict[str, list[tuple[float, float, float]]] = {host: [] for host in hosts}
    for _ in range(ROUNDS):
        for host in hosts:
            found[host].append(measure(fleet, host))
    usage = [
        fleet.docker(node_of(fleet, task), "stats", "--no-stream", "--format", "{{.MemUsage}}", name)
        for name, task in running(fleet, relay).items()
    ]
    middle = {host: [median(each) for each in zip(*rounds, strict=True)] for host, rounds in found.items()}
    for host, (rate, half, most) in middle.items():
        print(f"{host}: {rate:.0f} requests/s, median {half:.2f} ms, 99 % {most:.2f} ms")  # noqa: T201
    (direct, half, _), (relayed, other, _) = (middle[host] for host in hosts)
    print(f"relayed: {relayed / direct:.0%} of the rate, {other - half:+.2f} ms; a relay's memory: {usage}")  # noqa: T201
    remove(fleet, STACK)
    wait_for("the end of the stack", lambda: not left(fleet, STACK))
