"""``swarm-xds demo``: see it work on this machine, with a real Envoy and no engine."""

import asyncio
import importlib.resources
import os
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from swarm_xds import log
from swarm_xds.cli.output import failed, tell
from swarm_xds.demo import Demo, DemoOptions, EnvoyError, find_envoy
from swarm_xds.server import AddressError
from swarm_xds.sources.compose import ComposeSource

EXAMPLES = """Examples:

swarm-xds demo

swarm-xds demo my-stack.yml --http-port 8088

swarm-xds demo --check && echo "every route answers" """

#: The file that is followed without FILE; the demo puts it there if it is missing.
OWN_FILE = Path("demo-stack.yml")


def demo(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help=f"Stack files; without, {OWN_FILE} is made.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Ask every route once; exit 0 if all is right.")] = False,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Envoy, another if it is taken.")] = 8080,
    https_port: Annotated[int, typer.Option(min=1, max=65535, help="Its HTTPS port, another if it is taken.")] = 8443,
    envoy: Annotated[Path | None, typer.Option(help="Envoy binary.", show_default="the project's own")] = None,
) -> None:
    """Run a control plane, small backends and a real Envoy on this machine, and follow edits of the stack file."""
    console = Console(highlight=False, soft_wrap=True)
    log.configure("error", "console")
    with ExitStack() as stack:
        if not files:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if check else Path()
            files = [_own_file(folder)]
        try:
            _look(files)
            options = DemoOptions(
                files=tuple(files), envoy=find_envoy(envoy), http_port=http_port, https_port=https_port
            )
            good = asyncio.run(_run(options, console, check=check))
        except (EnvoyError, AddressError) as error:
            failed(str(error))
        except KeyboardInterrupt:
            good = True
    if not good:
        failed("not every route answers as its labels ask; the reasons stand above")
    if check:
        console.print("[green]Every route answers as its labels ask.[/]")


async def _run(options: DemoOptions, console: Console, *, check: bool) -> bool:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with Demo(options, console) as running:
            good = await running.check()
            if not check:
                await running.follow()
            return good
    except asyncio.CancelledError:
        # Told to stop, by SIGTERM or Ctrl-C: that is how the demo ends.
        return True


def _look(files: list[Path]) -> None:
    """End with the reason if a file cannot be read, for which the control plane would wait."""
    source = ComposeSource(files, os.environ)
    reading = source.read()
    if source.unread and reading is not None:
        tell(reading.problems)
        failed("not every stack file can be read")


def _own_file(folder: Path) -> Path:
    path = folder / OWN_FILE
    if not path.exists():
        example = importlib.resources.files("swarm_xds.demo").joinpath("stack.yml")
        path.write_bytes(example.read_bytes())
    return path
