"""``swarm-xds bootstrap``: the configuration that a fleet member starts with."""

import re
import socket
from typing import Annotated

import typer

from swarm_xds.cli.output import Format, plain, write, wrong_use
from swarm_xds.translate import BootstrapOptions
from swarm_xds.translate import bootstrap as to_message

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")

EXAMPLES = """Examples:

swarm-xds bootstrap --server control-plane:18000 > bootstrap.yaml && envoy -c bootstrap.yaml

swarm-xds bootstrap --server 127.0.0.1:18000 --node-id edge-1 --fleet internal --format json"""


def bootstrap(
    server: Annotated[str, typer.Option(help="Address and port of the control plane.")] = "127.0.0.1:18000",
    node: Annotated[
        str, typer.Option("--node", "--node-id", help="Envoy's node.id.", show_default="the host name")
    ] = "",
    fleet: Annotated[str, typer.Option("--fleet", "--cluster", help="Envoy's node.cluster.")] = "default",
    admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Admin port, on loopback.")] = 9901,
    sotw: Annotated[bool, typer.Option("--sotw", help="State of the world instead of incremental xDS.")] = False,
    max_heap: Annotated[
        int, typer.Option(min=1_048_576, help="Bytes of heap until requests are refused.")
    ] = 1_073_741_824,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections until new ones are refused.")] = 50_000,
    style: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.YAML,
) -> None:
    """Print the Envoy bootstrap of a fleet member."""
    host, separator, port = server.rpartition(":")
    if not separator or not host or not port.isdigit() or not 1 <= int(port) <= 65535:  # noqa: PLR2004
        wrong_use(f'--server "{server}" is not an address and a port, such as control-plane:18000')
    if not _HOST.fullmatch(host):
        wrong_use(f'--server "{server}": "{host}" is neither a host name nor an address')
    if not fleet:
        wrong_use("--fleet is empty, and Envoy needs one")
    options = BootstrapOptions(
        node=node or socket.gethostname(),
        fleet=fleet,
        host=host.strip("[]"),
        port=int(port),
        incremental=not sotw,
        admin_port=admin_port,
        max_heap=max_heap,
        max_connections=max_connections,
    )
    write(plain(to_message(options)), style)
