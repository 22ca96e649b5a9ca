"""What the real Envoy does with the configuration that ``translate --static`` prints for a stack."""

import re
import socket
from collections import Counter

import pytest

from .conftest import CLIENT, Answer, Edge, Running

pytestmark = pytest.mark.envoy

APP = "app.example.org"


@pytest.mark.parametrize(
    ("host", "path", "task"),
    [
        pytest.param(APP, "/", "a", id="host"),
        pytest.param("APP.Example.org", "/", "a", id="host in other letters"),
        pytest.param(f"{APP}:8080", "/", "a", id="host with a port"),
        pytest.param(f"{APP}.", "/", "a", id="host with its final dot"),
        pytest.param("any.example.org", "/", "a", id="wildcard"),
        pytest.param("deep.er.example.org", "/app", "a", id="wildcard, without the exact host's paths"),
        pytest.param(APP, "/app", "b", id="path"),
        pytest.param(APP, "/app?x=/", "b", id="path and query"),
        pytest.param(APP, "/app/", "b", id="path and slash"),
        pytest.param(APP, "/app/x", "b", id="below a path"),
        pytest.param(APP, "/apple", "a", id="another word that begins like a path"),
        pytest.param(APP, "/x/app", "a", id="path further on"),
        pytest.param(APP, "//app//x", "b", id="doubled slashes"),
        pytest.param(APP, "/x/../app/x", "b", id="dots"),
        pytest.param(APP, "/%61pp/x", "b", id="encoded letters"),
        pytest.param(APP, "/app/v2/x", "c", id="longest path"),
        pytest.param(APP, "/app/v22", "b", id="beside the longest path"),
    ],
)
def test_a_request_goes_where_its_host_and_path_say(edge: Edge, host: str, path: str, task: str) -> None:
    """The exact host before the wildcard, then the longest path, in whole segments."""
    assert edge.ask(host, path).task == task


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        pytest.param("/app/v2", "/", id="nothing but the prefix"),
        pytest.param("/app/v2/", "/", id="prefix and slash"),
        pytest.param("/app/v2?a=/app/v2", "/?a=/app/v2", id="query"),
        pytest.param("/app/v2/x/y?z=1", "/x/y?z=1", id="path and query"),
        pytest.param("/app/v2/app/v2", "/app/v2", id="prefix twice"),
        pytest.param("/a.b+c/x", "/x", id="signs that mean something in a pattern"),
        pytest.param("/app/x", "/app/x", id="a route that keeps its prefix"),
    ],
)
def test_a_prefix_is_taken_off(edge: Edge, asked: str, seen: str) -> None:
    """The task sees the path without it; nothing else changes."""
    assert edge.ask(APP, asked).told["path"] == seen


@pytest.mark.parametrize(
    ("host", "path", "location"),
    [
        pytest.param("old.example.org", "/x/y?a=1&b=2", "http://new.example.net/x/y?a=1&b=2", id="path and query kept"),
        pytest.param("old.example.org:8080", "/", "http://new.example.net/", id="the client's port is not kept"),
        pytest.param("secure.example.org", "/x", "https://app.example.org/x", id="to https"),
        pytest.param("new.example.net", "/moved/x?a=1", "http://new.example.net/to/x?a=1", id="another path"),
        pytest.param("new.example.net", "/moved", "http://new.example.net/to", id="another path, and nothing below it"),
        pytest.param("new.example.net", "/top/x", "http://app.example.org:8080/x", id="to the root, and a port"),
    ],
)
def test_a_redirect_keeps_path_and_query(edge: Edge, host: str, path: str, location: str) -> None:
    """302 to the target, with what follows the source."""
    answer = edge.ask(host, path)
    assert (answer.status, answer.header("location")) == (302, location)


def test_what_is_beside_a_redirect_is_served(edge: Edge) -> None:
    """A host with a redirected path answers on all others."""
    assert edge.ask("new.example.net", "/movedx").status == 200


def spread(answers: list[Answer]) -> Counter[str]:
    """Return how many requests each task got."""
    return Counter(answer.task for answer in answers)


