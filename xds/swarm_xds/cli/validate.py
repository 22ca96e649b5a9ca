"""``swarm-xds validate``: what is wrong with stack files, before they are deployed."""

import difflib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.certs.values import version_of
from swarm_xds.cli.locate import locate
from swarm_xds.cli.output import failed, tell
from swarm_xds.cli.stacks import StackName, source
from swarm_xds.labels import parse
from swarm_xds.model import EdgeOptions, RoutingModel
from swarm_xds.networks.readers import secret_names
from swarm_xds.pipeline import Pipeline
from swarm_xds.problem import Kind, Problem, Severity, ordered, shown
from swarm_xds.quarantine import Quarantine
from swarm_xds.servable import servable
from swarm_xds.swarm import SwarmState

EXAMPLES = """Examples:

swarm-xds validate stack.yml

swarm-xds validate --stack shop docker-compose.yml

swarm-xds validate stacks/*.yml --format github"""

#: What is in certificates is not known here.
_OF_CERTIFICATES = {Kind.BAD_CERTIFICATE, Kind.NO_CERTIFICATE}
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


class Report(StrEnum):
    """How problems are written."""

    TEXT = "text"
    GITHUB = "github"


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stack files.", show_default=False)],
    report: Annotated[
        Report, typer.Option("--format", help="text, or annotations of GitHub's workflows.")
    ] = Report.TEXT,
    default_fleet: Annotated[str, typer.Option(help="Fleet of services that name none.")] = "default",
    stack: StackName = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 for warnings too.")] = False,
) -> None:
    """Check the labels of stack files, without an engine and without a control plane.

    Types, unknown keys with "did you mean", networks, claims of several services on one host. Exit status 1 if there
    is an error. What the swarm has already is not looked at, which `swarm-xds plan` does, nor what is in certificates,
    which `swarm-xds translate --certs` does.
    """
    reading = source(files, stack).read()
    if reading is None:
        failed("no file to read")
    _, build = servable(Pipeline(EdgeOptions(), default_fleet), Quarantine(), reading.state, reading.problems)
    told = (each for each in build.problems if each.kind not in _OF_CERTIFICATES)
    found = ordered(
        (*told, *_shared(build.model, reading.state), *_misspelt(reading.state), *_published(reading.state))
    )
    if report is Report.GITHUB:
        for line in annotations(found, {str(file): file for file in files}):
            typer.echo(line)
    else:
        tell(found)
    if any(each.severity >= (Severity.WARNING if strict else Severity.ERROR) for each in found):
        raise typer.Exit(1)


def _misspelt(state: SwarmState) -> Iterator[Problem]:
    """Return labels whose secret is none of the files, and nearly is one; others may be in the swarm already."""
    names = {
        name
        for secret in state.secrets
        for whole in (secret.name, secret.name.removeprefix(f"{secret.stack}_"))
        for name in (whole, version_of(whole)[0])
    }
    for service in state.services:
        for label, name in sorted({each for route in parse(service)[0].routes for each in secret_names(route)}):
            near = difflib.get_close_matches(name, names, n=1)
            if name not in names and near:
                yield Problem(
                    severity=Severity.WARNING,
                    kind=Kind.BAD_CERTIFICATE,
                    service=service.name,
                    label=label,
                    value=shown(name),
                    reason="no secret of the files has this name",
                    cure=f"did you mean {near[0]}?",
                    source=service.source,
                )


def _published(state: SwarmState) -> Iterator[Problem]:
    """Return services whose label has the port that is published, where the container's own is meant."""
    for service in state.services:
        targets = {port.target for port in service.ports}
        wanted = {route.backend.port for route in parse(service)[0].routes if route.backend is not None}
        for port in service.ports:
            if port.published in wanted - targets:
                yield Problem(
                    severity=Severity.WARNING,
                    kind=Kind.BAD_VALUE,
                    service=service.name,
                    reason=f"a label says port {port.published}, which is the one that is published for {port.target}",
                    cure=f"if the container listens on {port.target}, give that",
                    source=service.source,
                )


def _shared(model: RoutingModel, state: SwarmState) -> Iterator[Problem]:
    """Return, for services that have one route together, what one may not know of the other."""
    sources = {service.name: service.source for service in state.services}
    for fleet in model.fleets:
        for host in fleet.virtual_hosts:
            for route in host.routes:
                oldest, *others = route.services
                for service in others:
                    yield Problem(
                        severity=Severity.INFO,
                        kind=Kind.CONFLICT,
                        service=service,
                        reason=f"{host.host}{route.path} is claimed by {oldest} too: they share the traffic",
                        source=sources[service],
                    )


def annotations(problems: Iterable[Problem], files: dict[str, Path]) -> Iterator[str]:
    """Return workflow commands, which GitHub shows beside the lines that they are about.

    See https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
    """
    contents = {name: _content(file) for name, file in files.items()}
    for problem in problems:
        properties = [f"title={_escaped(str(problem.kind), in_property=True)}"]
        if problem.source in contents:
            line = locate(contents[problem.source], problem.service, problem.label)
            properties = [f"file={_escaped(problem.source, in_property=True)}", f"line={line}", *properties]
        text = str(problem).removeprefix(f"{problem.severity}: ")
        yield f"::{_LEVELS[problem.severity]} {','.join(properties)}::{_escaped(text)}"


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _escaped(text: str, *, in_property: bool = False) -> str:
    pairs = [("%", "%25"), ("\r", "%0D"), ("\n", "%0A")] + ([(":", "%3A"), (",", "%2C")] if in_property else [])
    for plain, escaped in pairs:
        text = text.replace(plain, escaped)
    return text
