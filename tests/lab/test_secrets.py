"""Certificates from Docker secrets on the real swarm: Interlock's own example, a new version, and a clean removal."""

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from support.certificates import Issued, authority, secret_lines
from support.images import APP, EDGE
from support.lab import Lab, wait_for
from support.lab_swarm import FLEET, Edges, healed, left, node_of, relays, remove, remove_early, running, settled
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

HERE = Path(__file__).parent
STACK, NEWER = HERE / "interlock-tls.yml", HERE / "interlock-tls-v2.yml"
HOST = "www.example.org"
READER = "swarm-xds-reader-"


def ask(lab: Lab, node: int, context: ssl.SSLContext) -> tuple[bytes, bytes]:
    """Ask an edge for the host; return its certificate and the beginning of its answer.

    Raises:
        OSError: It gives no answer.
    """
    with (
        socket.create_connection((lab.address(node), 443), 5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        secure.sendall(f"GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
        return secure.getpeercert(binary_form=True) or b"", secure.recv(100)


def served(lab: Lab, node: int, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate with which an edge answers for the host, and 0 if it does not."""
    try:
        shown, answer = ask(lab, node, context)
    except OSError:
        return 0
    return x509.load_der_x509_certificate(shown).serial_number if b" 200 " in answer else 0


def trusting(ca: Issued) -> ssl.SSLContext:
    """Be a client of hosts with certificates of an authority."""
    return ssl.create_default_context(cadata=ca.cert.decode())


def known(ca: Issued, folder: Path, client: Issued) -> ssl.SSLContext:
    """Be one that has a certificate itself."""
    context = trusting(ca)
    (folder / "client.pem").write_bytes(client.pair)
    context.load_cert_chain(folder / "client.pem")
    return context


def await_served(lab: Lab, context: ssl.SSLContext, issued: Issued, nodes: Sequence[int] = ()) -> float:
    """Wait until every edge, or those of some nodes, answer with a certificate; return after how many seconds."""
    start = time.monotonic()
    wanted = issued.certificate.serial_number
    for node in nodes or lab.nodes:
        wait_for(f"its certificate at edge {node}", lambda node=node: served(lab, node, context) == wanted)
    return time.monotonic() - start


@contextmanager
def handshakes(lab: Lab, context: ssl.SSLContext, nodes: Sequence[int]) -> Iterator[None]:
    """Load the edges on these nodes over TLS, a connection for each request: none may fail."""
    urls = [f"https://{lab.address(node)}/" for node in nodes]
    with Load(urls, HOST, rate=10, limit=240, tls=context, keep=False) as load:
        yield
    print(load.summary())  # noqa: T201
    assert not load.failures, load.summary()


def write(folder: Path, issued: Issued, version: str = "") -> None:
    """Put a certificate and its key where the stack file looks for them."""
    (folder / f"{HOST}.cert{version}").write_bytes(issued.cert)
    (folder / f"{HOST}.key{version}").write_bytes(issued.key)


def test_interlocks_own_example(fleet: Lab, edges: Edges, tmp_path: Path) -> None:
    """Served by every edge; a new version comes by itself; one command removes all of it, the secrets as well."""
    ca = authority()
    first, second, client = ca.issue(HOST), ca.issue(HOST), trusting(ca)
    write(tmp_path, first)
    environ = {"EXAMPLE_IMAGE": APP, "CERTIFICATES": str(tmp_path)}
    fleet.deploy("demo", STACK, env=environ)
    deployed = await_served(fleet, client, first)
    (reader,) = [name for name in relays(fleet, "demo") if READER in name]
    proxies = running(fleet, f"{FLEET}_edge")

    write(tmp_path, second, ".v2")
    with handshakes(fleet, client, fleet.nodes):
        fleet.deploy("demo", STACK, NEWER, env=environ)
        rotated = await_served(fleet, client, second)
    settled(fleet, reader, 1)
    # What was read stays when the reader is away.
    fleet.docker(1, "service", "scale", "--detach", f"{reader}=0")
    wait_for("no reader", lambda: not running(fleet, reader))
    await_served(fleet, client, second)

    keys = [line for issued in (first, second) for line in secret_lines(issued.key)]
    configs = fleet.docker(1, "config", "ls", "-q").split()
    shown = fleet.docker(1, "config", "inspect", *configs, check=False) + fleet.docker(1, "service", "inspect", reader)
    for node in fleet.nodes:
        for container in fleet.docker(node, "ps", "-aq").split():
            shown += fleet.docker(node, "logs", container, stderr=True, check=False)
    assert READER in shown
    assert not [line for line in keys if line in shown]

    remove(fleet, "demo")
    wait_for("the end of the stack", lambda: not left(fleet, "demo"))
    for node in fleet.nodes:
        wait_for("the end of the host", lambda node=node: served(fleet, node, client) == 0)
    assert running(fleet, f"{FLEET}_edge").keys() == proxies.keys()
    print(f"served {deployed:.1f} s after the deployment, rotated after {rotated:.1f} s")  # noqa: T201


def deploy_with_authorities(lab: Lab, folder: Path) -> tuple[Issued, Issued, Issued, ssl.SSLContext]:
    """Deploy a service with TLS of its own, for clients with certificates.

    Returns:
        The authority of its certificate at the edges; that of its own; that certificate; a client that may ask.
    """
    ca, of_task, of_clients = (authority(f"{name} CA") for name in ("Public", "Task", "Clients"))
    issued = ca.issue(HOST)
    write(folder, issued)
    (folder / "task.pem").write_bytes(of_task.issue(HOST).pair)
    (folder / "task-ca.pem").write_bytes(of_task.cert)
    (folder / "clients-ca.pem").write_bytes(of_clients.cert)
    lab.deploy("demo", HERE / "authorities.yml", env={"ENVOY_IMAGE": EDGE, "CERTIFICATES": str(folder)})
    client = known(ca, folder, of_clients.issue(uris=["urn:client"]))
    await_served(lab, client, issued)
    return ca, of_task, issued, client


def test_authorities(fleet: Lab, edges: Edges, tmp_path: Path) -> None:
    """Those of the task's certificate and those of clients' certificates are secrets as well."""
    ca, of_task, _, _ = deploy_with_authorities(fleet, tmp_path)
    for stranger in (trusting(ca), known(ca, tmp_path, of_task.issue(uris=["urn:client"]))):
        assert not [node for node in fleet.nodes if served(fleet, node, stranger)]
    remove(fleet, "demo")
    wait_for("the end of the stack", lambda: not left(fleet, "demo"))


def test_the_node_of_the_reader_is_lost(fleet: Lab, tmp_path: Path) -> None:
    """What was read goes on being served, and a rotation after the healing arrives."""
    ca, _, first, client = deploy_with_authorities(fleet, tmp_path)
    (reader,) = relays(fleet, "demo")
    ((name, task),) = settled(fleet, reader, 1).items()
    lost = node_of(fleet, task)
    kept, _ = others = [node for node in fleet.nodes if node != lost]
    # The service itself stays: what would become of its requests is another matter.
    away = ("service", "update", "--detach", "--no-resolve-image", f"--constraint-add=node.hostname!=node{lost}")
    fleet.docker(1, *away, "--update-order=start-first", "demo_demo")

    def spared() -> bool:
        return lost not in [node_of(fleet, each) for each in settled(fleet, "demo_demo", 1).values()]

    wait_for("its task elsewhere", spared)
    await_served(fleet, client, first)
    with handshakes(fleet, client, others):
        fleet.kill(lost)
        try:
            wait_for("another reader", lambda: running(fleet, reader, kept).keys() - {name})
            await_served(fleet, client, first, others)
        finally:
            fleet.start(lost)
        healed(fleet)
        settled(fleet, f"{FLEET}_edge", len(fleet.nodes), timeout=120, node=kept)
        second = ca.issue(HOST)
        write(tmp_path, second, ".v2")
        environ = {"ENVOY_IMAGE": EDGE, "CERTIFICATES": str(tmp_path)}
        fleet.deploy("demo", HERE / "authorities.yml", NEWER, env=environ)
        await_served(fleet, client, second)
    remove(fleet, "demo")
    wait_for("the end of the stack", lambda: not left(fleet, "demo"))


@pytest.mark.parametrize("wait", [0.0, 0.2, 0.5, 1.0, 2.0, 4.0])
def test_it_is_removed_at_the_first_try_at_any_time(fleet: Lab, edges: Edges, tmp_path: Path, wait: float) -> None:
    """However soon after the deployment: a reader that is just being made holds no secret."""
    write(tmp_path, authority().issue(HOST))
    fleet.deploy("demo", STACK, env={"EXAMPLE_IMAGE": APP, "CERTIFICATES": str(tmp_path)})
    time.sleep(wait)
    remove_early(fleet, "demo")
    wait_for("the end of the stack", lambda: not left(fleet, "demo"))
