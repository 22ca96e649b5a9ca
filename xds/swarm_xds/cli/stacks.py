"""Where commands read stacks: files as they would be deployed, or a swarm as it runs."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.cli.output import wrong_use
from swarm_xds.sources import Reading, Source
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.sources.compose.files import STACK_NAME

#: Seconds for a manager to answer.
SECONDS = 10.0
StackName = Annotated[
    str, typer.Option("--stack", metavar="NAME", help="The stack's name, as for docker stack deploy; else the file's.")
]


def source(files: Iterable[Path], stack: str = "") -> ComposeSource:
    """Return stack files as a source; end with status 2 if the name is none."""
    if stack and not STACK_NAME.fullmatch(stack):
        wrong_use(f'--stack: "{stack}" is no name of a stack: it is of letters, digits, underscores and hyphens')
    return ComposeSource(files, os.environ, stack)


async def first(source: Source) -> Reading:
    """Return a source's first reading.

    Raises:
        TimeoutError: There is none for too long.
    """
    async with asyncio.timeout(SECONDS):
        async for reading in source.readings():
            return reading
    raise TimeoutError
