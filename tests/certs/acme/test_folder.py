"""What stands in ACME's folder: kept, read, told and taken away, without an order."""

import json
import threading
import time
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from support.certificates import authority, secret_lines
from swarm_xds.certs import files
from swarm_xds.certs.acme.options import AcmeOptions, ChallengeType
from swarm_xds.certs.acme.order import rest_until
from swarm_xds.certs.acme.pacing import Account, Attempts
from swarm_xds.certs.acme.source import AcmeSource
from swarm_xds.certs.acme.state import Folder, State
from swarm_xds.certs.acme.tls_alpn import answer
from swarm_xds.certs.stock import Origin
from swarm_xds.certs.values import Certificates
from swarm_xds.certs.withhold import without_keys

HOST = "a.example.org"
CA = authority()
DAY = 86_400
SECONDS = 60


def certificate(host: str, *days: float) -> bytes:
    """Return a host's certificate and its key, valid from and until some days from now."""
    return CA.issue(host, days=days).pair


async def test_what_is_of_no_use_any_more_leaves_the_folder(tmp_path: Path) -> None:
    """Only by whoever holds the lock, and only of hosts that nobody asks for."""
    options = AcmeOptions(folder=tmp_path / "acme", terms_agreed=False, directory="http://127.0.0.1:1/")
    folder = Folder(options.folder)
    folder.make()
    now = int(time.time())
    for host, until in {"gone": -8, "late": -6, "good": 20, HOST: -80}.items():
        folder.save_certificate(host, certificate("x.example.org", -90, until))
    folder.save_certificate("strange", b"none of ours")
    (folder.certificates / "folder.pem").mkdir()
    old, recent = Attempts(orders=(now - 8 * DAY,)), Attempts(orders=(now - 6 * DAY,))
    given = {"gone": old, "late": old, "good": old, HOST: old, "forgotten": old, "recent": recent}
    ahead = Account(next_at=now + 300 * DAY, orders=(now + 300 * DAY,))
    folder.save(State(account=ahead, hosts=given))
    folder.save_challenge(HOST, ChallengeType.HTTP_01, "token", "left")
    parts = [options.folder / ".state.json.x1", folder.certificates / ".gone.pem.x1"]
    for path in parts:
        path.write_text("broken off", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in options.folder.rglob("*")}
    source = AcmeSource(options)
    source.want([HOST])
    with files.locked(options.folder):
        assert await source._turn() == 5.0
    after = {path: path.stat().st_mtime_ns for path in options.folder.rglob("*") if path.name != ".lock"}
    assert after == before
    assert await source._turn() == 3_600
    assert folder.hosts() == (HOST, "folder", "good", "late", "strange")
    account = folder.state().account
    assert account.next_at < now + 2 * DAY
    assert account.orders[0] < now + SECONDS
    assert set(folder.state().hosts) == {HOST, "good", "late", "recent"}
    assert folder.challenges() == Certificates()
    assert not [path for path in parts if path.exists()]


async def test_a_state_that_is_lost_has_nothing_ordered_anew(tmp_path: Path) -> None:
    """The certificates are still there, as after a restore of them alone; what has none is ordered at once."""
    options = AcmeOptions(folder=tmp_path / "acme", terms_agreed=True, directory="http://127.0.0.1:1/")
    folder = Folder(options.folder)
    folder.make()
    folder.save_certificate(HOST, certificate(HOST, -1, 90))
    source = AcmeSource(options)
    source.want([HOST, "b.example.org"])
    for _ in "123":
        await source._turn()
    hosts = folder.state().hosts
    assert {host: len(each.orders) for host, each in hosts.items()} == {HOST: 0, "b.example.org": 1}


async def test_a_certificate_of_tomorrow_is_waited_for(tmp_path: Path) -> None:
    """A clock that is behind must not order again and again what it takes for not valid yet."""
    options = AcmeOptions(folder=tmp_path / "acme", terms_agreed=True, directory="http://127.0.0.1:1/")
    folder = Folder(options.folder)
    folder.make()
    folder.save_certificate(HOST, certificate(HOST, 1, 90))
    folder.save(State(hosts={HOST: Attempts(directory=options.directory)}))
    source = AcmeSource(options)
    source.want([HOST])
    assert [await source._turn() for _ in "12"] == [0, 3_600]
    attempts = folder.state().hosts[HOST]
    assert not attempts.orders
    assert attempts.suggestion.ask_at > time.time() + 5 * 3_600, "it cannot be asked now"


