"""Measure what a large fleet costs: `make bench`, or by itself with other numbers (`--help`).

First 1,000 incremental streams and 1,000 services: the control plane's memory and CPU, idle and at ten changes a second
or as many as it can, and the time from a change to the answer of the last client. Then a day of changes (one every ten
seconds) one after the other, with four streams: memory at its quarters. The clients have processes of their own. CPU
means more than milliseconds: these machines are noisy.
"""

import argparse
import asyncio
import contextlib
import os
import random
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from run import state  # noqa: E402 - found by the line above

from swarm_xds.app import App  # noqa: E402
from swarm_xds.log import configure  # noqa: E402
from swarm_xds.server import Limits  # noqa: E402
from swarm_xds.settings import Settings  # noqa: E402
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE  # noqa: E402
from swarm_xds.sources import Reading  # noqa: E402
from swarm_xds.swarm import Service, SwarmState, Task  # noqa: E402

#: One address has all the clients here.
LIMITS = Limits(streams=10_000, streams_per_client=10_000)
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
CLIENTS = 4
PATIENCE = 300.0


class Swarm:
    """A source whose services change as they are told to."""

    read_at: float | None = None

    def __init__(self, count: int) -> None:
        self.services = {service.id: service for service in state(count).services}
        self._networks = state(0).networks
        self._count = count
        self._changed = asyncio.Event()

    def change(self, number: int, kind: str) -> None:
        """Give a service new tasks, or another host."""
        identifier = f"s{number % self._count:05}"
        service = self.services[identifier]
        if kind == "tasks":
            address = f"10.200.{number // 250 % 250}.{number % 250 + 1}"
            tasks = (Task(id=f"n{number}", addresses=(("n1", address),)), *service.tasks[:1])
            self._put(service, tasks=tasks)
        else:
            labels = dict(service.labels) | {"com.docker.lb.hosts": f"changed{number}.example.org"}
            self._put(service, labels=tuple(sorted(labels.items())))
        self._changed.set()

    def _put(self, service: Service, **changes: object) -> None:
        fields = {name: getattr(service, name) for name in Service.__slots__} | changes
        self.services[service.id] = Service(**fields)

    async def readings(self) -> AsyncIterator[Reading]:
        """Yield the state at first and after each change."""
        while True:
            services = tuple(self.services[i] for i in sorted(self.services))
            yield Reading(state=SwarmState(services=services, networks=self._networks), cause="bench")
            await self._changed.wait()
            self._changed.clear()


class Client:
    """An incremental client that takes everything and remembers only names."""

    def __init__(self, port: int, number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
        self._number = number

    async def run(self) -> None:
        """Ask for everything and accept it, until the server ends."""
        stream = self._channel.stream_stream(METHOD)()
        node = {"id": f"n{self._number}", "cluster": "default"}
        request = discovery_pb2.DeltaDiscoveryRequest
        await stream.write(request(node=node, type_url=CLUSTER).SerializeToString())
        await stream.write(request(type_url=LISTENER).SerializeToString())
        asked: set[str] = set()
        while isinstance(data := await stream.read(), bytes):
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            answer = request(type_url=response.type_url, response_nonce=response.nonce)
            await stream.write(answer.SerializeToString())
            if response.type_url == CLUSTER and (new := {each.name for each in response.resources} - asked):
                asked |= new
                await stream.write(request(type_url=ENDPOINT, resource_names_subscribe=sorted(new)).SerializeToString())
            elif response.type_url == LISTENER:
                # The names of the tables are those of the listeners.
                names = sorted(each.name for each in response.resources)
                await stream.write(request(type_url=ROUTE, resource_names_subscribe=names).SerializeToString())

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()


async def clients(port: int, first: int, count: int) -> None:
    """Run clients until their parent ends them."""
    made = [Client(port, number) for number in range(first, first + count)]

    async def one(client: Client) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await client.run()

    tasks = []
    for client in made:
        tasks.append(asyncio.create_task(one(client)))
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def running(swarm: Swarm, streams: int) -> AsyncIterator[App]:
    """Run a control plane here and clients elsewhere, and wait until they have everything."""
    app = App(Settings(listen="127.0.0.1:0", manage_networks=False, log_level="error"), swarm, limits=LIMITS)
    port = await app.start()
    follow = asyncio.create_task(app.follow())
    share = -(-streams // CLIENTS)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, __file__, "clients", str(port), str(first), str(min(share, streams - first))
        )
        for first in range(0, streams, share)
    ]
    try:
        await settled(app, streams)
        yield app
    finally:
        for process in processes:
            process.kill()
        await asyncio.gather(*(process.wait() for process in processes))
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)
        await app.stop()


