"""``swarm-xds plan``: what a deployment of stack files would change in a running control plane."""

from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.cli.ask import tables
from swarm_xds.cli.ask.client import SECONDS, Asked, asking, connect
from swarm_xds.cli.ask.show import Output, Style, show
from swarm_xds.cli.output import failed, tell
from swarm_xds.cli.stacks import StackName, source
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.swarm import PublishMode, Service

EXAMPLES = """Examples:

swarm-xds plan stack.yml

swarm-xds plan stack.yml --prune --output json"""


@asking
def plan(
    asked: Asked,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stack files.", show_default=False)],
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Services that are not in the files go, as with docker stack deploy --prune."),
    ] = False,
    stack: StackName = "",
    output: Output = Style.TABLE,
) -> None:
    """Print which routes, clusters and networks would come (+), change (~) and go (-). Nothing is done.

    Exit status 1 if a file cannot be read or has an error, or if one would come.
    """
    given = source(files, stack)
    reading = given.read()
    wrong = tell(reading.problems if reading else ())
    if reading is None or given.unread:
        failed("nothing is planned, since not all files can be read")
    services = reading.state.services
    request = pb.PlanRequest(
        services=[_planned(each) for each in services],
        stacks=sorted({each.stack for each in services}) if prune else [],
        secrets=[each.name for each in reading.state.secrets],
    )
    with connect(asked) as debug:
        answer = debug.Plan(request, timeout=SECONDS)
    show(answer, output, tables.planned(answer.changes))
    if output is Style.TABLE and answer.problems_new:
        show(answer, output, tables.problems(answer.problems_new))
    if wrong or any(each.severity == pb.Problem.SEVERITY_ERROR for each in answer.problems_new):
        raise typer.Exit(1)


def _planned(service: Service) -> pb.PlannedService:
    return pb.PlannedService(
        name=service.name,
        stack=service.stack,
        labels=dict(service.labels),
        networks=service.network_ids,
        ports=[
            pb.PlannedPort(target=port.target, published=port.published, host_mode=port.mode is PublishMode.HOST)
            for port in service.ports
        ],
    )
