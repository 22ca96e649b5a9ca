"""Measure swarm-xds on this machine: `make bench`, or `make bench ARGS="10 100"` for other sizes.

For each number of services: the build from labels to snapshot and its split, the time from a label's change in a (fake)
engine to a real Envoy's answer, and the control plane's memory. Engine and prober share this process; the control
plane and Envoy have one each. Ratios in one run mean more than milliseconds: these machines are noisy.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.app import Application  # noqa: E402 - found by the line above
from support.engine import FakeEngine  # noqa: E402
from support.ports import free_port  # noqa: E402
from swarm_xds.labels import Memory, parse  # noqa: E402
from swarm_xds.memo import Memo  # noqa: E402
from swarm_xds.model import EdgeOptions  # noqa: E402
from swarm_xds.pipeline import Pipeline  # noqa: E402
from swarm_xds.plan import build as plan  # noqa: E402
from swarm_xds.snapshot import snapshot  # noqa: E402
from swarm_xds.swarm import Network, Service, SwarmState, Task  # noqa: E402
from swarm_xds.translate import translate  # noqa: E402

ENVOY = ROOT / ".envoy" / "envoy" / "_bin" / "envoy"
SERVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Build:
    """Milliseconds of one build and of its stages, each the median of several."""

    whole: float
    parse: float
    plan: float
    translate: float
    snapshot: float
    change: float


def state(count: int, *, changed: int = -1) -> SwarmState:
    """Return a swarm of ``count`` services with two tasks each; the label of one of them is another if asked."""
    services = []
    for number in range(count):
        host = f"app{number}.example.org" if number != changed else "changed.example.org"
        labels = {"com.docker.lb.hosts": host, "com.docker.lb.network": "edge", "com.docker.lb.port": "8080"}
        tasks = tuple(
            Task(id=f"t{number}.{index}", addresses=(("n1", f"10.{number // 250}.{number % 250}.{index + 1}"),))
            for index in range(2)
        )
        services.append(
            Service(
                id=f"s{number:05}",
                name=f"app{number}",
                created=number,
                labels=tuple(sorted(labels.items())),
                network_ids=("n1",),
                tasks=tasks,
            )
        )
    return SwarmState(services=tuple(services), networks=(Network(id="n1", name="edge"),))


def measure_build(count: int, rounds: int = 9) -> Build:
    """Measure cold builds stage by stage, and warm ones after one label changed."""
    options, given = EdgeOptions(), state(count)
    parts: dict[str, list[float]] = {name: [] for name in Build.__slots__}
    for _ in range(rounds):
        parts["whole"].append(timed(lambda: Pipeline(options, "default").build(given)))
        parts["parse"].append(timed(lambda: Memory().keep_last_good([parse(each)[0] for each in given.services])))
        intents = [(service, parse(service)[0]) for service in given.services]
        parts["plan"].append(timed(plan, given, intents, "default"))
        (fleet,) = plan(given, intents, "default")[0].fleets
        parts["translate"].append(timed(translate, fleet, options, Memo()))
        parts["snapshot"].append(timed(snapshot, translate(fleet, options, Memo()), Memo()))
    pipeline = Pipeline(options, "default")
    pipeline.build(given)
    known = {service.id: service for service in given.services}
    for number in range(rounds):
        other = state(count, changed=number % count)
        # As a source does: unchanged services are the same objects.
        kept = tuple(known[each.id] if known[each.id] == each else each for each in other.services)
        changed = SwarmState(services=kept, networks=given.networks)
        parts["change"].append(timed(pipeline.build, changed))
    return Build(**{name: statistics.median(values) for name, values in parts.items()})


def timed(work: Callable[..., object], *given: object) -> float:
    """Return how many milliseconds ``work`` takes."""
    started = time.perf_counter()
    work(*given)
    return (time.perf_counter() - started) * 1_000


@contextmanager
def process(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it."""
    with subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()


def measure_serving(count: int, changes: int) -> tuple[list[float], float, float]:
    """Return milliseconds from change to answer, one a change, and the control plane's memory before and after."""
    command = Path(sys.executable).parent / "swarm-xds"
    http_port, xds_port = free_port(), free_port()
    with FakeEngine() as engine, Application() as application, tempfile.TemporaryDirectory() as folder:
        network = engine.add_network("edge", subnet="127.8.0.0/16")

        def labels(host: str) -> dict[str, str]:
            return {"com.docker.lb.hosts": host, "com.docker.lb.port": str(application.port)}

        ids = [
            engine.add_service(f"app{each}", labels=labels(f"app{each}.example.org"), networks=[network], tasks=2)
            for each in range(count)
        ]
        bootstrap = Path(folder) / "bootstrap.yaml"
        made = subprocess.run(
            [str(command), "bootstrap", "--server", f"127.0.0.1:{xds_port}", "--admin-port", str(free_port())],
            capture_output=True,
            check=True,
        )
        bootstrap.write_bytes(made.stdout)
        serve = (
            *(str(command), "serve", "--docker-host", engine.url, "--fleet-networks", "edge"),
            *("--listen", f"127.0.0.1:{xds_port}", "--http-port", str(http_port)),
        )
        envoy = (str(ENVOY), "-c", str(bootstrap), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error")
        with process(*serve) as control_plane, process(*envoy):
            for each in (0, count - 1):
                until_served(http_port, f"app{each}.example.org")
            before = memory(control_plane.pid)
            times = []
            for number in range(changes):
                host = f"changed{number}.example.org"
                started = time.perf_counter()
                engine.update_service(ids[number % count], labels=labels(host))
                until_served(http_port, host)
                times.append((time.perf_counter() - started) * 1_000)
            return times, before, memory(control_plane.pid)


def until_served(port: int, host: str) -> None:
    """Ask Envoy for a host until it answers 200."""
    end = time.monotonic() + SERVE_SECONDS
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        while time.monotonic() < end:
            try:
                connection.request("GET", "/", headers={"host": host})
                response = connection.getresponse()
                response.read()
                if response.status == http.client.OK:
                    return
            except OSError:
                connection.close()
            time.sleep(0.001)
    finally:
        connection.close()
    raise TimeoutError(f"{host} is not served after {SERVE_SECONDS:.0f} s")


def memory(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10, 100, 1000], help="numbers of services")
    parser.add_argument("--changes", type=int, default=100, help="label changes to time for each size")
    given = parser.parse_args()
    console = Console(width=120)
    builds = Table(title="From labels to snapshot, milliseconds (median of 9)")
    for column in ("services", "cold", "parse", "plan", "translate", "snapshot", "one label changed"):
        builds.add_column(column, justify="right")
    for size in given.sizes:
        build = measure_build(size)
        builds.add_row(str(size), *(f"{getattr(build, name):.1f}" for name in Build.__slots__))
    console.print(builds)
    serving = Table(title=f"Label change in the engine to Envoy's answer, milliseconds ({given.changes} changes)")
    for column in ("services", "median", "p99", "max", "control plane MiB", "after the changes"):
        serving.add_column(column, justify="right")
    for size in given.sizes:
        times, before, after = measure_serving(size, given.changes)
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        serving.add_row(
            str(size), *(f"{each:.1f}" for each in (statistics.median(times), p99, max(times), before, after))
        )
    console.print(serving)
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
