"""``swarm-xds labels``: the table of label keys, for people and for the documentation."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from swarm_xds.labels import keys
from swarm_xds.labels.keys import Due, Key, Scope
from swarm_xds.swarm import marks

EXAMPLES = """Examples:

swarm-xds labels

swarm-xds labels --markdown > docs/labels.md"""

_INTRODUCTION = f"""\
<!-- Printed by `swarm-xds labels --markdown`; a test keeps it in step with the code. -->

# Labels

Labels stand on the service: under `deploy: labels:` in a stack file, or `docker service create --label`. A key of
Interlock's is written `{marks.INTERLOCK}<key>` or `{marks.XDS}<key>` with one meaning (with both, `{marks.XDS}` wins);
a newer key `{marks.XDS}<key>` only. Further routes of the same service are `{keys.ROUTE}<name>.<key>`: keys of the
scope *route* are each route's own, keys of the scope *backend* fall back to the unnamed ones.

Labels of the HTTP routing mesh (`{marks.HRM}[.N]`) are read too.
"""


def labels(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page of the documentation.")] = False,
) -> None:
    """Print every label key: what it does, its default, an example, and whether it is served yet."""
    if markdown:
        typer.echo(page(), nl=False)
        return
    key_column = Column("key", overflow="fold")
    table = Table(key_column, "what it does", "default", "example", "served", show_lines=False)
    for key in keys.TABLE:
        table.add_row(
            ", ".join((key.name, *key.aliases)),
            key.doc,
            key.default,
            key.example,
            "yes" if key.due is Due.NOW else "not yet",
        )
    Console(highlight=False).print(table)


def page() -> str:
    """Return the page of the documentation."""
    now = [key for key in keys.TABLE if key.due is Due.NOW]
    later = [key for key in keys.TABLE if key.due is not Due.NOW]
    lines = [
        _INTRODUCTION,
        "| key | Interlock's | scope | what it does | default | example |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for key in now:
        interlock = "yes" if key.interlock else ""
        scope = "route" if key.scope is Scope.ROUTE else "backend"
        example = f"`{key.example}`" if key.example else ""
        lines.append(f"| {_names(key)} | {interlock} | {scope} | {_text(key.doc)} | {key.default} | {example} |")
    lines += [
        "",
        "## Not yet served",
        "",
        "These keys are known. Each is told as a problem until it is served; where it says so, the route is left out",
        "meanwhile, since serving it without the label would do what nobody asked for.",
        "",
        "| key | Interlock's | what it will do | meanwhile |",
        "| --- | --- | --- | --- |",
    ]
    for key in later:
        meanwhile = "the route is left out" if key.due is Due.WITHHOLD else "served without it"
        lines.append(f"| {_names(key)} | {'yes' if key.interlock else ''} | {_text(key.doc)} | {meanwhile} |")
    return "\n".join(lines) + "\n"


def _names(key: Key[object]) -> str:
    return ", ".join(f"`{name}`" for name in (key.name, *key.aliases))


def _text(text: str) -> str:
    """Return a text as Markdown that reads the same."""
    return text.replace("<", "&lt;").replace("*", "\\*")