async def settled(app: App, streams: int) -> None:
    """Wait until every client has answered what was published last."""
    async with asyncio.timeout(PATIENCE):
        await app.publisher.answered(streams=streams)


def memory() -> float:
    """Return this process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024 / 1024


async def measure_fleet(console: Console, services: int, streams: int, seconds: float) -> None:
    """Print what a fleet costs."""
    swarm = Swarm(services)
    table = Table(title=f"{streams} incremental streams, {services} services")
    for column in ("", "changes", "CPU", "CPU ms each", "MiB", "last answer, ms: median", "worst"):
        table.add_column(column, justify="right")
    empty = memory()
    began, spent = time.perf_counter(), time.process_time()
    async with running(swarm, streams) as app:
        table.add_row("first", "1", *_cells(began, spent, [(time.perf_counter() - began) * 1_000]))
        began, spent = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds / 2)
        table.add_row("idle", "0", *_cells(began, spent, []))
        for kind in ("tasks", "host"):
            times, number = [], 0
            began, spent = time.perf_counter(), time.process_time()
            while (elapsed := time.perf_counter() - began) < seconds:
                due = number / 10
                if elapsed < due:
                    await asyncio.sleep(due - elapsed)
                at = time.perf_counter()
                swarm.change(number, kind)
                await asyncio.sleep(0)
                before = app.publisher.latest
                while app.publisher.latest is before:
                    await asyncio.sleep(0.001)
                await settled(app, streams)
                times.append((time.perf_counter() - at) * 1_000)
                number += 1
            table.add_row(f"{kind}, 10/s at most", str(number), *_cells(began, spent, times))
    console.print(table)
    console.print(f"{empty:.0f} MiB before; {os.cpu_count()} cores, Python {sys.version.split()[0]}")


def _cells(began: float, spent: float, times: list[float]) -> tuple[str, ...]:
    """Return CPU, CPU for each change, memory, and the median and the longest of the times."""
    cpu = time.process_time() - spent
    shown = [f"{cpu / (time.perf_counter() - began):.1%}", f"{cpu * 1_000 / max(1, len(times)):.0f}", f"{memory():.0f}"]
    ordered = sorted(times)
    return (*shown, *(f"{each:.0f}" for each in (ordered[len(ordered) // 2 :][:1] + ordered[-1:])))


async def measure_day(console: Console, services: int, changes: int) -> None:
    """Print the memory at the quarters of a day."""
    swarm, chance = Swarm(services), random.Random(1)
    console.print(f"{changes} changes of {services} services over {CLIENTS} streams")
    async with running(swarm, CLIENTS) as app:
        for number in range(changes):
            if number % (changes // 4) == 0:
                console.print(f"after {number:5}: {memory():.0f} MiB")
            before = app.publisher.latest
            swarm.change(chance.randrange(1_000_000), chance.choice(("tasks", "host")))
            while app.publisher.latest is before:
                await asyncio.sleep(0)
            await settled(app, CLIENTS)
        console.print(f"after {changes:5}: {memory():.0f} MiB")


def main() -> None:
    """Measure and print; with ``clients`` be a part of the fleet."""
    if sys.argv[1:2] == ["clients"]:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(clients(*map(int, sys.argv[2:5])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1_000)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each of the measurements")
    parser.add_argument("--day", type=int, default=8_640, help="changes of a day; 0: none")
    given = parser.parse_args()
    configure("error", "console")
    console = Console(width=120)
    asyncio.run(measure_fleet(console, given.services, given.streams, given.seconds))
    if given.day:
        asyncio.run(measure_day(console, 200, given.day))


if __name__ == "__main__":
    main()
