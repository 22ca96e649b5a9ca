"""`swarm-xds serve` as a process that is told to stop."""

import asyncio
import sys
from pathlib import Path

import grpc

from support.ports import free_port
from support.xds_client import PATIENCE, Client
from swarm_xds.snapshot import LISTENER


async def test_a_process_that_is_told_to_stop_ends_its_streams_first(tmp_path: Path) -> None:
    """Each in order, one after the other, and then itself, well."""
    stack, port = tmp_path / "stack.yml", free_port()
    stack.write_text("services: {}\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "swarm-xds", "serve", "--source", "compose", stack),
        *("--listen", f"127.0.0.1:{port}", "--metrics-listen", "", "--debug-listen", "", "--log-level", "debug"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr
        async with asyncio.timeout(6 * PATIENCE):
            while b"xds.listening" not in await process.stderr.readline():
                pass
            async with Client(port, node="one") as one, Client(port, variant="delta", node="two") as two:
                for client in (one, two):
                    await client.have(LISTENER)
                process.terminate()
                for client in (one, two):
                    assert (await client.end(LISTENER))[0] is grpc.StatusCode.OK
            rest = (await process.stderr.read()).decode()
            assert await process.wait() == 0, rest
        closed = [line for line in rest.splitlines() if "xds.closed" in line]
        assert ["node=one" in closed[0], "node=two" in closed[1]] == [True, True]
        assert "Traceback" not in rest
        assert "stopped" in rest.splitlines()[-1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
