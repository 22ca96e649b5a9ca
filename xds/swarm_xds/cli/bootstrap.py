"""``swarm-xds bootstrap``: the configuration that a fleet member starts with."""

import json
import re
import socket
from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.certs import files
from swarm_xds.cli.output import Format, failed, plain, write, wrong_use
from swarm_xds.translate import BootstrapOptions, XdsTls, secret_files
from swarm_xds.translate import bootstrap as to_message

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")

EXAMPLES = """Examples:

swarm-xds bootstrap --server control-plane:18000 > bootstrap.yaml && envoy -c bootstrap.yaml

swarm-xds bootstrap --ca pki/ca.crt --cert pki/fleet-default.crt --key pki/fleet-default.key > bootstrap.yaml

swarm-xds bootstrap --server 127.0.0.1:18000 --node-id edge-1 --fleet internal --format json"""


def bootstrap(
    server: Annotated[str, typer.Option(help="Address and port of the control plane.")] = "127.0.0.1:18000",
    node: Annotated[
        str, typer.Option("--node", "--node-id", help="Envoy's node.id.", show_default="the host name")
    ] = "",
    fleet: Annotated[str, typer.Option("--fleet", "--cluster", help="Envoy's node.cluster.")] = "default",
    admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Admin port, on loopback.")] = 9901,
    ca: Annotated[
        Path | None, typer.Option(help="File of the authorities to trust, for TLS.", show_default="no TLS")
    ] = None,
    cert: Annotated[Path | None, typer.Option(help="File of the member's certificate.", show_default=False)] = None,
    key: Annotated[Path | None, typer.Option(help="File of its key.", show_default=False)] = None,
    tls_folder: Annotated[
        Path | None,
        typer.Option(
            help="Where two more files are written, by which Envoy follows the three.", show_default="that of --cert"
        ),
    ] = None,
    sotw: Annotated[bool, typer.Option("--sotw", help="State of the world instead of incremental xDS.")] = False,
    max_heap: Annotated[
        int, typer.Option(min=1_048_576, help="Bytes of heap until requests are refused.")
    ] = 1_073_741_824,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections until new ones are refused.")] = 50_000,
    style: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.YAML,
) -> None:
    """Print the Envoy bootstrap of a fleet member; with TLS, write two files that belong to it."""
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
        tls=_tls(ca, cert, key, tls_folder),
        incremental=not sotw,
        admin_port=admin_port,
        max_heap=max_heap,
        max_connections=max_connections,
    )
    if options.tls is not None:
        _write_secrets(options.tls)
    write(plain(to_message(options)), style)


def _tls(ca: Path | None, cert: Path | None, key: Path | None, folder: Path | None) -> XdsTls | None:
    if ca is None and cert is None and key is None:
        return None
    if ca is None or cert is None or key is None:
        wrong_use("TLS needs all of --ca, --cert and --key")
    for path in (ca, cert, key):
        if not path.is_file():
            wrong_use(f"{path}: there is no such file")
    return XdsTls(
        authorities=str(ca.absolute()),
        certificate=str(cert.absolute()),
        key=str(key.absolute()),
        folder=str((folder or cert.parent).absolute()),
    )


def _write_secrets(tls: XdsTls) -> None:
    """Write what names the certificates' files; it holds nothing of them."""
    for name, message in secret_files(tls).items():
        path = Path(tls.folder) / name
        try:
            files.write(path, json.dumps(plain(message), indent=2).encode() + b"\n", files.PUBLIC)
        except OSError as error:
            failed(f"{path}: {error.strerror}")
