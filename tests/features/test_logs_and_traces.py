"""What a real Envoy writes of requests and connections, and the spans that it sends."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from support import http3
from support.certificates import authority
from support.ports import free_port
from support.tls_client import ask_plain
from support.tls_tasks import Task
from support.tls_world import TlsWorld, tls_world

pytestmark = pytest.mark.envoy

CA, CLIENTS = authority(), authority("Clients")
OWN = CA.issue("mail.example.org")
CERTS = {"wild.pem": CA.issue("*.example.org").pair, "clients.pem": CLIENTS.cert}
STACK = """
services:
  web:
    image: web
    x-tasks: ["${TASK}"]
    deploy:
      labels:
        xds.hosts: app.example.org
        xds.port: 80
        xds.path: /app
        xds.context_root_rewrite: true
        xds.redirects: http://old.example.org,http://app.example.org
  private:
    image: private
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: private.example.org, xds.port: 80, xds.tls.client_ca: clients.pem}}
  mail:
    image: mail
    x-tasks: ["${MAIL}"]
    deploy: {labels: {xds.hosts: mail.example.org, xds.port: 443, xds.ssl_passthrough: true}}
  idle:
    image: idle
    x-tasks: []
    deploy: {labels: {xds.hosts: idle.example.org, xds.port: 80}}
"""
#: In every line; the rest is there where it applies.
CONNECTION = {
    "event",
    "listener",
    "start_time",
    "duration",
    "bytes_received",
    "bytes_sent",
    "downstream_remote_address",
}


@asynccontextmanager
async def running(binary: Path, folder: Path, **more: object) -> AsyncIterator[TlsWorld]:
    """Run the stack with some settings."""
    with ExitStack() as tasks:
        task, mail = tasks.enter_context(Task("a", folder)), tasks.enter_context(Task("own", folder, OWN))
        environ = {"TASK": task.address, "MAIL": mail.address}
        async with tls_world(binary, folder, CA, STACK, CERTS, http3=True, environ=environ, more=more) as world:
            yield world


def shown(line: dict[str, Any], *names: str) -> tuple[object, ...]:
    """Return some fields of a line."""
    return tuple(line.get(name) for name in names)


async def test_lines(envoy_binary: Path, tmp_path: Path) -> None:
    """One for each request on each listener, for a connection that is passed through, and for one that is refused."""
    async with running(envoy_binary, tmp_path, access_log="json") as world:
        port, https = world.settings.http_port, world.settings.https_port
        assert ask_plain(port, "app.example.org", "/app/x?a=b").told["path"] == "/x?a=b"
        assert ask_plain(port, "old.example.org").status == 302
        assert ask_plain(port, "idle.example.org").status == 503
        assert ask_plain(port, "app.example.org", "/app/%2Fx?a=b").status == 307
        assert ask_plain(port, "app.example.org", f"/{'y' * 9_000}").status == 404
        requests = await world.lines(5)
        assert [shown(line, "event", "listener", "method", "protocol") for line in requests] == [
            ("request", "http", "GET", "HTTP/1.1")
        ] * 5
        names = ("response_code", "response_flags", "path", "route_name", "upstream_cluster", "service", "stack")
        assert [shown(line, *names) for line in requests[:4]] == [
            (200, "-", "/app/x?a=b", "app.example.org/app", "stack_web", "stack_web", "stack"),
            (302, "-", "/", "old.example.org/", None, None, None),
            (503, "UH", "/", "idle.example.org/", "stack_idle", "stack_idle", "stack"),
            (307, "-", "/app/x?a=b", None, None, None, None),
        ]
        assert shown(requests[4], "response_code", "path") == (404, f"/{'y' * 4_095}")
        first = requests[0]
        assert first.keys() >= CONNECTION
        assert shown(first, "authority", "response_code_details") == ("app.example.org", "via_upstream")
        assert first["request_id"]
        assert first["upstream_host"].startswith("127.0.0.1:")
        assert first["x_forwarded_for"]

        client = world.client()
        assert client.ask("app.example.org", "/app/x", user_agent="u" * 600).status == 200
        assert (await http3.ask(https, CA, "app.example.org", "app.example.org"))[0] == 404
        assert client.ask("mail.example.org").task == "own"
        with pytest.raises(ssl.SSLError):
            client.handshake("nobody.example.com")
        with pytest.raises(ssl.SSLError):
            client.ask("private.example.org")
        secure = {
            (line["event"], line["listener"], line["requested_server_name"]): line for line in await secured(world)
        }
        assert len(secure) == 5
        one = secure["request", "https", "app.example.org"]
        assert shown(one, "downstream_tls_version", "user_agent") == ("TLSv1.3", "u" * 512)
        assert secure["request", "http3", "app.example.org"]["protocol"] == "HTTP/3"
        passed = secure["connection", "https", "mail.example.org"]
        assert passed.keys() >= CONNECTION
        assert shown(passed, "service", "stack", "upstream_cluster") == ("stack_mail", "stack", "stack_mail")
        assert secure["refused", "https", "nobody.example.com"].keys() >= CONNECTION
        reason = secure["refused", "https", "private.example.org"]["downstream_transport_failure_reason"]
        assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason


async def secured(world: TlsWorld) -> list[dict[str, Any]]:
    """Return the lines of the five connections over TLS, in no certain order."""
    return (await world.lines(10))[5:]


async def test_a_line_without_the_query(envoy_binary: Path, tmp_path: Path) -> None:
    """Also where no filter has seen the request."""
    async with running(envoy_binary, tmp_path, access_log="json", log_query=False) as world:
        port = world.settings.http_port
        assert ask_plain(port, "app.example.org", "/app/x?password=b").told["path"] == "/x?password=b"
        assert ask_plain(port, "app.example.org", "/app/%2Fx?password=b").status == 307
        lines = await world.lines(2)
        assert [line["path"] for line in lines] == ["/app/x", "/app/x"]
        assert "password" not in json.dumps(lines)


class Collector:
    """Takes spans by OTLP over gRPC (``opentelemetry/proto/collector/trace/v1/trace_service.proto``)."""

    def __init__(self) -> None:
        self.spans: dict[str, trace_pb2.Span] = {}
        self.services: set[str] = set()

    async def export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keep what comes, by the path of its request."""
        # The messages are of a version in which `scope_spans`, the same field, had its first name.
        for resource in request.resource_spans:
            self.services.update(each.value.string_value for each in resource.resource.attributes)
            for span in (span for each in resource.instrumentation_library_spans for span in each.spans):
                self.spans[attributes(span)["http.url"].rpartition("/")[2]] = span
        return trace_service_pb2.ExportTraceServiceResponse()


