"""TLS at a real Envoy: which certificate, which protocol, who gets in, and what is redirected."""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from support.certificates import Issued, authority, issue
from support.ports import free_port
from support.tls_client import Answer, Client, ask_plain
from support.tls_tasks import Task
from support.tls_world import TlsWorld, tls_world

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

STACK = Path(__file__).with_name("tls.yml")
CA, CLIENTS = authority(), authority("Clients")
APP, WILD, DEFAULT = CA.issue("app.example.org"), CA.issue("*.example.org"), CA.issue("edge.example.com")
OWN, OTHER = CA.issue("through.example.com", "through.example.org", "system.example.org"), CA.issue("other.example.org")
CERTS = {
    "app.crt": APP.cert,
    "app.key": APP.key,
    "wild.pem": WILD.pair,
    "default.pem": DEFAULT.pair,
    "clients.pem": CLIENTS.cert,
    "ca.pem": CA.cert,
}


@dataclass(frozen=True, slots=True)
class Place:
    """The running system, and a client without a certificate."""

    world: TlsWorld
    client: Client
    own: Task
    raw: int

    def plain(self, host: str, path: str = "/") -> Answer:
        """Ask over plain HTTP."""
        return ask_plain(self.world.settings.http_port, host, path)

    @property
    def https(self) -> str:
        """How a URL ends its authority."""
        return f":{self.world.settings.https_port}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One system for all tests that change nothing."""
    folder = tmp_path_factory.mktemp("tls")
    async with AsyncExitStack() as stack:
        a, b = (stack.enter_context(Task(name, folder)) for name in ("a", "b"))
        own, other = (stack.enter_context(Task(name, folder, each)) for name, each in (("own", OWN), ("other", OTHER)))
        raw = free_port()
        environ = {"A": a.address, "B": b.address, "OWN": own.address, "OTHER": other.address, "RAW": str(raw)}
        text = STACK.read_text(encoding="utf-8")
        world = await stack.enter_async_context(tls_world(envoy_binary, folder, CA, text, CERTS, environ=environ))
        yield Place(world, world.client(), own, raw)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("app.example.org", APP, id="the label's"),
        pytest.param("APP.example.org", APP, id="in other letters"),
        pytest.param("only.example.org", WILD, id="the directory's"),
        pytest.param("any.example.org", WILD, id="a wildcard host"),
        pytest.param(None, DEFAULT, id="no name"),
        pytest.param("nobody.example.com", DEFAULT, id="a name that nobody claims"),
        pytest.param("through.example.com", OWN, id="the task's own, passed through"),
    ],
)
async def test_each_name_gets_its_own_certificate(running: Place, name: str | None, expected: Issued) -> None:
    """Exact before wildcard; the default for those who name nobody."""
    assert running.client.handshake(name).certificate == expected.certificate


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("plain.example.net", id="in plain only"),
        pytest.param("lost.example.net", id="whose certificate is missing"),
    ],
)
async def test_a_host_without_a_certificate_is_refused(running: Place, name: str) -> None:
    """By the alert for it, and never with the certificate of another host, the default one among them."""
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        running.client.handshake(name)


async def test_what_is_no_tls_is_closed(running: Place) -> None:
    """Plain HTTP on the HTTPS port gets no answer from any host."""
    with socket.create_connection(("127.0.0.1", running.world.settings.https_port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: app.example.org\r\n\r\n")
        received = b""
        try:
            while block := connection.recv(4096):
                received += block
        except ConnectionResetError:
            pass
    assert b"HTTP" not in received


async def test_requests_reach_the_task_and_tell_it_of_tls(running: Place) -> None:
    """The scheme, the port and the host; HSTS on the answer."""
    answer = running.client.ask("app.example.org", "/x?y=1")
    assert (answer.status, answer.task, answer.told["path"]) == (200, "a", "/x?y=1")
    assert answer.told["headers"]["x-forwarded-proto"] == "https"
    assert answer.told["headers"]["x-forwarded-port"] == str(running.world.settings.https_port)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in running.plain("app.example.org").headers
    assert "server" not in answer.headers
    assert "alt-svc" not in answer.headers


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        pytest.param(("h2", "http/1.1"), "h2", id="both"),
        pytest.param(("http/1.1",), "http/1.1", id="HTTP/1.1"),
        pytest.param((), None, id="none"),
    ],
)
async def test_http_2_by_alpn(running: Place, offered: tuple[str, ...], agreed: str | None) -> None:
    """The client's choice; without one, HTTP/1.1."""
    assert running.client.handshake("app.example.org", alpn=offered).alpn == agreed


