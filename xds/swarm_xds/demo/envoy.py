"""A real Envoy as a child process, started from the same bootstrap that a fleet member has."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf.json_format import MessageToJson

from swarm_xds.translate import BootstrapOptions, bootstrap

#: Where `make envoy` puts the binary: below the project's folder, which is this one or the one that this file is in.
INSTALLED = tuple(home / ".envoy" / "envoy" / "_bin" / "envoy" for home in (Path(), Path(__file__).parents[3]))
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_LAST_LINES = 5


class EnvoyError(Exception):
    """Envoy is not there, or does not start; the message says what it said."""


def find_envoy(given: Path | None = None) -> Path:
    """Return the Envoy binary: the one that is given, the project's own, or the one on the path.

    Raises:
        EnvoyError: There is none.
    """
    if given is not None:
        if not given.is_file():
            raise EnvoyError(f"there is no Envoy at {given}")
        return given
    for path in INSTALLED:
        if path.is_file():
            return path.absolute()
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyError("no Envoy found: run `make envoy`, or give its path with --envoy")
    return Path(found)


class Envoy:
    """One Envoy process.

    Args:
        binary: See ``find_envoy``.
        options: What its bootstrap is made from.
        amend: Changes the bootstrap before it is used.
        output: File for its standard output, where access logs go; None: they are thrown away.
    """

    def __init__(
        self,
        binary: Path,
        options: BootstrapOptions,
        *,
        amend: Callable[[bootstrap_pb2.Bootstrap], None] = lambda _: None,
        output: Path | None = None,
    ) -> None:
        self._binary = binary
        self._options = options
        self._amend = amend
        self._output = output
        self._folder = tempfile.TemporaryDirectory(prefix="swarm-xds-demo-")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def admin(self) -> str:
        """URL of the admin interface."""
        return f"http://127.0.0.1:{self._options.admin_port}"

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None, "start it first"  # noqa: S101
        return self._process.pid

    async def start(self) -> None:
        """Start Envoy and wait until it serves.

        Raises:
            EnvoyError: It ended, or did not serve in time.
        """
        folder = Path(self._folder.name)
        config, log = folder / "bootstrap.json", folder / "envoy.log"
        message = bootstrap(self._options)
        self._amend(message)
        config.write_text(MessageToJson(message), encoding="utf-8")
        with (self._output or Path(os.devnull)).open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(str(self._binary), "--config-path", str(config), "--use-dynamic-base-id", "--concurrency", "1"),
                *("--log-path", str(log), "--log-level", "warning", "--file-flush-interval-msec", "50"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.DEVNULL,
            )
        try:
            async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient() as client:
                while not await self._ready(client):
                    if self._process.returncode is not None:
                        raise EnvoyError(f"Envoy ended with status {self._process.returncode}: {_tail(log)}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise EnvoyError(f"Envoy did not serve within {_START_SECONDS:.0f} s: {_tail(log)}") from None

    async def stop(self) -> None:
        """End the process, if it runs."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._folder.cleanup()

    async def ended(self) -> int:
        """Wait for the process to end by itself, and return its status."""
        assert self._process is not None, "start it first"  # noqa: S101
        return await self._process.wait()

    async def version(self) -> str:
        """Return Envoy's version, such as ``1.40.0``."""
        async with httpx.AsyncClient() as client:
            info = json.loads((await client.get(f"{self.admin}/server_info")).content)
        return str(info["version"]).split("/")[1]

    async def _ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.admin}/ready")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return " / ".join(lines[-_LAST_LINES:]) or "it said nothing"