def attributes(span: trace_pb2.Span) -> dict[str, str]:
    """Return a span's attributes."""
    return {each.key: each.value.string_value for each in span.attributes}


@asynccontextmanager
async def collecting(port: int = 0) -> AsyncIterator[tuple[Collector, int]]:
    """Run a collector on loopback."""
    server, collector = grpc.aio.server(), Collector()
    export = grpc.unary_unary_rpc_method_handler(
        collector.export,
        request_deserializer=trace_service_pb2.ExportTraceServiceRequest.FromString,
        response_serializer=trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export}),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield collector, port
    finally:
        await server.stop(0)


async def ask(world: TlsWorld, path: str, **headers: str) -> dict[str, str]:
    """Ask over TLS, and return what the task saw of headers."""
    answer = await asyncio.to_thread(world.client().ask, "app.example.org", f"/app/{path}", **headers)
    assert answer.status == 200
    told: dict[str, str] = answer.told["headers"]
    return told


async def until(collector: Collector, world: TlsWorld, *paths: str) -> None:
    """Ask on until the spans of some requests are there: Envoy sends them when there are several."""
    async with asyncio.timeout(20):
        while not set(paths) <= collector.spans.keys():
            await ask(world, "more")


async def test_spans(envoy_binary: Path, tmp_path: Path) -> None:
    """Each request is a span with its service; a client's trace is taken up and passed on."""
    async with collecting() as (collector, port):
        more = {"tracing_otlp": f"127.0.0.1:{port}", "tracing_service_name": "edge", "access_log": "json"}
        async with running(envoy_binary, tmp_path, **more) as world:
            trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
            told = await ask(world, "own")
            taken = await ask(world, "taken", traceparent=f"00-{trace}-{parent}-01")
            unwanted = await ask(world, "unwanted", traceparent=f"00-{trace}-{parent}-00")
            await until(collector, world, "own", "taken")
            own, joined = collector.spans["own"], collector.spans["taken"]
            assert told["traceparent"] == f"00-{own.trace_id.hex()}-{own.span_id.hex()}-01"
            assert taken["traceparent"] == f"00-{trace}-{joined.span_id.hex()}-01"
            assert (joined.trace_id.hex(), joined.parent_span_id.hex()) == (trace, parent)
            assert "unwanted" not in collector.spans
            assert unwanted["traceparent"].startswith(f"00-{trace}-")
            assert unwanted["traceparent"].endswith("-00")
            assert "edge" in collector.services
            kept = attributes(own)
            assert (kept["swarm.service"], kept["swarm.stack"]) == ("stack_web", "stack")
            assert (await world.lines(3))[0]["trace_id"] == own.trace_id.hex()


async def test_a_span_without_the_query(envoy_binary: Path, tmp_path: Path) -> None:
    """The same setting holds for both."""
    async with collecting() as (collector, port):
        more = {"tracing_otlp": f"127.0.0.1:{port}", "log_query": False}
        async with running(envoy_binary, tmp_path, **more) as world:
            await ask(world, "own?password=b")
            await until(collector, world, "own")
            assert "password" not in str(collector.spans)


async def test_no_request_waits_for_a_collector_that_is_away(envoy_binary: Path, tmp_path: Path) -> None:
    """Neither one that does not listen, nor one without an address; one that comes gets spans."""
    port = free_port()
    async with running(envoy_binary, tmp_path, tracing_otlp=f"127.0.0.1:{port}") as world:
        for number in range(20):
            await ask(world, str(number))
        async with collecting(port) as (collector, _):
            await until(collector, world, "more")
