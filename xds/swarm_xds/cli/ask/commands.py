"""The commands that ask a running control plane.

Exit status 1 where what they show is wrong, 3 if the control plane cannot be asked.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToJson

from swarm_xds.cli.ask import certificates, dumped, tables
from swarm_xds.cli.ask.client import SECONDS, Asked, asking, connect
from swarm_xds.cli.ask.show import Output, Style, line, show
from swarm_xds.cli.output import wrong_use
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.snapshot import ADS_ORDER

Fleet = Annotated[str, typer.Option("--fleet", help="Only this fleet.", show_default="all")]

#: What a shell gives a command that Ctrl-C has ended.
_INTERRUPTED = 128 + signal.SIGINT

_SEVERITIES = {word: severity for severity, (word, _) in tables.SEVERITIES.items()}
_TYPES = {type_url.rpartition(".")[2].lower(): type_url for type_url in ADS_ORDER}


def _of(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what completes one of some words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


@asking
def routes(asked: Asked, fleet: Fleet = "", output: Output = Style.TABLE) -> None:
    """Print every route: host, path, and where requests go."""
    with connect(asked) as debug:
        answer = debug.ListRoutes(pb.ListRoutesRequest(fleet=fleet), timeout=SECONDS)
    show(answer, output, tables.routes(answer.routes))


@asking
def services(asked: Asked, output: Output = Style.TABLE) -> None:
    """Print every service that carries a label of ours: its tasks, networks, routes and problems."""
    with connect(asked) as debug:
        answer = debug.ListServices(pb.ListServicesRequest(), timeout=SECONDS)
    show(answer, output, tables.services(answer.services))


@asking
def problems(
    asked: Asked,
    service: Annotated[str, typer.Option("--service", help="Only this service.", show_default="all")] = "",
    severity: Annotated[
        str,
        typer.Option("--severity", help="info, warning or error: only this or worse.", autocompletion=_of(_SEVERITIES)),
    ] = "info",
    output: Output = Style.TABLE,
) -> None:
    """Print what is wrong, each with reason and cure. Exit status 1 if something of it is an error."""
    if severity not in _SEVERITIES:
        wrong_use(f"--severity {severity}: there are {', '.join(_SEVERITIES)}")
    with connect(asked) as debug:
        request = pb.ListProblemsRequest(service=service, at_least=_SEVERITIES[severity])
        answer = debug.ListProblems(request, timeout=SECONDS)
    show(answer, output, tables.problems(answer.problems))
    _exit(wrong=any(each.severity == pb.Problem.SEVERITY_ERROR for each in answer.problems))


@asking
def nodes(asked: Asked, fleet: Fleet = "", output: Output = Style.TABLE) -> None:
    """Print every proxy and how it stands to what it is to have. Exit status 1 if one refuses a part of it."""
    with connect(asked) as debug:
        answer = debug.ListNodes(pb.ListNodesRequest(fleet=fleet), timeout=SECONDS)
    show(answer, output, tables.nodes(answer.nodes, time.time()))
    _exit(wrong=any(each.standing == pb.STANDING_REFUSED for each in answer.nodes))


@asking
def certs(
    asked: Asked,
    expiring: Annotated[
        int | None,
        typer.Option("--expiring", min=0, help="Only those that end within so many days.", show_default="all"),
    ] = None,
    output: Output = Style.TABLE,
) -> None:
    """Print every certificate: who uses it, when it ends, and why it is not served. Private keys are never shown.

    Exit status 1 if one that is used has expired, or ends within the days of --expiring, or if a host waits for one.
    """
    with connect(asked) as debug:
        answer = debug.ListCertificates(pb.ListCertificatesRequest(), timeout=SECONDS)
    now = time.time()
    if expiring is not None:
        ending = [each for each in answer.certificates if certificates.ends_within(each, expiring, now)]
        answer = pb.ListCertificatesResponse(certificates=ending)
    show(answer, output, certificates.table(answer.certificates, now))
    _exit(
        wrong=any(
            certificates.ends_within(each, expiring or 0, now) for each in certificates.needed(answer.certificates)
        )
    )


def networks(asked: Asked, output: Style) -> None:
    """Print how the fleets reach networks, and what is to be done for it."""
    with connect(asked) as debug:
        answer = debug.ListNetworks(pb.ListNetworksRequest(), timeout=SECONDS)
    if output is Style.TABLE and not answer.managed:
        typer.echo("this control plane keeps no networks")
        return
    show(answer, output, tables.networks(answer.networks), tables.steps(answer.steps))


@asking
def snapshot(
    asked: Asked,
    type_: Annotated[
        str, typer.Option("--type", help=f"Only this type: {', '.join(_TYPES)}.", autocompletion=_of(_TYPES))
    ] = "",
    fleet: Annotated[str, typer.Option("--fleet", help="Whose.", show_default="the default fleet")] = "",
    output: Output = Style.TABLE,
) -> None:
    """Print the resources that each proxy of a fleet is to have; the documents have them whole, secrets redacted."""
    if type_ and type_.lower() not in _TYPES:
        wrong_use(f"--type {type_}: there are {', '.join(_TYPES)}")
    with connect(asked) as debug:
        request = pb.GetSnapshotRequest(fleet=fleet, type_url=_TYPES.get(type_.lower(), ""))
        answer = debug.GetSnapshot(request, timeout=SECONDS)
    show(answer, output, tables.snapshot(answer))


@asking
def diff(
    asked: Asked,
    config_dump: Annotated[
        str,
        typer.Option(
            "--config-dump",
            help="File with an Envoy's /config_dump?include_eds, or - for standard input: compare with that, too.",
            metavar="FILE",
        ),
    ] = "",
    admin: Annotated[
        str,
        typer.Option(
            "--admin", help="Its admin interface, such as http://127.0.0.1:9901, instead of a file.", metavar="URL"
        ),
    ] = "",
    node: Annotated[str, typer.Option("--node", help="Only this proxy.", show_default="all")] = "",
    fleet: Fleet = "",
    output: Output = Style.TABLE,
) -> None:
    """Print what proxies do not have as they are to have it. Exit status 1 if there is anything.

    With an Envoy's own configuration it says of each resource what is intended, acknowledged, and there.
    """
    if config_dump or admin:
        found = dumped.differences(asked, dumped.take(config_dump, admin), node=node, fleet=fleet)
        dumped.show(found, output)
        _exit(wrong=bool(found.findings))
        return
    with connect(asked) as debug:
        answer = debug.Diff(pb.DiffRequest(fleet=fleet, node=node), timeout=SECONDS)
    show(answer, output, tables.differences(answer.differences))
    _exit(wrong=bool(answer.differences))


@asking
def explain(
    asked: Asked,
    url: Annotated[str, typer.Argument(metavar="URL", help="Such as app.example.org/path.", show_default=False)],
    method: Annotated[str, typer.Option("--method", "-X", help="Of the request.")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'name: value', of the request.", show_default=False)
    ] = None,
    fleet: Annotated[str, typer.Option("--fleet", help="Whose proxy is asked.", show_default="the default fleet")] = "",
    output: Output = Style.TABLE,
) -> None:
    """Say step by step why a request reaches what it reaches, or why not and what to change.

    Exit status 1 if it does not get through.
    """
    headers = _headers(header or ())
    with connect(asked) as debug:
        request = pb.ExplainRequest(url=url, method=method, headers=headers, fleet=fleet)
        answer = debug.Explain(request, timeout=SECONDS)
    show(answer, output, tables.explanation(answer))
    if output is Style.TABLE:
        typer.echo(answer.answer)
    _exit(wrong=answer.outcome not in {"forwarded", "redirected"})


@asking
def watch(
    asked: Asked,
    last: Annotated[int, typer.Option("--last", min=0, max=256, help="Begin with so many of the last changes.")] = 0,
    output: Output = Style.TABLE,
) -> None:
    """Print each change as it happens: its cause, and after how long every proxy had it. Ends with Ctrl-C."""
    if output is Style.YAML:
        wrong_use("watch prints lines, or with --output json one document a line")
    with connect(asked) as debug:
        call = debug.Watch(pb.WatchRequest(last=last))
        interrupted = threading.Event()

        def interrupt(*_: object) -> None:
            interrupted.set()
            threading.Thread(target=call.cancel).start()

        # Raised in the middle of gRPC's own code, a KeyboardInterrupt may be swallowed there.
        signal.signal(signal.SIGINT, interrupt)
        try:
            for event in call:
                if output is Style.JSON:
                    typer.echo(MessageToJson(event, preserving_proto_field_name=True, indent=None))
                else:
                    line(*tables.event(event))
        except grpc.RpcError:
            if not interrupted.is_set():
                raise
            raise typer.Exit(_INTERRUPTED) from None


#: Of each command.
EXAMPLES = {
    "routes": "swarm-xds routes\n\nswarm-xds routes --fleet internal --output json",
    "services": "swarm-xds services",
    "problems": "swarm-xds problems\n\nswarm-xds problems --severity error --service shop_web",
    "nodes": "swarm-xds nodes\n\nswarm-xds nodes --context staging",
    "explain": "swarm-xds explain app.example.org/path\n\n"
    "swarm-xds explain http://10.0.0.1/ -H 'Host: app.example.org' -X POST",
    "diff": "swarm-xds diff\n\nswarm-xds diff --node edge-node1\n\nswarm-xds diff --admin http://127.0.0.1:9901",
    "certs": "swarm-xds certs\n\nswarm-xds certs --expiring 14 --output json",
    "watch": "swarm-xds watch\n\nswarm-xds watch --last 20 --output json",
    "snapshot": "swarm-xds snapshot\n\nswarm-xds snapshot --type cluster --output yaml",
}


def _headers(given: Iterable[str]) -> dict[str, str]:
    """Return headers by name in lower case; those that are given twice are put together as HTTP has it."""
    found: dict[str, str] = {}
    for each in given:
        name, colon, value = (part.strip() for part in each.partition(":"))
        if not colon or not name:
            wrong_use(f"--header {each}: not of the form 'name: value'")
        between = "; " if name.lower() == "cookie" else ", "
        found[name.lower()] = between.join(filter(None, (found.get(name.lower()), value)))
    return found


def _exit(*, wrong: bool) -> None:
    if wrong:
        raise typer.Exit(1)
