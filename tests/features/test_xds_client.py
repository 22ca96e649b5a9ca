"""gRPC's own ``xds:///`` resolver as a client that nobody here wrote: SotW, explicit names, its node only once.

It reads its bootstrap when the process starts, so it runs in one of its own.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from support.xds_client import PATIENCE, Recorder, api_listener, cluster, endpoints, routes, snapshot, snapshots
from swarm_xds.server import Publisher, XdsServer
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, Snapshot

#: Asks for ``/test.Echo/Who`` once per line of input, and prints the answer or the error.
CLIENT = """
import sys
import grpc
with grpc.insecure_channel("xds:///echo.swarm") as channel:
    who = channel.unary_unary("/test.Echo/Who")
    for line in sys.stdin:
        try:
            print(who(line.strip().encode(), timeout=10, wait_for_ready=True).decode(), flush=True)
        except grpc.RpcError as error:
            print(error.code().name, error.details(), flush=True)
"""


@asynccontextmanager
async def backend(name: str) -> AsyncIterator[int]:
    """A gRPC server that answers with its name; yields its port."""

    async def who(request: bytes, _: object) -> bytes:
        return f"{name} heard {request.decode()}".encode()

    server = grpc.aio.server()
    methods = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0.2)


class Caller:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, what: str) -> str:
        """Have it call once, and return what it printed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n".encode())
        async with asyncio.timeout(2 * PATIENCE):
            return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def caller(port: int) -> AsyncIterator[Caller]:
    """A process that calls through the server on ``port``."""
    bootstrap = {
        "xds_servers": [
            {
                "server_uri": f"127.0.0.1:{port}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": "grpc-1", "cluster": "mesh"},
    }
    environment = {**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap)}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, env=environment, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield Caller(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def mesh(name: str, port: int) -> Snapshot:
    """A snapshot in which ``echo.swarm`` is one cluster with one backend."""
    return snapshot(
        clusters=[cluster(name), cluster("other")],
        endpoints=[endpoints(name, port), endpoints("other")],
        listeners=[api_listener("echo.swarm", "echo")],
        routes=[routes("echo", {"": name})],
    )


@pytest.fixture
async def recorder() -> Recorder:
    """What happens on the stream."""
    return Recorder()


async def test_grpc_resolves_calls_and_follows_changes(recorder: Recorder) -> None:
    """A call arrives; after a change the next one goes elsewhere, and no call fails in between."""
    publisher = Publisher()
    server = XdsServer(publisher, "127.0.0.1:0", recorder)
    port = await server.start()
    try:
        async with backend("one") as one, backend("two") as two, caller(port) as call:
            publisher.publish(snapshots(Snapshot(), mesh=mesh("first", one)))
            assert await call.ask("hello") == "one heard hello"
            publisher.publish(snapshots(Snapshot(), mesh=mesh("first", two)))
            await _until(call, "two")
            publisher.publish(snapshots(Snapshot(), mesh=mesh("second", one)))
            await _until(call, "one")
            async with asyncio.timeout(PATIENCE):
                await publisher.answered()
    finally:
        await server.stop(0.2)
    assert [(peer.node, peer.fleet) for peer in recorder.peers] == [("grpc-1", "mesh")]
    assert recorder.nacks == []
    assert {type_url for type_url, _ in recorder.acks} == {LISTENER, ROUTE, CLUSTER, ENDPOINT}
    named = {resource.name for response in recorder.responses for resource in response.resources}
    assert named == {"echo.swarm", "echo", "first", "second"}


async def _until(call: Caller, name: str) -> None:
    """Call until ``name`` answers; every call before it must be answered too."""
    async with asyncio.timeout(2 * PATIENCE):
        while not (answer := await call.ask("again")).startswith(name):
            assert answer.endswith("heard again")
