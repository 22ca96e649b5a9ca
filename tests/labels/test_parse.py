"""From labels to intents, where a table says it better than a golden case."""

import itertools
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from swarm_xds.labels import BackendIntent, RouteIntent, ServiceIntent, parse
from swarm_xds.problem import Kind, Problem
from swarm_xds.swarm import PublishedPort, PublishMode, Service

LB = "com.docker.lb."
MESH = "com.docker.ucp.mesh.http"


def parsed(labels: dict[str, str], *published: int) -> tuple[ServiceIntent, tuple[Problem, ...]]:
    """Return what a service with these labels asks for."""
    ports = tuple(PublishedPort(target=port, published=port, mode=PublishMode.INGRESS) for port in published)
    return parse(Service(id="s", name="web", labels=tuple(labels.items()), ports=ports))


def test_a_service_without_labels_of_ours_asks_for_nothing() -> None:
    """And nothing is wrong with it."""
    assert parsed({"traefik.enable": "true", "com.docker.lbs": "x", "xds": "y"}) == (ServiceIntent(service="web"), ())


def test_three_spellings_in_any_order_come_to_the_same() -> None:
    """One wins, each of the others is told, whatever the order in which the engine has them."""
    spellings = {"xds.context_root": "/a", "xds.path": "/b", f"{LB}context_root": "/c", f"{LB}path": "/d"}
    base = {"xds.hosts": "a.example", "xds.port": "80"}
    results = set()
    for order in itertools.permutations(spellings.items()):
        intent, problems = parsed(dict(order) | base)
        results.add((intent, frozenset(problems)))
    ((intent, problems),) = results
    assert [route.path for route in intent.routes] == ["/a"]
    assert {problem.label for problem in problems} == spellings.keys() - {"xds.context_root"}
    assert {problem.kind for problem in problems} == {Kind.DUPLICATE}


def test_the_whole_of_a_route() -> None:
    """Every key of Interlock's that is served ends up in its place."""
    intent, problems = parsed(
        {
            f"{LB}hosts": "b.example,a.example",
            f"{LB}port": "8080",
            f"{LB}network": "front",
            f"{LB}context_root": "/app",
            f"{LB}context_root_rewrite": "true",
            f"{LB}websocket_endpoints": "/ws",
            f"{LB}sticky_session_cookie": "id",
            f"{LB}backend_mode": "task",
            f"{LB}default_backend": "true",
            f"{LB}service_cluster": "internal",
            f"{LB}max_fails": "3",
            f"{LB}fail_timeout": "10s",
        }
    )
    assert problems == ()
    assert intent.routes == (
        RouteIntent(
            fleet="internal",
            hosts=("*", "a.example", "b.example"),
            tls_hosts=("*", "a.example", "b.example"),
            path="/app",
            strip_prefix=True,
            backend=BackendIntent(
                port=8080, network="front", network_label=f"{LB}network", cookie="id", max_fails=3, fail_timeout=10_000
            ),
        ),
    )
    assert not intent.doubtful


def test_a_route_of_the_mesh_never_meets_a_named_one() -> None:
    """Not even one of the name that it would have."""
    intent, _ = parsed(
        {
            f"{MESH}.1": "external_route=http://a.example,internal_port=80",
            "xds.route.mesh-http-1.hosts": "b.example",
            "xds.route.mesh-http-1.port": "81",
        }
    )
    assert len({route.name for route in intent.routes}) == len(intent.routes) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_ten_thousand_unknown_labels_take_no_time(count: int) -> None:
    """Guesses at what was meant stop after a while."""
    labels = {f"xds.route.r.{'hosst' * count}{number}": "x" for number in range(10_000)}
    intent, problems = parsed(labels)
    assert intent.routes == ()
    assert len(problems) == len(labels)
    assert sum("did you mean" in problem.cure for problem in problems) <= 100


def _routes(count: int) -> dict[str, str]:
    return {f"xds.route.r{n}.{key}": value for n in range(count) for key, value in {"hosts": "a", "port": "80"}.items()}


def _hosts_and_redirects(count: int) -> dict[str, str]:
    hosts = ",".join(f"h{number}" for number in range(count))
    return {"xds.hosts": hosts, "xds.port": "80", "xds.redirects": ";".join(f"r{n},http://t" for n in range(count))}


@pytest.mark.parametrize("labels", [_routes, _hosts_and_redirects])
def test_the_work_is_in_proportion_to_the_labels(labels: Callable[[int], dict[str, str]]) -> None:
    """A service with thousands of routes, or hosts and redirects, does not hold up the others."""

    def lines(count: int) -> int:
        run = Counter[str]()

        def trace(_frame: FrameType, event: str, _arg: object) -> Any:
            run[event] += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            parsed(labels(count))
        finally:
            sys.settrace(before)
        return run["line"]

    assert lines(200) < 5 * lines(50)


@pytest.mark.parametrize(
    ("labels", "cure"),
    [
        ({f"{LB}prot": "80"}, f"did you mean {LB}port?"),
        ({f"{LB}Hosts": "x"}, f"did you mean {LB}hosts?"),
        ({f"{LB}context-root": "x"}, f"did you mean {LB}context_root?"),
        ({f"{LB}sticky": "generated"}, "write xds.sticky"),
        ({f"{LB}route.api.hosts": "x"}, "write xds.route.api.hosts"),
        ({"xds.route.api.conext_root": "x"}, "did you mean xds.route.api.context_root?"),
        ({"xds.ssl_certs": "x"}, "did you mean xds.ssl_cert?"),
        ({"xds.something_else_entirely": "x"}, "take it away"),
    ],
)
def test_what_was_probably_meant(labels: dict[str, str], cure: str) -> None:
    """In the prefix that it was written with, if the key has it."""
    _, problems = parsed(labels)
    assert [problem.cure for problem in problems if problem.kind is Kind.UNKNOWN_KEY] == [cure]
