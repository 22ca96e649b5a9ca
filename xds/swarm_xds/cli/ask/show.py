"""Prints tables for people, plain columns where it is piped, and documents for programs."""

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import rich.table
import typer
import yaml
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.console import Console
from rich.text import Text

# Messages that may stand inside an Any have to be known before they can be printed.
import swarm_xds.translate  # noqa: F401
from swarm_xds.cli.ask.tables import Table, Tone
from swarm_xds.cli.output import writing
from swarm_xds.debug.v1 import debug_pb2 as pb

#: Columns of a terminal below which a table would have one or two words a line.
_NARROW = 60


class Style(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Style, typer.Option("--output", "-o", help="A table for people, or a document for programs.")]


def document(message: Message) -> dict[str, Any]:
    """Return a message as plain values, with the names of its definition and every field.

    Of Envoy's own messages only what is set: they have hundreds of fields.
    """
    every = not isinstance(message, pb.GetSnapshotResponse)
    found: dict[str, Any] = json.loads(
        MessageToJson(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=every)
    )
    return found


def show(message: Message, style: Style, *tables: Table) -> None:
    """Print an answer: its tables, or the whole of it for programs."""
    with writing():
        if style is Style.JSON:
            typer.echo(json.dumps(document(message), indent=2, ensure_ascii=False))
        elif style is Style.YAML:
            typer.echo(yaml.safe_dump(document(message), sort_keys=False, allow_unicode=True, width=120), nl=False)
        else:
            for table in tables:
                print_table(table)


def line(tone: Tone, text: str) -> None:
    """Print a line, in its colour where somebody looks."""
    if sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(Text(text, style=str(tone)))
    else:
        typer.echo(text)


def print_table(table: Table) -> None:
    """Print a table: drawn where somebody looks, a line for each cell if that is narrow, plain columns into a pipe."""
    if not table.rows:
        typer.echo(table.empty)
    elif sys.stdout.isatty() and Console().width < _NARROW:
        for tone, cells in table.rows:
            for name, cell in zip(table.columns, cells, strict=True):
                if cell:
                    line(tone, f"{name}: {cell}".removeprefix(": "))
            typer.echo()
    elif sys.stdout.isatty():
        drawn = rich.table.Table(*(rich.table.Column(name, overflow="fold") for name in table.columns))
        for tone, cells in table.rows:
            drawn.add_row(*map(Text, cells), style=str(tone))
        Console(highlight=False).print(drawn)
    else:
        typer.echo(plain(table))


def plain(table: Table) -> str:
    """Return a table as columns with two spaces between them, one line a row, whatever the width."""
    lines = [table.columns, *(tuple(" ".join(cell.split()) for cell in cells) for _, cells in table.rows)]
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(table.columns))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in lines)
    return "\n".join(each.rstrip() for each in padded)
