"""The whole of it with certificates: a stack file, a directory of certificates, the control plane and a real Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.certificates import Issued
from support.plain import PLAIN
from support.ports import free_port
from support.tls_client import Client
from swarm_xds.app import App, Published
from swarm_xds.certs.acme.options import AcmeOptions
from swarm_xds.certs.acme.source import AcmeSource
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.obtain import ObtainingSource
from swarm_xds.demo.envoy import Envoy
from swarm_xds.pipeline import Translator
from swarm_xds.settings import Settings
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.translate import BootstrapOptions, translate

#: Name of the file with Envoy's standard output.
OUTPUT = "envoy.out"


@dataclass(slots=True)
class TlsWorld:
    """A running system; write to ``certs`` and ``stack`` to change it."""

    folder: Path
    ca: Issued
    app: App
    envoy: Envoy
    settings: Settings
    published: list[Published] = field(default_factory=list)

    @property
    def stack(self) -> Path:
        """The stack file."""
        return self.folder / "stack.yml"

    @property
    def certs(self) -> Path:
        """The directory of certificates."""
        return self.folder / "certs"

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """Return what Envoy has written, once that is this many lines."""
        async with asyncio.timeout(20):
            while (written := (self.folder / OUTPUT).read_text(encoding="utf-8")).count("\n") < count:
                await asyncio.sleep(0.02)
        return [json.loads(line) for line in written.splitlines()]

    def client(self, certificate: Issued | None = None) -> Client:
        """Return a client that trusts the authority of this world."""
        return Client(self.settings.https_port, self.ca, self.folder, certificate)

    async def change(self, change: Callable[[], object]) -> Published:
        """Change files, and wait until what they lead to is published and Envoy has answered all of it."""
        before = len(self.published)
        change()
        async with asyncio.timeout(10):
            while len(self.published) == before or not self.published[-1].changed:
                await asyncio.sleep(0.005)
        await self.app.publisher.answered()
        return self.published[-1]

    async def stats(self, pattern: str) -> dict[str, int]:
        """Return Envoy's counters and gauges whose names match a pattern."""
        async with httpx.AsyncClient(verify=PLAIN) as client:
            text = (await client.get(f"{self.envoy.admin}/stats", params={"filter": pattern})).text
        lines = (line.split(": ") for line in text.splitlines())
        return {name: int(value) for name, value in lines if value.isdigit()}


def write(path: Path, content: bytes) -> None:
    """Put a file in its place at once, as certificate tools do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    part.write_bytes(content)
    part.replace(path)


@asynccontextmanager
async def tls_world(
    binary: Path,
    folder: Path,
    ca: Issued,
    stack: str,
    certs: dict[str, bytes],
    *,
    incremental: bool = True,
    http3: bool = False,
    http_port: int = 0,
    https_port: int = 0,
    acme: AcmeOptions | None = None,
    orders: bool = True,
    environ: dict[str, str] | None = None,
    more: dict[str, object] | None = None,
    translator: Translator = translate,
) -> AsyncIterator[TlsWorld]:
    """Start everything, and end it, whatever happens in between; ``more``: further settings."""
    (folder / "stack.yml").write_text(stack, encoding="utf-8")
    (folder / "certs").mkdir()
    for name, content in certs.items():
        write(folder / "certs" / name, content)
    settings = Settings(
        source="compose",
        files=(folder / "stack.yml",),
        listen="127.0.0.1:0",
        http_port=http_port or free_port(),
        https_port=https_port or free_port(),
        http3=http3,
        certs=folder / "certs",
        **(more or {}),
    )
    published: list[Published] = []
    directory = CertificateDirectory(folder / "certs")
    obtaining = None if acme is None else ObtainingSource(AcmeSource(acme), directory)
    app = App(
        settings,
        ComposeSource(settings.files, environ or {}),
        certificates=obtaining or directory,
        want=obtaining and obtaining.want,
        translator=translator,
        on_published=published.append,
    )
    port = await app.start()
    tasks = [asyncio.create_task(app.follow())]
    if obtaining is not None and orders:
        tasks.append(asyncio.create_task(obtaining.run()))
    options = BootstrapOptions(
        node="envoy-1", fleet="default", host="127.0.0.1", port=port, admin_port=free_port(), incremental=incremental
    )
    envoy = Envoy(binary, options, output=folder / OUTPUT)
    try:
        await envoy.start()
        async with asyncio.timeout(10):
            await app.publisher.answered()
            world = TlsWorld(folder, ca, app, envoy, settings, published)
            # A listener is accepted before it has its secrets.
            while (await world.stats("total_listeners_warming"))["listener_manager.total_listeners_warming"]:
                await asyncio.sleep(0.01)
        yield world
    finally:
        await envoy.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await app.stop()
