"""``swarm-xds translate``: stack files to Envoy's resources, offline."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

# Messages that may stand inside an Any have to be known before they can be printed.
from swarm_xds.cli.output import Format, failed, plain, tell, write, wrong_use
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.pipeline import Pipeline
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.translate import static
from swarm_xds.translate import translate as to_messages

EXAMPLES = """Examples:

swarm-xds translate stack.yml

swarm-xds translate a.yml b.yml --format json

swarm-xds translate stack.yml --static --http-port 8080 > envoy.yaml && envoy -c envoy.yaml"""


def translate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stack files.", show_default=False)],
    style: Annotated[Format, typer.Option("--format", help="How the resources are written.")] = Format.YAML,
    static_: Annotated[
        bool, typer.Option("--static", help="One complete Envoy configuration that needs no control plane.")
    ] = False,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the plain HTTP listener.")] = 80,
    https_port: Annotated[  # noqa: ARG001 - scripts may give it before TLS is served
        int, typer.Option(min=1, max=65535, help="Port of the HTTPS listener; nothing is served on it yet.")
    ] = 443,
    admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Admin port, with --static.")] = 9901,
    fleet: Annotated[str, typer.Option(help="Fleet whose resources are printed.")] = "default",
) -> None:
    """Translate stack files to Envoy resources, without an engine.

    Problems go to standard error, each with file, service, label, value and reason; the exit status is 1 if any of
    them is an error. What is good is translated all the same.
    """
    if static_ and http_port == admin_port:
        wrong_use("--http-port and --admin-port are the same: one Envoy cannot listen on it twice")
    options = EdgeOptions(http_port=http_port)
    reading = ComposeSource(files, os.environ).read()
    if reading is None:
        failed("no file to read")
    build = Pipeline(options, "default").build(reading.state, reading.problems)
    has_errors = tell(build.problems)
    chosen = next((each for each in build.model.fleets if each.name == fleet), None)
    if chosen is None:
        failed(f"no service names fleet {fleet}; there are {', '.join(each.name for each in build.model.fleets)}")
    write(plain(static(chosen, options, admin_port)) if static_ else _resources(chosen, options), style)
    if has_errors:
        raise typer.Exit(1)


def _resources(fleet: Fleet, options: EdgeOptions) -> dict[str, Any]:
    messages = to_messages(fleet, options, Memo())
    return {
        "listeners": [plain(each) for each in messages.listeners],
        "routes": [plain(each) for each in messages.routes],
        "clusters": [plain(each) for each in messages.clusters],
        "endpoints": [plain(each) for each in messages.endpoints],
    }
