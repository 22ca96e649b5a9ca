"""What commands print: documents on standard output, everything about them on standard error."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, MutableSequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import typer
import yaml
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from swarm_xds.problem import Problem, Severity
from swarm_xds.translate import redacted

#: Fields whose keys are no fields, where there may be several: those of a line, and of metadata in our namespace.
_MAPS = frozenset({"json_format", "swarm_xds"})
_COLORS = {Severity.ERROR: typer.colors.RED, Severity.WARNING: typer.colors.YELLOW, Severity.INFO: typer.colors.BLUE}


class Format(StrEnum):
    """How a document is written."""

    YAML = "yaml"
    JSON = "json"


def plain(message: Message) -> dict[str, Any]:
    """Return a message as plain values, with the field names of Envoy's documentation."""
    document: dict[str, Any] = json.loads(
        MessageToJson(message, preserving_proto_field_name=True), object_hook=_in_order
    )
    return document


def _in_order(document: dict[str, Any]) -> dict[str, Any]:
    """Return an object with the maps in it sorted: theirs is another order in each process."""
    for name in _MAPS & document.keys():
        document[name] = dict(sorted(document[name].items()))
    return document


@contextmanager
def writing() -> Iterator[None]:
    """End with status 1 if something cannot be printed; a reader that has gone is none of our business."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        failed(f"cannot write: {error.strerror}")


def write(document: object, style: Format) -> None:
    """Print a document, or end with status 1 if it cannot be written."""
    with writing():
        typer.echo(_text(document, style), nl=False)


def write_file(document: object, style: Format, path: Path) -> None:
    """Write a document to a file that only its owner can read, as a whole or not at all."""
    try:
        # A file made by this is open to nobody else from its first moment on.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_text(document, style))
        Path(name).replace(path)
    except OSError as error:
        failed(f"cannot write {path}: {error.strerror}")


def redact(secrets: MutableSequence[Secret]) -> None:
    """Take the private keys out of secrets that are going to be shown."""
    for secret in secrets:
        secret.CopyFrom(redacted(secret))


def _text(document: object, style: Format) -> str:
    if style is Format.JSON:
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def tell(problems: Iterable[Problem]) -> bool:
    """Print problems, one a line; return whether one of them is an error."""
    failed = False
    for problem in problems:
        severity, _, rest = str(problem).partition(":")
        typer.secho(severity, fg=_COLORS[problem.severity], bold=True, nl=False, err=True)
        typer.echo(f":{rest}", err=True)
        failed = failed or problem.severity is Severity.ERROR
    return failed


def wrong_use(reason: str) -> NoReturn:
    """End with status 2 and the reason."""
    typer.echo(f"swarm-xds: {reason}", err=True)
    raise typer.Exit(2)


def failed(reason: str) -> NoReturn:
    """End with status 1 and the reason."""
    typer.echo(f"swarm-xds: {reason}", err=True)
    raise typer.Exit(1)
