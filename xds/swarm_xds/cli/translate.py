"""``swarm-xds translate``: stack files to Envoy's resources, offline."""

from pathlib import Path
from typing import Annotated, Any

import typer

from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.values import Certificates
from swarm_xds.cli.output import Format, failed, plain, redact, tell, write, write_file, wrong_use
from swarm_xds.cli.stacks import StackName, source
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.pipeline import Pipeline
from swarm_xds.quarantine import Quarantine
from swarm_xds.servable import servable
from swarm_xds.snapshot.static import static
from swarm_xds.translate import redacted
from swarm_xds.translate import translate as to_messages

EXAMPLES = """Examples:

swarm-xds translate stack.yml

swarm-xds translate a.yml b.yml --certs certs --format json

swarm-xds translate stack.yml --static --http-port 8080 > envoy.yaml && envoy -c envoy.yaml

swarm-xds translate stack.yml --static --certs certs --output envoy.yaml && envoy -c envoy.yaml"""


def translate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stack files.", show_default=False)],
    style: Annotated[Format, typer.Option("--format", help="How the resources are written.")] = Format.YAML,
    certs: Annotated[Path | None, typer.Option(help="Directory of certificates and keys.")] = None,
    static_: Annotated[
        bool, typer.Option("--static", help="One complete Envoy configuration that needs no control plane.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file, which only its owner can read: with --static private keys are in it."),
    ] = None,
    print_private_keys: Annotated[
        bool, typer.Option("--print-private-keys", help="With --static, print private keys to standard output.")
    ] = False,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the plain HTTP listener.")] = 80,
    https_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the HTTPS listener.")] = 443,
    https_public_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port under which clients reach HTTPS; 0: the same.")
    ] = 0,
    http3: Annotated[bool, typer.Option("--http3", help="HTTP/3 on the HTTPS port, over UDP.")] = False,
    admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Admin port, with --static.")] = 9901,
    stack: StackName = "",
    fleet: Annotated[str, typer.Option(help="Fleet whose resources are printed.")] = "default",
) -> None:
    """Translate stack files to Envoy resources, without an engine.

    Problems go to standard error, each with file, service, label, value and reason; the exit status is 1 if any of
    them is an error. What is good is translated all the same. Private keys are shown as [redacted], unless a complete
    configuration is written to a file, or they are asked for by name.
    """
    if static_ and len({http_port, https_port, admin_port}) < len(("http", "https", "admin")):
        wrong_use("--http-port, --https-port and --admin-port have to differ: one Envoy cannot listen twice on one")
    if print_private_keys and not static_:
        wrong_use("--print-private-keys goes with --static")
    options = EdgeOptions(http_port=http_port, https_port=https_port, https_public_port=https_public_port, http3=http3)
    reading = source(files, stack).read()
    if reading is None:
        failed("no file to read")
    certificates = _certificates(certs)
    problems = (*reading.problems, *certificates.problems)
    pipeline = Pipeline(options, "default")
    _, build = servable(pipeline, Quarantine(), reading.state, problems, certificates.certificates)
    has_errors = tell(build.problems)
    chosen = next((each for each in build.model.fleets if each.name == fleet), None)
    if chosen is None:
        failed(f"no service names fleet {fleet}; there are {', '.join(each.name for each in build.model.fleets)}")
    if static_:
        configuration = static(build.snapshots.of(fleet), admin_port)
        if output is None and not print_private_keys:
            redact(configuration.static_resources.secrets)
        document = plain(configuration)
    else:
        document = _resources(chosen, options)
    if output is None:
        write(document, style)
    else:
        write_file(document, style, output)
    if has_errors:
        raise typer.Exit(1)


def _certificates(directory: Path | None) -> CertificatesReading:
    if directory is None:
        return CertificatesReading(certificates=Certificates())
    reading = CertificateDirectory(directory).read()
    if reading is None:
        failed(f"{directory}: not a directory that can be read")
    return reading


def _resources(fleet: Fleet, options: EdgeOptions) -> dict[str, Any]:
    messages = to_messages(fleet, options, Memo())
    return {
        "listeners": [plain(each) for each in messages.listeners],
        "routes": [plain(each) for each in messages.routes],
        "clusters": [plain(each) for each in messages.clusters],
        "endpoints": [plain(each) for each in messages.endpoints],
        "secrets": [plain(redacted(each)) for each in messages.secrets],
    }
