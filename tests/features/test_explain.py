"""What `explain` says of methods, headers and connections is what a real Envoy does."""

import asyncio
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.app import Application
from support.certificates import authority
from support.tls_world import TlsWorld, tls_world
from swarm_xds.explain import Facts, Outcome, Question, explain

pytestmark = pytest.mark.envoy

STACK = """
x-app: &app {image: app, x-tasks: ["127.0.0.1"]}
services:
  app:
    <<: *app
    deploy: {labels: {xds.hosts: app.example.org, xds.port: PORT, xds.ssl_cert: all.pem}}
  www:
    <<: *app
    deploy: {labels: {xds.hosts: www.example.org, xds.port: PORT, xds.ssl_cert: all.pem}}
  modern:
    <<: *app
    deploy: {labels: {xds.hosts: modern.example.org, xds.port: PORT, xds.ssl_cert: all.pem, xds.tls.min_version: "1.3"}}
  plain:
    <<: *app
    deploy: {labels: {xds.hosts: plain.example.org, xds.port: PORT}}
  below:
    <<: *app
    deploy: {labels: {xds.hosts: below.example.org, xds.path: /Api, xds.port: PORT}}
  moved:
    <<: *app
    deploy: {labels: {xds.redirects: "http://old.example.org,http://new.example.org"}}
"""
UPGRADE = (
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@dataclass(frozen=True)
class Ask:
    """A request; ``tls``: the name in TLS, or none for plain HTTP."""

    method: str = "GET"
    host: str = "app.example.org"
    tls: str = ""
    path: str = "/"
    headers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.tls and f'https://{self.tls} '}{self.host}{self.path} {self.headers}"


ASKS = [
    *(Ask(method) for method in ("GET", "POST", "TRACE", "PROPFIND", "MSEARCH", "UNSUBSCRIBE")),
    *(Ask(method) for method in ("get", "FOO", "QUERY", "M-SEARCH", "CONNECT")),
    Ask("CONNECT", host="nobody.example.org"),
    Ask(headers=("a_b: 1",)),
    Ask(host="nobody.example.org", headers=("a_b: 1",)),
    *(
        Ask(headers=(f"Upgrade: {to}", *UPGRADE))
        for to in ("websocket", "WebSocket", "h2c", "H2C", "foo", "websocket, foo")
    ),
    Ask(headers=("Upgrade: foo",)),
    Ask(host="old.example.org"),
    *(Ask(host="old.example.org", headers=(f"Upgrade: {to}", *UPGRADE)) for to in ("websocket", "foo")),
    Ask(host="nobody.example.org", headers=("Upgrade: foo", *UPGRADE)),
    *(Ask(host=host) for host in ("app.example.org:99", "APP.example.org.", "nobody.example.org")),
    *(Ask(tls="app.example.org", host=f"{name}.example.org") for name in ("app", "www", "modern", "plain", "nobody")),
    *(Ask(tls="modern.example.org", host=f"{name}.example.org") for name in ("modern", "app", "plain", "nobody")),
    *(
        Ask(host="below.example.org", path=path)
        for path in (
            *(
                "/Api",
                "/Api/",
                "/api",
                "/Apix",
                "/Api;x",
                "/Api%2Fx",
                "/x%5c..%5cApi",
                "/%41pi",
                "/Ap%69/x",
                "/Api%c3%bc",
            ),
            *(
                "/x/../Api",
                "/x/%2e%2E/Api",
                "/../Api/.",
                "/Api/..",
                "//Api",
                "/Api//x",
                "/Api\\x",
                "/x//../Api",
                "/.../Api",
            ),
        )
    ),
    Ask(host="nobody.example.org", path="/a%2Fb"),
    Ask("FOO", host="below.example.org", path="/a%2Fb"),
    Ask("FOO", tls="app.example.org"),
    Ask(tls="plain.example.org", host="app.example.org"),
    Ask(tls="nobody.example.org", host="app.example.org"),
]


async def answered(place: TlsWorld, ask: Ask) -> str:
    """Return the status that Envoy answers with; ``refused`` if there is no handshake."""
    context = ssl.create_default_context(cadata=place.ca.cert.decode())
    port = place.settings.https_port if ask.tls else place.settings.http_port
    secured = {"ssl": context, "server_hostname": ask.tls} if ask.tls else {}
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **secured)  # type: ignore[arg-type]
    except ssl.SSLError:
        return "refused"
    length = () if ask.method in {"GET", "CONNECT"} else ("Content-Length: 0",)
    target = f"{ask.host}:80" if ask.method == "CONNECT" else ask.path
    lines = (f"{ask.method} {target} HTTP/1.1", f"Host: {ask.host}", *ask.headers, *length, "", "")
    writer.write("\r\n".join(lines).encode())
    line = await reader.readline()
    writer.close()
    return line.split()[1].decode()


def explained(place: TlsWorld, ask: Ask) -> str:
    """Return the status that `explain` speaks of."""
    situation = place.app.record.situation
    assert situation is not None
    facts = Facts(
        state=situation.state, build=situation.build, members=place.app.record.members, edge=place.settings.edge
    )
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in ask.headers)}
    host = ask.host.partition(":")[0].lower()
    question = Question(
        scheme="https" if ask.tls else "http",
        host=host,
        tls_name=ask.tls if ask.tls != host else "",
        path=ask.path,
        method=ask.method,
        headers=tuple(headers.items()),
    )
    found = explain(question, facts)
    if found.outcome is Outcome.FORWARDED:
        return "200"
    status = re.match(r"\d{3}\b", found.answer)
    return status.group() if status else "refused"


async def test_an_envoy_does_what_explain_says(envoy_binary: Path, tmp_path: Path) -> None:
    """All requests of the table."""
    ca = authority()
    names = [f"{name}.example.org" for name in ("app", "www", "modern")]
    with Application() as application:
        stack = STACK.replace("PORT", str(application.port))
        certs = {"all.pem": ca.issue(*names).pair}
        async with tls_world(envoy_binary, tmp_path, ca, stack, certs) as place, asyncio.timeout(60):
            said = {str(ask): explained(place, ask) for ask in ASKS}
            done = {str(ask): await answered(place, ask) for ask in ASKS}
    assert said == done
    assert {"200", "302", "307", "400", "403", "404", "421", "refused"} == set(done.values())
