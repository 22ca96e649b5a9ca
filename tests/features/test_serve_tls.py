"""`swarm-xds serve` itself, with mutual TLS: who is refused is counted and logged, and certificates are listed."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from support.certificates import authority, secret_lines
from support.ports import free_port
from swarm_xds.cli.main import application
from swarm_xds.pki import issue
from swarm_xds.pki.store import Store

SECONDS = 60
NOW = datetime.now(UTC).replace(microsecond=0)
STACK = """services:
  web:
    image: app
    deploy: {labels: {xds.hosts: web.example.org, xds.port: 80, xds.ssl_cert: site.pem}}
  shop:
    image: app
    deploy: {labels: {xds.hosts: shop.example.org, xds.port: 80, xds.ssl_cert: none.pem}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A control plane in a process of its own."""

    folder: Path
    process: subprocess.Popen[bytes]
    xds: int
    metrics: int
    debug: str

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return its events of one name; every line that it has written is one."""
        lines = (self.folder / "log").read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def until(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events of a name."""
        end = time.monotonic() + SECONDS
        while len(found := self.events(name)) < count:
            assert self.process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < end, (self.folder / "log").read_text(encoding="utf-8")
            time.sleep(0.02)
        return found

    def refused(self) -> dict[str, float]:
        """Return how many clients were refused, by reason."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics}/metrics", trust_env=False).text
        lines = [line for line in text.splitlines() if line.startswith("swarm_xds_clients_refused_total{")]
        counts = {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}
        return {reason: count for reason, count in counts.items() if count}

    def certs(self, *options: str) -> tuple[int, str]:
        """Call the command; return its exit status and what it prints."""
        result = CliRunner().invoke(application("certs"), ["certs", "--address", self.debug, *options])
        return result.exit_code, result.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`swarm-xds serve` with mutual TLS and a certificate that ends in ten days; in the end it stops as it should."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("own", "foreign", "certs"):
        (folder / name).mkdir()
    Store(folder / "own").init([issue.control_plane(), issue.fleet("default")], NOW)
    Store(folder / "foreign").init([issue.control_plane(), issue.fleet("default")], NOW)
    (folder / "certs" / "site.pem").write_bytes(authority().issue("web.example.org", days=(-80, 10)).pair)
    (folder / "stack.yml").write_text(STACK, encoding="utf-8")
    xds, metrics, debug = free_port(), free_port(), free_port()
    own = folder / "own"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(Path(sys.executable).parent / "swarm-xds"), "serve", "--source", "compose"),
                *(str(folder / "stack.yml"), "--certs", str(folder / "certs"), "--log-format", "json"),
                *("--tls-ca", str(own / "ca.crt"), "--tls-cert", str(own / "control-plane.crt")),
                *("--tls-key", str(own / "control-plane.key"), "--listen", f"127.0.0.1:{xds}"),
                *("--metrics-listen", f"127.0.0.1:{metrics}", "--debug-listen", f"127.0.0.1:{debug}"),
            ],
            stderr=log,
            env={key: value for key, value in os.environ.items() if not key.startswith("GRPC_")},
        )
    place = Served(folder, process, xds, metrics, f"127.0.0.1:{debug}")
    try:
        place.until("snapshot.published")
        yield place
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
        assert place.events("stopped")
    finally:
        process.kill()
        process.wait()


def client(folder: Path | None) -> ssl.SSLContext:
    """Return a client's side of TLS, with the certificate of a member if there is a folder of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if folder is not None:
        context.load_cert_chain(folder / "fleet-default.crt", folder / "fleet-default.key")
    return context


def greet(port: int, context: ssl.SSLContext | None) -> bytes:
    """Begin with HTTP/2 and return what comes first; empty if the other side ends it."""
    with suppress(ConnectionError, ssl.SSLError), socket.create_connection(("127.0.0.1", port), SECONDS) as plain:
        talk = plain if context is None else context.wrap_socket(plain)
        with talk:
            talk.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            return talk.recv(9)
    return b""


def test_who_is_refused_is_counted_and_logged(served: Served) -> None:
    """Once each, by its reason, as events of the log and nothing else; who is let in is not among them."""
    assert greet(served.xds, client(served.folder / "own")) != b""
    strangers = (
        (client(None), "no-certificate"),
        (client(served.folder / "foreign"), "untrusted-certificate"),
        (None, "not-tls"),
    )
    for number, (context, reason) in enumerate(strangers, start=1):
        assert greet(served.xds, context) == b""
        events = served.until("xds.handshake_refused", number)
        assert (events[-1]["reason"], events[-1]["level"], len(events)) == (reason, "warning", number)
    assert served.refused() == {reason: 1 for _, reason in strangers}


def test_certificates_are_listed(served: Served) -> None:
    """With a status for a program; those that end, and hosts without one; no key in any form."""
    status, table = served.certs()
    assert status == 1, "a host waits for one"
    rows = {line.split()[1]: line for line in table.splitlines() if not line.startswith("missing")}
    assert rows["site.pem"].startswith("served")
    assert "default: web.example.org" in rows["site.pem"]
    assert str(served.folder / "own" / "control-plane.crt") in rows
    assert any(line.startswith("missing") and "default: shop.example.org" in line for line in table.splitlines())
    (served.folder / "new").write_text(STACK.partition("  shop:")[0], encoding="utf-8")
    (served.folder / "new").rename(served.folder / "stack.yml")
    served.until("problem.gone")
    for days, expected, names in ((9, 0, []), (10, 1, ["site.pem"])):
        status, document = served.certs("--expiring", str(days), "--output", "json")
        assert status == expected
        assert [each["name"] for each in json.loads(document)["certificates"]] == names
    files = [served.folder / "certs" / "site.pem", served.folder / "own" / "control-plane.key"]
    keys = [line for file in files for line in secret_lines(file.read_bytes())]
    assert len(keys) == 4
    status, everything = served.certs("--output", "yaml")
    assert status == 0
    assert not any(line in everything + table for line in keys)
