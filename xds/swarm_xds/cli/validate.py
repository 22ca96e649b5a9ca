"""``swarm-xds validate``: what is wrong with stack files, before they are deployed."""

import os
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.cli.locate import locate
from swarm_xds.cli.output import failed, tell
from swarm_xds.model import EdgeOptions, RoutingModel
from swarm_xds.pipeline import Pipeline
from swarm_xds.problem import Kind, Problem, Severity, ordered
from swarm_xds.sources.compose import ComposeSource

EXAMPLES = """Examples:

swarm-xds validate stack.yml

swarm-xds validate stacks/*.yml --format github"""

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
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 for warnings too.")] = False,
) -> None:
    """Check the labels of stack files, without an engine and without a control plane.

    Types, unknown keys with "did you mean", networks, claims of several services on one host. Exit status 1 if there
    is an error. What the swarm has already is not looked at: `swarm-xds plan` does that.
    """
    reading = ComposeSource(files, os.environ).read()
    if reading is None:
        failed("no file to read")
    build = Pipeline(EdgeOptions(), default_fleet).build(reading.state, reading.problems)
    found = ordered((*build.problems, *_shared(build.model)))
    if report is Report.GITHUB:
        for line in annotations(found, {str(file): file for file in files}):
            typer.echo(line)
    else:
        tell(found)
    if any(each.severity >= (Severity.WARNING if strict else Severity.ERROR) for each in found):
        raise typer.Exit(1)


def _shared(model: RoutingModel) -> Iterator[Problem]:
    """Return, for services that have one route together, what one may not know of the other."""
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
