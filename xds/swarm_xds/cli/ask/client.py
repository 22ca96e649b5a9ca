"""A connection to a control plane's debug API, with errors as a user can act on them."""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import grpc
import typer

from swarm_xds.cli.ask import contexts
from swarm_xds.cli.ask.contexts import ContextsError, Target
from swarm_xds.cli.ask.handshake import why_not
from swarm_xds.cli.output import failed, wrong_use
from swarm_xds.debug.v1.debug_pb2_grpc import DebugStub
from swarm_xds.server import CertificateError, TlsFiles
from swarm_xds.server.certificates import Loaded, load

#: Seconds until a control plane that does not answer is given up.
SECONDS = 10.0
#: Exit status when the control plane cannot be asked, as against what it says.
UNREACHABLE = 3
#: What every control plane's certificate of ``swarm-xds pki`` names, at whatever address it is reached.
SERVER_NAME = "control-plane"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whom the options of a command name.

    Attributes:
        context: Name of a context; empty for the current one.
        target: What is given beside it.
    """

    context: str = ""
    target: Target = field(default_factory=Target)


_OPTIONS: dict[str, Any] = {
    "context": Annotated[
        str,
        typer.Option(
            "--context", help="Which control plane.", autocompletion=contexts.complete, show_default="current"
        ),
    ],
    "address": Annotated[
        str, typer.Option("--address", help="Its debug API, instead of a context.", metavar="HOST:PORT")
    ],
    "ca": contexts.Ca,
    "cert": contexts.Cert,
    "key": contexts.Key,
    "server_name": contexts.ServerName,
}
_EMPTY = {"context": "", "address": "", "ca": None, "cert": None, "key": None, "server_name": ""}


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose parameter ``asked`` says whom it asks, the options for that."""

    @wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401 - whatever the command takes
        who = {name: given.pop(name, empty) for name, empty in _EMPTY.items()}
        command(Asked(context=who.pop("context"), target=contexts.target(**who)), **given)

    signature = inspect.signature(command)
    own = [each for name, each in signature.parameters.items() if name != "asked"]
    called.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            *own,
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_EMPTY[name], annotation=annotation)
                for name, annotation in _OPTIONS.items()
            ),
        ]
    )
    return called


@contextmanager
def connect(asked: Asked) -> Iterator[DebugStub]:
    """Connect, and end with a status and the reason if the control plane cannot be asked or does not answer."""
    try:
        target = contexts.find(contexts.load(contexts.path(os.environ)), asked.context, asked.target, os.environ)
    except ContextsError as error:
        wrong_use(str(error))
    with _channel(target) as channel:
        try:
            yield DebugStub(channel)
        except grpc.RpcError as error:
            _give_up(target, error)


def _channel(target: Target) -> grpc.Channel:
    options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", -1)]
    if not target.encrypted:
        return grpc.insecure_channel(target.address, options=options)
    try:
        own = load(TlsFiles(ca=Path(target.ca), certificate=Path(target.cert), key=Path(target.key)))
    except CertificateError as error:
        wrong_use(str(error))
    if own.expires <= datetime.now(UTC):
        _unreachable(target, f"{target.cert} has ended on {own.expires:%Y-%m-%d}: renew it with swarm-xds pki renew")
    options.append(("grpc.ssl_target_name_override", target.server_name or SERVER_NAME))
    return grpc.secure_channel(target.address, _credentials(own), options=options)


def _credentials(own: Loaded) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(own.ca, own.key, own.certificate)


def _give_up(target: Target, error: grpc.RpcError) -> NoReturn:
    code, details = error.code(), error.details() or ""
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        reason = details if details == "nothing was read yet" else why_not(target, target.server_name or SERVER_NAME)
        _unreachable(target, reason)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        _unreachable(target, f"no answer within {SECONDS:.0f} s")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        _unreachable(target, f"{details}: make one with swarm-xds pki init --operator NAME")
    if code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}:
        wrong_use(details)
    if code is grpc.StatusCode.FAILED_PRECONDITION:
        failed(details)
    failed(f"control plane {target.address}: {code.name}: {details}")


def _unreachable(target: Target, reason: str) -> NoReturn:
    typer.echo(f"swarm-xds: control plane {target.address}: {reason}", err=True)
    raise typer.Exit(UNREACHABLE)