class Urges(BaseHTTPRequestHandler):
    """An authority that wants a certificate renewed, and takes no orders."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer."""
        self.asked.append(self.path)
        window = {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}
        address = f"http://{self.headers['Host']}/renewal"
        body = {"renewalInfo": address} if self.path == "/" else {"suggestedWindow": window}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "7200")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
        """Keep quiet."""


async def test_an_authority_may_ask_for_renewal(tmp_path: Path) -> None:
    """What it suggests for a certificate is kept, and ordered by; it is asked again when it wants to be."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Urges)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    options = AcmeOptions(
        folder=tmp_path / "acme", terms_agreed=True, directory=f"http://127.0.0.1:{server.server_address[1]}/"
    )
    folder = Folder(options.folder)
    folder.make()
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(CA.private_key.public_key())
    folder.save_certificate(HOST, CA.issue(HOST, extensions=[authority_key]).pair)
    folder.save(State(hosts={HOST: Attempts(directory=options.directory)}))
    source = AcmeSource(options)
    source.want([HOST])
    assert await source._turn() == 0
    asked = folder.state().hosts[HOST]
    assert (asked.orders, datetime.fromtimestamp(asked.suggestion.renew_at, UTC).date()) == ((), date(2024, 1, 1))
    assert (
        asked.suggestion.about == x509.load_pem_x509_certificate(folder.certificate(HOST)).fingerprint(SHA256()).hex()
    )
    assert 7_000 < asked.suggestion.ask_at - time.time() <= 7_200
    assert Urges.asked[0] == "/"
    assert Urges.asked[1].startswith("/renewal/")
    assert await source._turn() == 0
    assert len(folder.state().hosts[HOST].orders) == 1
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("120", 120.0, id="seconds"),
        pytest.param("Mon, 01 Jan 2024 12:00:30 GMT", 30.0, id="a date"),
        pytest.param("Mon, 01 Jan 2024 11:00:00 GMT", 0.0, id="a date that has passed"),
        pytest.param("", 60.0, id="none"),
        pytest.param("soon", 60.0, id="neither"),
        pytest.param("-5", 60.0, id="negative"),
        pytest.param("Mon, 01 Jan 2024 12:00:30 -0000", 60.0, id="a date of no zone"),
    ],
)
def test_retry_after(value: str, expected: float) -> None:
    """In whichever zone this machine is."""
    assert rest_until(value, datetime(2024, 1, 1, 12, tzinfo=UTC)) == expected


async def test_no_handshake_shows_its_key(tmp_path: Path) -> None:
    """Neither what is read nor what is left where keys are withheld; what is no certificate is passed over."""
    folder = Folder(tmp_path / "acme")
    folder.make()
    pem = answer(HOST, bytes(32)).decode()
    folder.save_challenge(HOST, ChallengeType.TLS_ALPN_01, "one", pem)
    folder.save_challenge("b.example.org", ChallengeType.TLS_ALPN_01, "two", pem.partition("-----BEGIN PRIVATE")[0])
    (folder.path / "challenges" / "three").write_text('{"host": "c.exam', encoding="utf-8")
    read = folder.challenges()
    assert [each.host for each in read.tls_challenges] == [HOST]
    assert read.challenges == ()
    assert not [line for line in secret_lines(pem) if line in repr(read)]
    assert without_keys(read).tls_challenges == ()


async def test_what_is_told_of_each_host(tmp_path: Path) -> None:
    """What there is, what is waited for, and what is in the way; no key."""
    options = AcmeOptions(folder=tmp_path, directory="https://acme.example.org/", terms_agreed=True)
    folder = Folder(tmp_path)
    folder.make()
    pair = authority().issue("there.example.org").pair
    folder.save_certificate("there.example.org", pair)
    failed = {host: Attempts(failures=1, reason=f"no for {host}") for host in ("there.example.org", "not.example.org")}
    folder.save(State(hosts=failed))
    source = AcmeSource(options)
    source.want(["there.example.org", "not.example.org", "*.example.org", "new.example.org"])
    reading = await anext(source.readings())
    assert {each.origin for each in reading.stock} == {Origin.ACME}
    assert {each.material.name: (each.material.chain is not None, each.kept) for each in reading.stock} == {
        "there.example.org.pem": (True, "no for there.example.org"),
        "not.example.org": (False, ""),
        "*.example.org": (False, ""),
        "new.example.org": (False, ""),
    }
    reasons = {each.material.name: each.material.reason for each in reading.stock}
    assert reasons["not.example.org"] == "no for not.example.org"
    assert "wildcard" in reasons["*.example.org"]
    assert reasons["new.example.org"] == "it is being ordered"
    assert all(each.material.key is None for each in reading.stock)
