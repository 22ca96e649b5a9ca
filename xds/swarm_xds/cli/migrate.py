"""``swarm-xds migrate``: what becomes of Interlock's labels and configuration file."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from swarm_xds import log
from swarm_xds.app import make_source
from swarm_xds.cli.ask.show import print_table
from swarm_xds.cli.ask.tables import Table, Tone
from swarm_xds.cli.output import failed, tell, wrong_use
from swarm_xds.cli.stacks import SECONDS, StackName, first, source
from swarm_xds.given import SettingsError
from swarm_xds.migrate import ConfigurationError, Fate, Finding, configuration, labels
from swarm_xds.problem import Severity
from swarm_xds.settings import Settings, load
from swarm_xds.sources import Reading
from swarm_xds.sources.docker import EndpointError, EngineError

EXAMPLES = """Examples:

swarm-xds migrate stacks/*.yml

swarm-xds migrate --swarm

docker config inspect --format '{{printf "%s" .Spec.Data}}' com.docker.ucp.interlock.conf-1 > interlock.toml

swarm-xds migrate interlock.toml --settings > settings.yml"""

_TONES = {
    Fate.TAKEN: Tone.GOOD,
    Fate.DIFFERENT: Tone.DOUBTFUL,
    Fate.OBSOLETE: Tone.NONE,
    Fate.NOT_SERVED: Tone.BAD,
    Fate.UNKNOWN: Tone.BAD,
}


def migrate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Stack files, and Interlock's own (.toml).", show_default=False),
    ] = None,
    swarm: Annotated[bool, typer.Option("--swarm", help="Read the services of a running swarm; only reads.")] = False,
    docker_host: Annotated[str | None, typer.Option(help="Its manager.", show_default="DOCKER_HOST")] = None,
    stack: StackName = "",
    settings: Annotated[
        bool, typer.Option("--settings", help="Print only the settings that correspond, as a file for serve --config.")
    ] = False,
) -> None:
    """Say of each label and option of Interlock's whether it is taken over as it is, or what it means here.

    Of files, of a running swarm, or both. Exit status 1 if one of them is not served or not known, or
    if there is an error.
    """
    if not files and not swarm:
        wrong_use("name files, or say --swarm")
    findings, found = _configurations([file for file in files or () if file.suffix == ".toml"])
    stacks = [file for file in files or () if file.suffix != ".toml"]
    readings = ([_files(stacks, stack)] if stacks else []) + ([_swarm(docker_host)] if swarm else [])
    has_errors = False
    for reading in readings:
        findings += [finding for service in reading.state.services for finding in labels(service)]
        has_errors |= tell(each for each in reading.problems if each.severity is Severity.ERROR)
    if settings:
        typer.echo(yaml.safe_dump(found, sort_keys=True) if found else "{}\n", nl=False)
    else:
        print_table(_table(findings))
        for name, value in sorted(found.items()):
            typer.echo(f"setting {name}: {value}")
    if has_errors or any(each.fate in {Fate.NOT_SERVED, Fate.UNKNOWN} for each in findings):
        raise typer.Exit(1)


def _files(files: Iterable[Path], stack: str) -> Reading:
    given = source(files, stack)
    reading = given.read()
    if reading is None or given.unread:
        tell(reading.problems if reading else ())
        failed("not all files can be read")
    return reading


def _swarm(docker_host: str | None) -> Reading:
    log.configure("warning", "console")
    try:
        settings = load({"source": "docker"} | ({"docker_host": docker_host} if docker_host else {}), os.environ)
        return asyncio.run(first(make_source(settings)))
    except SettingsError as error:
        wrong_use(str(error))
    except (EndpointError, EngineError, TimeoutError) as error:
        failed(str(error) or f"no manager answers within {SECONDS:.0f} s")


def _configurations(files: Iterable[Path]) -> tuple[list[Finding], dict[str, object]]:
    """Return what Interlock's configuration files come to; the settings are ones that ``serve`` takes."""
    findings: list[Finding] = []
    found: dict[str, object] = {}
    for file in files:
        try:
            told, settings = configuration(file.read_bytes())
            Settings.model_validate(settings)
        except OSError as error:
            failed(f"{file}: cannot be read: {error.strerror}")
        except ConfigurationError as error:
            failed(f"{file}: {error}")
        except ValueError as error:
            failed(f"{file}: a value is out of its range: {' '.join(str(error).split())}")
        findings += told
        found |= settings
    return findings, found


def _table(findings: Iterable[Finding]) -> Table:
    rows = tuple(
        (_TONES[each.fate], (each.place, each.name, each.value, str(each.fate), each.note)) for each in findings
    )
    columns = ("WHERE", "WHAT", "VALUE", "IS", "NOTE")
    return Table(columns=columns, rows=rows, empty="nothing of Interlock's is there")
