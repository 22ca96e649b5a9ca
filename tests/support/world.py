"""The whole of it on one machine: a fake engine, the real control plane, a real Envoy and an application.

The tasks' addresses are loopback addresses, so that one listening socket answers for every task.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from support.app import Application
from support.engine import FakeEngine
from support.ports import free_port
from swarm_xds.app import App, Published
from swarm_xds.demo.envoy import Envoy
from swarm_xds.operations import Operations
from swarm_xds.pipeline import Translator
from swarm_xds.settings import Settings
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints
from swarm_xds.translate import BootstrapOptions, translate

HOSTS = "com.docker.lb.hosts"
PORT = "com.docker.lb.port"


@dataclass(slots=True)
class World:
    """A running system."""

    engine: FakeEngine
    network: str
    application: Application
    app: App
    envoy: Envoy
    http_port: int
    metrics: str
    debug: str
    options: BootstrapOptions
    published: list[Published]

    def labels(self, host: str, **more: str) -> dict[str, Any]:
        """Return Interlock's labels for a host, served by the application."""
        return {HOSTS: host, PORT: str(self.application.port), **more}

    def add(self, name: str, host: str, tasks: int = 2) -> str:
        """Create a service for a host and return its id."""
        return self.engine.add_service(name, labels=self.labels(host), networks=[self.network], tasks=tasks)

    async def get(self, client: httpx.AsyncClient, host: str, path: str = "/") -> httpx.Response:
        """Ask Envoy."""
        return await client.get(f"http://127.0.0.1:{self.http_port}{path}", headers={"host": host})

    async def until(self, client: httpx.AsyncClient, host: str, status: int, seconds: float = 10) -> httpx.Response:
        """Ask until Envoy answers with a status."""
        async with asyncio.timeout(seconds):
            while (response := await self.get(client, host)).status_code != status:
                await asyncio.sleep(0.001)
        return response

    def another(self, binary: Path, node: str) -> Envoy:
        """Return a further Envoy of the fleet, on the same ports but for its admin port; it is not started."""
        return Envoy(binary, replace(self.options, node=node, admin_port=free_port()))

    async def stats(self, client: httpx.AsyncClient, pattern: str) -> dict[str, int]:
        """Return Envoy's counters and gauges whose names match a pattern."""
        text = (await client.get(f"{self.envoy.admin}/stats", params={"filter": pattern})).text
        lines = (line.split(": ") for line in text.splitlines())
        return {name: int(value) for name, value in lines if value.isdigit()}


@asynccontextmanager
async def world(
    binary: Path, *, incremental: bool = True, translator: Translator = translate, **more: Any
) -> AsyncIterator[World]:
    """Start everything, with ``more`` settings, and end it, whatever happens in between."""
    http_port = free_port()
    published: list[Published] = []
    with FakeEngine() as engine, Application() as application:
        network = engine.add_network("edge", subnet="127.9.0.0/16")
        metrics_port, debug_port = free_port(), free_port()
        settings = Settings(
            listen="127.0.0.1:0",
            http_port=http_port,
            metrics_listen=f"127.0.0.1:{metrics_port}",
            debug_listen=f"127.0.0.1:{debug_port}",
            **more,
        )
        source = DockerSource(
            find_endpoints([engine.url]),
            fleet_networks=(("default", ("edge",)),),
            timings=Timings(slow=0.3, retry_cap=0.2),
        )
        app = App(settings, source, translator=translator, on_published=published.append)
        port = await app.start()
        operations = Operations(settings, app.record, source, None)
        await operations.start()
        follow = asyncio.create_task(app.follow())
        options = BootstrapOptions(
            node="envoy-1",
            fleet="default",
            host="127.0.0.1",
            port=port,
            admin_port=free_port(),
            incremental=incremental,
        )
        envoy = Envoy(binary, options)
        try:
            await envoy.start()
            metrics = f"http://127.0.0.1:{metrics_port}"
            debug = f"127.0.0.1:{debug_port}"
            yield World(engine, network, application, app, envoy, http_port, metrics, debug, options, published)
        finally:
            await envoy.stop()
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)
            await operations.stop()
            await app.stop()