def test_the_applications_cookie_keeps_a_client_on_a_task(edge: Edge) -> None:
    """One value leads to one task, different values to all; without it requests are spread."""
    host = "cookie.example.net"
    kept = {
        value: spread([edge.ask(host, cookie=f"other=1; session={value}") for _ in range(5)]) for value in range(30)
    }
    assert all(len(tasks) == 1 for tasks in kept.values())
    assert set().union(*kept.values()) == {"a", "b", "c", "d"}
    free = [edge.ask(host) for _ in range(40)]
    assert len(spread(free)) == 4
    assert all(answer.header("set-cookie") is None for answer in free)


def test_the_edges_own_cookie_lasts_for_the_browsers_session(edge: Edge) -> None:
    """The edge sets it once, without an end; with it the client stays on its task."""
    host = "generated.example.net"
    first = edge.ask(host)
    cookie = first.header("set-cookie") or ""
    assert re.fullmatch(r'swarm-xds="[0-9a-f]+"; Path=/; HttpOnly', cookie)
    again = [edge.ask(host, cookie=cookie.partition(";")[0]) for _ in range(10)]
    assert set(spread(again)) == {first.task}
    assert all(answer.header("set-cookie") is None for answer in again)
    assert len(spread([edge.ask(host) for _ in range(40)])) == 4


def test_a_clients_address_keeps_it_on_a_task(edge: Edge) -> None:
    """What the client says of its address changes nothing."""
    answers = [edge.ask("address.example.net", x_forwarded_for=f"192.0.2.{number}") for number in range(20)]
    assert len(spread(answers)) == 1


def test_services_share_a_route_by_their_tasks(edge: Edge) -> None:
    """Three tasks to one: three quarters, and nothing for a service without tasks."""
    count = 300
    tasks = spread([edge.ask("canary.example.net") for _ in range(count)])
    # Five standard deviations.
    assert abs(tasks["d"] - count / 4) < 5 * (count * 3 / 16) ** 0.5
    assert tasks["a"] == pytest.approx(tasks["b"], abs=1)


def test_the_task_is_told_of_the_client(edge: Edge) -> None:
    """The forwarded headers and the request's id say what the edge saw."""
    seen = edge.ask(f"{APP}:8080").seen
    assert seen["host"] == f"{APP}:8080"
    assert seen["x-forwarded-for"] == CLIENT
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == f"{APP}:8080"
    assert seen["x-forwarded-port"] == str(edge.port)
    assert re.fullmatch(r"[0-9a-f-]{36}", seen["x-request-id"])
    assert not {"forwarded", "x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count"} & seen.keys()


def test_what_a_client_forges_is_not_told_as_truth(edge: Edge) -> None:
    """A client can put itself at the end of no list, and set nothing that is the edge's to say."""
    seen = edge.ask(
        APP,
        x_forwarded_for="192.0.2.66",
        x_forwarded_proto="https",
        x_forwarded_host="evil.example",
        x_forwarded_port="666",
        x_request_id="forged",
        x_envoy_external_address="192.0.2.66",
        x_envoy_internal="true",
        x_envoy_original_path="/forged",
        x_envoy_retry_on="5xx",
        x_envoy_max_retries="100",
        x_envoy_upstream_rq_timeout_ms="1",
        x_envoy_decorator_operation="forged",
    ).seen
    assert seen["x-forwarded-for"].split(",")[-1].strip() == CLIENT
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == APP
    assert seen["x-forwarded-port"] == str(edge.port)
    assert seen["x-request-id"] != "forged"
    forged = {name: value for name, value in seen.items() if name.startswith("x-envoy-")}
    assert forged in ({}, {"x-envoy-external-address": CLIENT})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param(APP, 200, id="an answer of a task"),
        pytest.param("unknown.example.com", 404, id="unknown host"),
        pytest.param("nobody.example.net", 503, id="no task"),
        pytest.param("gone.example.net", 503, id="no task that answers"),
        pytest.param("old.example.org", 302, id="redirect"),
    ],
)
def test_answers_tell_nothing_of_the_inside(edge: Edge, host: str, status: int) -> None:
    """Neither Envoy nor an address shows in any answer."""
    answer = edge.ask(host)
    assert answer.status == status
    assert {name for name, _ in answer.headers} <= {
        *("content-length", "content-type", "date", "location", "retry-after", "connection")
    }
    if status != 200:
        assert not re.search(r"envoy|127\.0|upstream|connect", answer.body, re.IGNORECASE)


def test_an_unknown_host_or_path_is_404(edge: Edge) -> None:
    """Nobody's host, and a path of a host that has no route for it."""
    assert edge.ask("example.com").status == 404
    assert edge.ask("secure.example.org.evil.example").status == 404


