"""Contexts: names for control planes, in a small file of the user's.

``current: prod`` and, under ``contexts:``, an ``address`` for each name. The file is
``$XDG_CONFIG_HOME/swarm-xds/contexts.yml``, by default below ``$HOME/.config``.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from swarm_xds.cli.output import failed, wrong_use

DEFAULT_ADDRESS = "127.0.0.1:18002"

app = typer.Typer(help="Names for control planes, so that one can talk to several.", no_args_is_help=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """All contexts: address by name, and the name of the one that is used if none is given; it may be empty."""

    current: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)


class ContextsError(ValueError):
    """The file of contexts cannot be read or used."""


def path(environ: Mapping[str, str]) -> Path:
    """Return where the file is, or would be."""
    base = environ.get("XDG_CONFIG_HOME")
    # In a container the user may have no home at all.
    return (Path(base) if base else Path(environ.get("HOME") or "/") / ".config") / "swarm-xds" / "contexts.yml"


def load(file: Path) -> Contexts:
    """Return the contexts of a file; none if there is no file.

    Raises:
        ContextsError: It cannot be read.
    """
    try:
        document: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Contexts()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContextsError(f"{file}: {' '.join(str(error).split())}") from error
    try:
        addresses = {str(name): checked(each["address"]) for name, each in (document["contexts"] or {}).items()}
        return Contexts(current=str(document.get("current") or ""), addresses=addresses)
    except (KeyError, TypeError, AttributeError) as error:
        raise ContextsError(f"{file}: not a file of contexts: current, and contexts with an address each") from error
    except ContextsError as error:
        raise ContextsError(f"{file}: {error}") from error


def save(file: Path, contexts: Contexts) -> None:
    """Write the file whole, so that it is never seen half written.

    Raises:
        ContextsError: It cannot be written.
    """
    document = {
        "current": contexts.current,
        "contexts": {name: {"address": address} for name, address in sorted(contexts.addresses.items())},
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:
            yaml.safe_dump(document, new, sort_keys=False)
        Path(new.name).replace(file)
    except OSError as error:
        raise ContextsError(f"{file}: {error.strerror}") from error


def checked(address: object) -> str:
    """Return an address of the form ``host:port``.

    Raises:
        ContextsError: It has another form.
    """
    text = str(address)
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:  # noqa: PLR2004
        raise ContextsError(f'"{text}" is not an address and a port, such as {DEFAULT_ADDRESS}')
    return text


def find(contexts: Contexts, name: str, address: str) -> str:
    """Return the address to talk to: the one that is given, the named context's, or the current one's.

    Raises:
        ContextsError: There is no such context, or the address is none.
    """
    if address:
        return checked(address)
    chosen = name or contexts.current
    if not chosen:
        return DEFAULT_ADDRESS
    if chosen not in contexts.addresses:
        known = ", ".join(sorted(contexts.addresses)) or "none yet"
        raise ContextsError(f"there is no context {chosen}; there are: {known}")
    return contexts.addresses[chosen]


def complete(incomplete: str) -> list[str]:
    """Return the names of contexts for the shell's completion."""
    try:
        return [name for name in load(path(os.environ)).addresses if name.startswith(incomplete)]
    except ContextsError:
        return []


def _loaded() -> tuple[Path, Contexts]:
    file = path(os.environ)
    try:
        return file, load(file)
    except ContextsError as error:
        failed(str(error))


def _saved(file: Path, contexts: Contexts) -> None:
    try:
        save(file, contexts)
    except ContextsError as error:
        failed(str(error))


Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete, show_default=False)]


@app.command("list")
def list_() -> None:
    """Print all contexts; the current one has a star."""
    _, contexts = _loaded()
    for name, address in sorted(contexts.addresses.items()):
        typer.echo(f"{'*' if name == contexts.current else ' '} {name}  {address}")


@app.command("set")
def set_(name: Name, address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Of the debug API.")]) -> None:
    """Add a context, or change its address; the first one is the current one."""
    file, contexts = _loaded()
    try:
        addresses = {**contexts.addresses, name: checked(address)}
    except ContextsError as error:
        wrong_use(str(error))
    _saved(file, replace(contexts, addresses=addresses, current=contexts.current or name))


@app.command()
def use(name: Name) -> None:
    """Make a context the current one."""
    file, contexts = _loaded()
    try:
        find(contexts, name, "")
    except ContextsError as error:
        wrong_use(str(error))
    _saved(file, replace(contexts, current=name))


@app.command()
def remove(name: Name) -> None:
    """Forget a context."""
    file, contexts = _loaded()
    if name not in contexts.addresses:
        wrong_use(f"there is no context {name}")
    rest = {each: address for each, address in contexts.addresses.items() if each != name}
    _saved(file, Contexts(current="" if contexts.current == name else contexts.current, addresses=rest))