@pytest.mark.parametrize(
    ("name", "highest", "agreed"),
    [
        pytest.param("app.example.org", ssl.TLSVersion.TLSv1_3, "TLSv1.3", id="1.3"),
        pytest.param("app.example.org", ssl.TLSVersion.TLSv1_2, "TLSv1.2", id="1.2"),
        pytest.param("app.example.org", ssl.TLSVersion.TLSv1_1, None, id="1.1"),
        pytest.param("modern.example.org", ssl.TLSVersion.TLSv1_3, "TLSv1.3", id="1.3 where that is the lowest"),
        pytest.param("modern.example.org", ssl.TLSVersion.TLSv1_2, None, id="1.2 where 1.3 is the lowest"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_the_lowest_version(running: Place, name: str, highest: ssl.TLSVersion, agreed: str | None) -> None:
    """TLS 1.2 unless the host asks for more."""
    if agreed is None:
        with pytest.raises(ssl.SSLError):
            running.client.handshake(name, highest=highest)
    else:
        assert running.client.handshake(name, highest=highest).version == agreed


@pytest.mark.parametrize(
    "name", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384"]
)
async def test_weak_ciphers_are_refused(running: Place, name: str) -> None:
    """Nothing without forward secrecy and authenticated encryption."""
    context = running.client.context(highest=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{name}:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", running.world.settings.https_port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="app.example.org")


async def test_ssl_only_redirects_plain_http(running: Place) -> None:
    """By 308, which keeps the method, with path and query, whatever port the client wrote; never content."""
    answer = running.plain("only.example.org:80", "/x?y=1")
    location = f"https://only.example.org{running.https}/x?y=1"
    assert (answer.status, answer.headers["location"]) == (308, location)
    answer = running.plain("any.only.example.org:8080", "/x")
    assert (answer.status, answer.headers["location"]) == (308, f"https://any.only.example.org{running.https}/x")
    assert running.client.ask("only.example.org").task == "a"
    assert running.plain("lost.example.net").status == 308


async def test_redirects_on_either_side(running: Place) -> None:
    """From https with the directory's certificate, and from the plain port of a host that is passed through."""
    answer = running.client.ask("old.example.org", "/x?y=1")
    assert (answer.status, answer.headers["location"]) == (302, "https://app.example.org/new/x?y=1")
    assert running.plain("old.example.org").task == "b", "in plain it is one of the wildcard's"
    answer = running.plain("through.example.com", "/moved/x")
    assert (answer.status, answer.headers["location"]) == (302, "https://app.example.org/new/x")
    answer = running.plain("through.example.com", "/other")
    assert (answer.status, answer.headers["location"]) == (308, f"https://through.example.com{running.https}/other")


async def test_passthrough_is_the_tasks_own_tls(running: Place) -> None:
    """The edge adds nothing to the requests."""
    answer = running.client.ask("through.example.com", "/x")
    assert (answer.task, running.own.sni) == ("own", "through.example.com")
    assert not [name for name in answer.told["headers"] if name.startswith("x-")]


async def test_passthrough_is_byte_for_byte(running: Place) -> None:
    """The task gets the client's own hello and what follows, and its bytes come back, whatever they are."""
    session = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), server_hostname="raw.example.com"
    )
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    sent, back = outgoing.read() + random.Random(1).randbytes(300_000), random.Random(2).randbytes(300_000)
    received = asyncio.Queue[bytes]()

    async def task(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.put_nowait(await reader.readexactly(len(sent)))
        writer.write(back)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(task, "127.0.0.1", running.raw), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.world.settings.https_port)
        writer.write(sent)
        assert await reader.read(-1) == back
        writer.close()
    assert received.get_nowait() == sent


async def test_client_certificates(running: Place) -> None:
    """Accepted from the right authority, and told to the task; refused without one, and from another authority."""
    good = running.world.client(CLIENTS.issue("alice.example.org", subject="alice"))
    answer = good.ask("private.example.org", x_forwarded_client_cert="Subject=mallory")
    assert answer.task == "a"
    told = answer.told["headers"]["x-forwarded-client-cert"]
    assert "alice" in told
    assert "mallory" not in told
    for client in (running.client, running.world.client(CA.issue("mallory")), running.world.client(issue("self"))):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.ask("private.example.org")
    assert running.plain("private.example.org").status == 308
    others = running.client.ask("app.example.org", x_forwarded_client_cert="Subject=mallory")
    assert "x-forwarded-client-cert" not in others.told["headers"]


@pytest.mark.parametrize(
    ("name", "resumes"),
    [
        pytest.param("app.example.org", True, id="an ordinary host"),
        pytest.param("private.example.org", False, id="one that asks for certificates"),
    ],
)
async def test_only_who_needs_no_certificate_resumes_a_session(running: Place, name: str, resumes: bool) -> None:
    """Certificates are not looked at again where a session is resumed, and one may have expired meanwhile."""
    context = running.world.client(CLIENTS.issue("alice")).context(highest=ssl.TLSVersion.TLSv1_2)
    session, resumed = None, None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", running.world.settings.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name, session=session) as connection,
        ):
            session, resumed = connection.session, connection.session_reused
    assert resumed is resumes


@pytest.mark.parametrize(
    ("name", "host", "status", "task"),
    [
        pytest.param("app.example.org", "any.example.org", 200, "b", id="two ordinary hosts share"),
        pytest.param("app.example.org", "private.example.org", 421, "", id="not one that asks for certificates"),
        pytest.param("app.example.org", "modern.example.org", 421, "", id="not one that asks for a newer version"),
        pytest.param("app.example.org", "plain.example.net", 421, "", id="not one in plain only"),
        pytest.param("app.example.org", "lost.example.net", 421, "", id="not one without its certificate"),
        pytest.param("app.example.org", "through.example.com", 421, "", id="not one that is passed through"),
        pytest.param("app.example.org", "nobody.example.com", 404, "", id="nobody's host"),
        pytest.param(
            "modern.example.org", "app.example.org", 421, "", id="nor an ordinary host over such a connection"
        ),
        pytest.param(None, "app.example.org", 200, "a", id="over the default certificate"),
        pytest.param(None, "private.example.org", 421, "", id="over the default certificate, one that asks for more"),
    ],
)
async def test_requests_for_other_hosts_on_a_connection(
    running: Place, name: str | None, host: str, status: int, task: str
) -> None:
    """They go where they should, or are sent to a connection of their own."""
    answer = running.client.ask(name, host=host)
    assert (answer.status, answer.task) == (status, task)


async def test_http_2_shares_a_connection_and_is_sent_away_where_it_must_not(running: Place) -> None:
    """One connection, requests for three hosts."""
    context = running.client.context(("h2",))
    url = f"https://127.0.0.1{running.https}/"
    async with httpx.AsyncClient(http2=True, verify=context) as client:
        extensions = {"sni_hostname": "app.example.org"}
        answers = [
            await client.get(url, headers={"host": host}, extensions=extensions)
            for host in ("app.example.org", "any.example.org", "private.example.org")
        ]
    assert [(each.http_version, each.status_code) for each in answers] == [
        ("HTTP/2", 200),
        ("HTTP/2", 200),
        ("HTTP/2", 421),
    ]


async def test_tls_to_the_task(running: Place) -> None:
    """The host is the name that is asked for and verified; a wrong name and an unknown authority are refused."""
    answer = running.client.ask("through.example.org")
    assert (answer.status, answer.task, running.own.sni) == (200, "own", "through.example.org")
    assert running.plain("through.example.org").task == "own"
    refused = running.client.ask("impostor.example.org")
    assert (refused.status, refused.body) == (503, "503\n")
    assert running.client.ask("system.example.org").status == 503, "its authority is none of the system's"
    assert running.client.ask("unverified.example.org").task == "other"
    stats = await running.world.stats(r"cluster\.stack_impostor\.ssl\.fail_verify_san")
    assert sum(stats.values()) > 0


async def test_nothing_was_rejected(running: Place) -> None:
    """Envoy took all that it was sent."""
    stats = await running.world.stats("update_rejected|ssl_context_update_by_sds|downstream_context_secrets_not_ready")
    assert not {name: value for name, value in stats.items() if "rejected" in name and value}
    assert running.world.published[-1].build.problems
