"""``swarm-xds diff`` with an Envoy's own configuration: where it comes from, what it is compared with, how it looks."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import typer
import yaml

# Messages that may stand inside an Any have to be known before they can be read.
import swarm_xds.translate  # noqa: F401
from swarm_xds.cli.ask import tables
from swarm_xds.cli.ask.client import SECONDS, UNREACHABLE, Asked, connect
from swarm_xds.cli.ask.compare import Finding, compare
from swarm_xds.cli.ask.envoy import Dump, DumpError, read
from swarm_xds.cli.ask.show import Style, print_table
from swarm_xds.cli.output import writing, wrong_use
from swarm_xds.debug.v1 import debug_pb2 as pb

_PATH = "/config_dump?include_eds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """All findings of one Envoy."""

    fleet: str
    node: str
    findings: tuple[Finding, ...]


def take(file: str, admin: str) -> Dump:
    """Return an Envoy's configuration from a file, standard input (``-``) or its admin interface, or end."""
    if file and admin:
        wrong_use("--config-dump and --admin exclude each other")
    where = file or admin
    try:
        return read(json.loads(_fetched(admin) if admin else _content(file)))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        wrong_use(f"{where}: not JSON: {error}")
    except DumpError as error:
        wrong_use(f"{where}: {error}")
    except OSError as error:
        wrong_use(f"{where}: {error.strerror or error}")


def _content(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _fetched(admin: str) -> bytes:
    try:
        with httpx.Client(trust_env=False, timeout=SECONDS) as client:
            return client.get(f"{admin.rstrip('/')}{_PATH}").raise_for_status().content
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        wrong_use(f"--admin {admin}: not a URL such as http://127.0.0.1:9901")
    except httpx.HTTPError as error:
        typer.echo(f"swarm-xds: admin interface {admin}: {error or type(error).__name__}", err=True)
        raise typer.Exit(UNREACHABLE) from None


def differences(asked: Asked, dump: Dump, *, node: str, fleet: str) -> Differences:
    """Compare with what a control plane knows; ``node`` and ``fleet`` go before what the dump says, if given."""
    dump = replace(dump, node=node or dump.node, fleet=fleet or dump.fleet)
    if not dump.node:
        wrong_use("the Envoy has no node.id in its bootstrap: say with --node which one it is")
    with connect(asked) as debug:
        snapshot = debug.GetSnapshot(pb.GetSnapshotRequest(fleet=dump.fleet), timeout=SECONDS)
        nodes = debug.ListNodes(pb.ListNodesRequest(fleet=snapshot.fleet), timeout=SECONDS).nodes
        member = next((each for each in nodes if each.node == dump.node), None)
        request = pb.DiffRequest(fleet=snapshot.fleet, node=dump.node)
        # One that asks another control plane is not known to this one, and what one has that went is not.
        here = member is not None and member.standing != pb.STANDING_GONE
        answered = debug.Diff(request, timeout=SECONDS).differences if here else ()
    findings = compare(snapshot, member, answered, dump)
    return Differences(fleet=snapshot.fleet, node=dump.node, findings=tuple(findings))


def show(found: Differences, style: Style) -> None:
    """Print the findings: a table, or the whole of them for programs."""
    document: Mapping[str, Any] = asdict(found)
    with writing():
        if style is Style.TABLE:
            print_table(tables.compared(found.findings, time.time()))
        elif style is Style.JSON:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            plain = json.loads(json.dumps(document))
            typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120), nl=False)
