"""``swarm-xds export``: what a control plane served last, as one Envoy configuration that needs none."""

from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.cli.output import Format, failed, plain, redact, write, write_file
from swarm_xds.snapshot.kept import DamagedError
from swarm_xds.snapshot.static import static
from swarm_xds.store import read

EXAMPLES = """Examples:

swarm-xds export /var/lib/swarm-xds/snapshot --output envoy.yaml && envoy -c envoy.yaml

swarm-xds export snapshot --fleet internal --format json"""


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of snapshot_file.", show_default=False)],
    fleet: Annotated[str, typer.Option(help="Fleet whose configuration is printed.")] = "default",
    admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Admin port, on loopback.")] = 9901,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file, which only its owner can read: private keys are in it."),
    ] = None,
    print_private_keys: Annotated[
        bool, typer.Option("--print-private-keys", help="Print private keys to standard output.")
    ] = False,
    style: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.YAML,
) -> None:
    """Print the last good snapshot of a fleet as a static Envoy configuration, for the worst day.

    It has the routes and the addresses of tasks as they were when the file was written, which standard error says, and
    it follows nothing: an Envoy with it serves until there is a control plane again. Private keys are left out of what
    is printed, unless that is asked for.
    """
    try:
        kept = read(file)
    except OSError as error:
        failed(f"{file}: {error.strerror}")
    except DamagedError as error:
        failed(f"{file}: {error}")
    snapshot = kept.snapshots.fleets.get(fleet)
    if snapshot is None:
        failed(f"no fleet {fleet} in it; there are {', '.join(sorted(kept.snapshots.fleets))}")
    typer.echo(f"written {kept.written.isoformat(timespec='seconds')}", err=True)
    configuration = static(snapshot, admin_port)
    if output is not None:
        write_file(plain(configuration), style, output)
        return
    if not print_private_keys:
        redact(configuration.static_resources.secrets)
    write(plain(configuration), style)
