"""Certificates from Docker secrets on the real swarm: Interlock's own example, a new version, and a clean removal."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from support.certificates import Issued, authority, secret_lines
from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import FLEET, STACK_FILE, Edges, left, relays, remove, running, settled

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

HERE = Path(__file__).parent
TLS_FILE = STACK_FILE.with_name("tls.yml")
STACK, NEWER = HERE / "interlock-tls.yml", HERE / "interlock-tls-v2.yml"
HOST = "www.example.org"
READER = "swarm-xds-reader-"


@pytest.fixture(scope="module")
def reading(fleet: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab with our own certificates as Docker secrets, and mutual TLS between edges and control planes."""
    command = [
        str(Path(sys.executable).with_name("swarm-xds")),
        "pki",
        "init",
        str(tmp_path_factory.mktemp("pki")),
        "--docker",
    ]
    environ = {**os.environ, "DOCKER_HOST": f"unix://{fleet.socket(1)}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    deploy(fleet, STACK_FILE, TLS_FILE)
    yield fleet
    deploy(fleet, STACK_FILE)


def deploy(lab: Lab, *files: Path) -> None:
    """Deploy our own stack anew, and wait until all of it is replaced and serves."""
    before = set(running(lab, f"{FLEET}_edge"))
    # Without the shipped pauses between nodes.
    lab.deploy(FLEET, *files, env={"TAG": "lab"})
    hurry = ("--update-delay", "0s", "--update-monitor", "1s")
    lab.docker(1, "service", "update", "--detach", "--no-resolve-image", *hurry, f"{FLEET}_edge")
    wait_for("new edges", lambda: not before & set(running(lab, f"{FLEET}_edge")), timeout=180)
    settled(lab, f"{FLEET}_edge", len(lab.nodes), timeout=120)
    settled(lab, f"{FLEET}_control-plane", 2, timeout=120)
    edges = Edges(lab)
    edges.await_status("nobody.example.org", 404, timeout=60)
    edges.close()


def served(lab: Lab, node: int, ca: Issued) -> int:
    """Return the serial number of the certificate with which an edge answers for the host, and 0 if it does not."""
    context = ssl.create_default_context(cadata=ca.cert.decode())
    try:
        with (
            socket.create_connection((lab.address(node), 443), 5) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            secure.sendall(f"GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
            answer = secure.recv(100)
            shown = secure.getpeercert(binary_form=True)
    except OSError:
        return 0
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number if b" 200 " in answer else 0


def await_served(lab: Lab, ca: Issued, issued: Issued) -> float:
    """Wait until every edge answers with a certificate; return after how many seconds."""
    start = time.monotonic()
    wanted = issued.certificate.serial_number
    for node in lab.nodes:
        wait_for(f"its certificate at edge {node}", lambda node=node: served(lab, node, ca) == wanted, timeout=60)
    return time.monotonic() - start


def write(folder: Path, issued: Issued, version: str = "") -> None:
    """Put a certificate and its key where the stack file looks for them."""
    (folder / f"{HOST}.cert{version}").write_bytes(issued.cert)
    (folder / f"{HOST}.key{version}").write_bytes(issued.key)


def test_interlocks_own_example(reading: Lab, edges: Edges, tmp_path: Path) -> None:
    """Served by every edge; a new version comes by itself; one command removes all of it, the secrets as well."""
    ca = authority()
    first, second = ca.issue(HOST), ca.issue(HOST)
    write(tmp_path, first)
    environ = {"EXAMPLE_IMAGE": APP, "CERTIFICATES": str(tmp_path)}
    reading.deploy("demo", STACK, env=environ)
    deployed = await_served(reading, ca, first)
    (reader,) = [name for name in relays(reading, "demo") if READER in name]
    proxies = running(reading, f"{FLEET}_edge")

    write(tmp_path, second, ".v2")
    reading.deploy("demo", STACK, NEWER, env=environ)
    rotated = await_served(reading, ca, second)
    settled(reading, reader, 1)
    # What was read stays when the reader is away.
    reading.docker(1, "service", "scale", "--detach", f"{reader}=0")
    wait_for("no reader", lambda: not running(reading, reader))
    await_served(reading, ca, second)

    keys = [line for issued in (first, second) for line in secret_lines(issued.key)]
    configs = reading.docker(1, "config", "ls", "-q").split()
    shown = reading.docker(1, "config", "inspect", *configs) + reading.docker(1, "service", "inspect", reader)
    for node in reading.nodes:
        for container in reading.docker(node, "ps", "-aq").split():
            shown += reading.docker(node, "logs", container, stderr=True, check=False)
    assert not [line for line in keys if line in shown]

    remove(reading, "demo")
    wait_for("the end of the stack", lambda: not left(reading, "demo"), timeout=60)
    for node in reading.nodes:
        wait_for("the end of the host", lambda node=node: served(reading, node, ca) == 0)
    assert running(reading, f"{FLEET}_edge").keys() == proxies.keys()
    print(f"served {deployed:.1f} s after the deployment, rotated after {rotated:.1f} s")  # noqa: T201


@pytest.mark.parametrize("wait", [0.0, 0.2, 0.5, 1.0, 2.0, 4.0])
def test_it_is_removed_at_the_first_try_at_any_time(reading: Lab, edges: Edges, tmp_path: Path, wait: float) -> None:
    """However soon after the deployment: a reader that is just being made holds no secret."""
    write(tmp_path, authority().issue(HOST))
    reading.deploy("demo", STACK, env={"EXAMPLE_IMAGE": APP, "CERTIFICATES": str(tmp_path)})
    time.sleep(wait)
    remove(reading, "demo")
    wait_for("the end of the stack", lambda: not left(reading, "demo"), timeout=60)
