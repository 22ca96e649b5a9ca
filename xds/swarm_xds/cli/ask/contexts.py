"""Contexts: names for control planes, in a small file of the user's.

``current: prod`` and, under ``contexts:``, for each name an ``address`` and, for one that is encrypted, ``ca``,
``cert``, ``key`` and perhaps ``server_name``. The file is ``$XDG_CONFIG_HOME/swarm-xds/contexts.yml``, by default below
``$HOME/.config``. It holds paths of keys, and no key.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from swarm_xds.cli.output import failed, wrong_use
from swarm_xds.given import CLIENT_PREFIX

DEFAULT_ADDRESS = "127.0.0.1:18002"

app = typer.Typer(help="Names for control planes, so that one can talk to several.", no_args_is_help=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A control plane, and how it is talked to.

    Attributes:
        address: ``host:port`` of its debug API.
        ca: PEM file of the authorities that its certificate may be of; empty, as the next two, where TLS is not spoken.
        cert: PEM file of the operator's own certificate.
        key: PEM file of its key.
        server_name: Name that the control plane's certificate has to have; empty for the one that all of ours have.
    """

    address: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return bool(self.ca)

    def over(self, other: "Target") -> "Target":
        """Return this, with the other's fields where it has none."""
        return Target(**{each.name: getattr(self, each.name) or getattr(other, each.name) for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """All contexts by name, and the name of the one that is used if none is given; it may be empty."""

    current: str = ""
    targets: Mapping[str, Target] = field(default_factory=dict)


class ContextsError(ValueError):
    """The file of contexts cannot be read or used, or what is given names no control plane."""


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
        targets = {
            str(name): checked(Target(**{key: str(value) for key, value in each.items()}))
            for name, each in (document["contexts"] or {}).items()
        }
        return Contexts(current=str(document.get("current") or ""), targets=targets)
    except (KeyError, TypeError, AttributeError) as error:
        known = ", ".join(each.name for each in fields(Target))
        raise ContextsError(f"{file}: not a file of contexts: current, and contexts with {known}") from error
    except ContextsError as error:
        raise ContextsError(f"{file}: {error}") from error


def save(file: Path, contexts: Contexts) -> None:
    """Write the file whole, so that it is never seen half written.

    Raises:
        ContextsError: It cannot be written.
    """
    document = {
        "current": contexts.current,
        "contexts": {
            name: {each.name: value for each in fields(target) if (value := getattr(target, each.name))}
            for name, target in sorted(contexts.targets.items())
        },
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:
            yaml.safe_dump(document, new, sort_keys=False)
        Path(new.name).replace(file)
    except OSError as error:
        raise ContextsError(f"{file}: {error.strerror}") from error


def checked(target: Target) -> Target:
    """Return a target whose address has the form ``host:port``, and which has all files of TLS or none.

    Raises:
        ContextsError: It is not so.
    """
    host, _, port = target.address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:  # noqa: PLR2004
        raise ContextsError(f'"{target.address}" is not an address and a port, such as {DEFAULT_ADDRESS}')
    missing = [name for name in ("ca", "cert", "key") if not getattr(target, name)]
    if missing and (len(missing) < 3 or target.server_name):  # noqa: PLR2004
        raise ContextsError(f"TLS needs all of ca, cert and key: {', '.join(missing)} missing")
    return target


def find(contexts: Contexts, name: str, given: Target, environ: Mapping[str, str]) -> Target:
    """Return who to talk to.

    What is given goes first: the address, or the named context. Then come the environment's address, its context, the
    current context, and the debug API of this machine. Files of TLS that are given go before those of the context, and
    those of the environment count wherever no context is named on the command line. A misspelt variable is an error
    where the environment may decide who is asked.

    Raises:
        ContextsError: There is no such context, or what comes out names no control plane.
    """
    if name and given.address:
        raise ContextsError("--context and --address exclude each other")
    if name:
        return checked(given.over(_named(contexts, name)))
    known = {f"{CLIENT_PREFIX}{each.name.upper()}" for each in fields(Target)} | {f"{CLIENT_PREFIX}CONTEXT"}
    unknown = next((each for each in sorted(environ) if each.startswith(CLIENT_PREFIX) and each not in known), None)
    if unknown is not None and not given.address:
        raise ContextsError(f"there is no variable {unknown}; there are {', '.join(sorted(known))}")
    around = Target(**{each.name: environ.get(f"{CLIENT_PREFIX}{each.name.upper()}", "") for each in fields(Target)})
    wanted = given.over(around)
    if wanted.address:
        return checked(wanted)
    chosen = environ.get(f"{CLIENT_PREFIX}CONTEXT") or contexts.current
    return checked(wanted.over(_named(contexts, chosen) if chosen else Target(address=DEFAULT_ADDRESS)))


def _named(contexts: Contexts, name: str) -> Target:
    if name not in contexts.targets:
        known = ", ".join(sorted(contexts.targets)) or "none yet"
        raise ContextsError(f"there is no context {name}; there are: {known}")
    return contexts.targets[name]


def complete(incomplete: str) -> list[str]:
    """Return the names of contexts for the shell's completion."""
    try:
        return [name for name in load(path(os.environ)).targets if name.startswith(incomplete)]
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
Ca = Annotated[Path | None, typer.Option("--ca", help="Its authorities: ca.crt of swarm-xds pki.", metavar="FILE")]
Cert = Annotated[Path | None, typer.Option("--cert", help="Your operator's certificate.", metavar="FILE")]
Key = Annotated[Path | None, typer.Option("--key", help="Its key.", metavar="FILE")]
ServerName = Annotated[
    str,
    typer.Option(
        "--server-name", help="Name that its certificate has to have.", show_default="control-plane", metavar="NAME"
    ),
]


def target(address: str, ca: Path | None, cert: Path | None, key: Path | None, server_name: str) -> Target:
    """Return what options say, with whole paths, which mean the same from any directory."""
    files = {name: str(each.absolute()) for name, each in (("ca", ca), ("cert", cert), ("key", key)) if each}
    return Target(address=address, server_name=server_name, **files)


@app.command("list")
def list_() -> None:
    """Print all contexts; the current one has a star."""
    _, contexts = _loaded()
    if not contexts.targets:
        typer.echo(f"no context: {DEFAULT_ADDRESS} is asked")
    for name, each in sorted(contexts.targets.items()):
        encrypted = f"  TLS, as {each.cert}" if each.encrypted else ""
        typer.echo(f"{'*' if name == contexts.current else ' '} {name}  {each.address}{encrypted}")


@app.command("set")
def set_(
    name: Name,
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Of the debug API.")],
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = "",
) -> None:
    """Add a context, or put another in its place; the first one is the current one."""
    file, contexts = _loaded()
    if not name.strip():
        wrong_use("a context needs a name")
    try:
        targets = {**contexts.targets, name: checked(target(address, ca, cert, key, server_name))}
    except ContextsError as error:
        wrong_use(str(error))
    _saved(file, replace(contexts, targets=targets, current=contexts.current or name))


@app.command()
def use(name: Name) -> None:
    """Make a context the current one."""
    file, contexts = _loaded()
    try:
        _named(contexts, name)
    except ContextsError as error:
        wrong_use(str(error))
    _saved(file, replace(contexts, current=name))


@app.command()
def remove(name: Name) -> None:
    """Forget a context."""
    file, contexts = _loaded()
    if name not in contexts.targets:
        wrong_use(f"there is no context {name}")
    rest = {each: target for each, target in contexts.targets.items() if each != name}
    _saved(file, Contexts(current="" if contexts.current == name else contexts.current, targets=rest))