def test_a_service_without_a_task_is_503_with_retry_after(edge: Edge) -> None:
    """The route stays, and says when to come again."""
    answer = edge.ask("nobody.example.net")
    assert (answer.status, answer.header("retry-after")) == (503, "5")


def test_a_websocket_passes_with_its_origin(edge: Edge) -> None:
    """The upgrade reaches the task, which sees the origin as the client sent it, and bytes pass both ways."""
    with edge.connect() as connection:
        connection.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {APP}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Origin: https://elsewhere.example\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
            "ping".encode()
        )
        answer = read_until(connection, b"PING").decode().lower()
    assert answer.startswith("http/1.1 101")
    assert "x-origin-seen: https://elsewhere.example\r\n" in answer


def test_http_1_0(edge: Edge) -> None:
    """NGINX, as a balancer before the edge, speaks it unless it is told otherwise; it ends the connection."""
    with edge.connect() as connection:
        connection.sendall(f"GET /app HTTP/1.0\r\nHost: {APP}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b'"task": "b"' in answer


def test_http2_with_prior_knowledge(edge: Edge) -> None:
    """A client may speak HTTP/2 at once, without TLS."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = frame(4, 0, 0, b"")
    # Indexed :method GET, :scheme http and :path /, and a literal :authority.
    fields = bytes([0x82, 0x86, 0x84, 0x01, len(APP)]) + APP.encode()
    with edge.connect() as connection:
        connection.sendall(preface + settings + frame(1, 5, 1, fields))
        # An answer's headers begin with the indexed field :status 200.
        answer = b""
        while not re.search(rb"\x01.\x00\x00\x00\x01\x88", answer, re.DOTALL):
            answer += receive(connection)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def receive(connection: socket.socket) -> bytes:
    """Return the next bytes; there are some, or the test fails."""
    chunk = connection.recv(65536)
    assert chunk, "the edge closed the connection"
    return chunk


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes, up to ``end``."""
    received = b""
    while not received.endswith(end):
        received += receive(connection)
    return received


def test_a_task_that_refuses_is_replaced_by_another(edge: Edge) -> None:
    """Nobody saw the request, so it is sent again whatever its method."""
    for number in range(10):
        assert edge.ask("half.example.net", method=("GET", "POST")[number % 2], body=b"x").task == "a"


def test_a_client_is_not_kept_on_a_task_that_refuses(edge: Edge) -> None:
    """Stickiness gives way: the next try never goes where the last one went."""
    for value in range(200):
        assert edge.ask("half-sticky.example.net", cookie=f"session={value}").task == "a"


def test_a_read_that_is_cut_off_is_repeated_and_a_write_is_not(running: Running) -> None:
    """A task that breaks the connection may have done what a POST asks for, but GET and HEAD do nothing."""
    edge = running.edge
    assert edge.ask("cookie.example.net", "/reset-once/get").status == 200
    assert edge.ask("cookie.example.net", "/reset-once/head", method="HEAD").status == 200
    written = edge.ask("cookie.example.net", "/reset-once/post", method="POST", body=b"x")
    assert written.status == 503
    asked = Counter[str]()
    for task in running.tasks.values():
        asked.update(task.asked)
    assert (asked["/reset-once/get"], asked["/reset-once/head"], asked["/reset-once/post"]) == (2, 2, 1)


def test_a_header_with_an_underscore_is_refused(edge: Edge) -> None:
    """A task that takes x_forwarded_for for x-forwarded-for would be fooled."""
    with edge.connect() as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {APP}\r\nx_forwarded_for: 192.0.2.66\r\n\r\n".encode())
        assert receive(connection).startswith(b"HTTP/1.1 400")


def test_failures_take_a_task_out(running: Running) -> None:
    """After max_fails failures in a row nobody is sent to the failing task."""
    statuses = [running.edge.ask("failing.example.net", "/failing").status for _ in range(40)]
    # Envoy's worker hears of an ejection a moment after the failure that led to it.
    failed = Counter(statuses)[500]
    assert 3 <= failed <= 8
    assert statuses[-20:] == [200] * 20
    assert running.tasks["broken"].asked["/failing"] == failed


def test_a_task_by_name_is_found_by_dns(edge: Edge) -> None:
    """A stack file may name hosts."""
    assert edge.ask("named.example.net").task == "e"
