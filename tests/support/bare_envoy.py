"""A real Envoy with a configuration of its own, and no control plane."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from envoy.config.bootstrap.v3 import bootstrap_pb2

from support.plain import PLAIN
from support.ports import free_port

SECONDS = 30


@asynccontextmanager
async def bare_envoy(binary: Path, folder: Path, bootstrap: bootstrap_pb2.Bootstrap) -> AsyncIterator[None]:
    """Run Envoy with this configuration, at an admin port of its own, from when it is ready."""
    admin = free_port()
    bootstrap.admin.address.socket_address.port_value = admin
    config = folder / f"envoy-{admin}.pb"
    config.write_bytes(bootstrap.SerializeToString())
    process = await asyncio.create_subprocess_exec(
        str(binary), "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"
    )
    try:
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(verify=PLAIN, trust_env=False) as client:
            while not await _ready(client, admin):
                await asyncio.sleep(0.01)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _ready(client: httpx.AsyncClient, admin: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{admin}/ready")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
