"""A connection to a control plane's debug API, with errors as a user can act on them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import grpc
import typer

from swarm_xds.cli.ask import contexts
from swarm_xds.cli.ask.contexts import ContextsError
from swarm_xds.cli.output import failed, wrong_use
from swarm_xds.debug.v1.debug_pb2_grpc import DebugStub

#: Seconds until a control plane that does not answer is given up.
SECONDS = 10.0
#: Exit status when the control plane cannot be asked, as against what it says.
UNREACHABLE = 3

Context = Annotated[
    str,
    typer.Option("--context", help="Which control plane.", autocompletion=contexts.complete, show_default="current"),
]
Address = Annotated[str, typer.Option("--address", help="Its debug API, instead of a context.", metavar="HOST:PORT")]


@contextmanager
def connect(context: str, address: str) -> Iterator[DebugStub]:
    """Connect, and end with a status and the reason if the control plane cannot be asked or does not answer."""
    try:
        place = contexts.find(contexts.load(contexts.path(os.environ)), context, address)
    except ContextsError as error:
        wrong_use(str(error))
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(place, options=options) as channel:
        try:
            yield DebugStub(channel)
        except grpc.RpcError as error:
            _give_up(place, error)


def _give_up(place: str, error: grpc.RpcError) -> NoReturn:
    code, details = error.code(), error.details() or ""
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        reason = details if details == "nothing was read yet" else "no answer; is it running, and is debug_listen set?"
        typer.echo(f"swarm-xds: control plane {place}: {reason}", err=True)
        raise typer.Exit(UNREACHABLE)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        typer.echo(f"swarm-xds: control plane {place}: no answer within {SECONDS:.0f} s", err=True)
        raise typer.Exit(UNREACHABLE)
    if code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}:
        wrong_use(details)
    failed(f"control plane {place}: {code.name}: {details}")
