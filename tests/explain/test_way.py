"""The way of a request that gets through, and Envoy's rules for hosts and paths."""

import pytest

from support.story import EPOCH, Story, service, state
from swarm_xds.explain import Explanation, Facts, Outcome, Question, explain
from swarm_xds.explain.match import below, find_host
from swarm_xds.model import VirtualHost
from swarm_xds.swarm import Service


def ask(*services: Service, **question: str) -> Explanation:
    """Ask of a swarm whose only proxy has accepted everything."""
    story = Story()
    build = story.publish(*services)
    story.join().take_all()
    facts = Facts(state=state(*services), build=build, members=story.record.members, now=EPOCH)
    return explain(Question(**question), facts)  # type: ignore[arg-type]


def test_each_step_of_a_request_is_told() -> None:
    """In the order in which it takes them."""
    found = ask(service("web", tasks=2), host="Web.Example.org.", path="/a")
    assert (found.outcome, found.service, found.endpoints) == (
        Outcome.FORWARDED,
        "web",
        ("10.9.0.10:80", "10.9.0.11:80"),
    )
    assert found.answer == "GET goes to web, by 2 endpoints"
    assert [str(step.subject) for step in found.steps] == [
        *("host", "route", "service", "network", "task", "task", "proxy")
    ]
    assert found.cause is None


def test_services_that_share_a_route_are_told_with_their_shares() -> None:
    """By running tasks."""
    found = ask(service("a", tasks=3, hosts="x.example.org"), service("b", hosts="x.example.org"), host="x.example.org")
    assert any("a 75%, b 25%" in step.text for step in found.steps)


def test_a_prefix_that_is_taken_off_is_shown() -> None:
    """What the task sees is what people look for."""
    found = ask(service("web", context_root="/app", context_root_rewrite="true"), host="web.example.org", path="/app/x")
    assert found.answer.endswith("as /x")


@pytest.mark.parametrize(
    ("redirect", "path", "target"),
    [
        ("http://old.example.org,https://new.example.org", "/a", "https://new.example.org/a"),
        ("http://old.example.org/x,http://new.example.org:81/y", "/x/z", "http://new.example.org:81/y/z"),
        ("http://old.example.org/x,http://new.example.org/", "/x", "http://new.example.org/"),
    ],
)
def test_a_redirect_says_where_to(redirect: str, path: str, target: str) -> None:
    """With the path as it will be."""
    found = ask(service("web", redirects=redirect), host="old.example.org", path=path)
    assert (found.outcome, found.answer) == (Outcome.REDIRECTED, f"302 to {target}")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("a.example.org", "a.example.org"),
        ("b.example.org", "*.example.org"),
        ("c.b.example.org", "*.b.example.org"),
        ("d.c.b.example.org", "*.b.example.org"),
        ("example.org", "*"),
        ("notexample.org", "*"),
    ],
)
def test_the_longest_name_goes_first(host: str, found: str) -> None:
    """As in Envoy."""
    hosts = [VirtualHost(host=name, routes=()) for name in ("*", "*.example.org", "*.b.example.org", "a.example.org")]
    match = find_host(host, hosts)
    assert match is not None
    assert match.host == found


@pytest.mark.parametrize(
    ("path", "prefix", "holds"),
    [("/", "/", True), ("/app", "/app", True), ("/app/x", "/app", True), ("/apple", "/app", False), ("/", "/a", False)],
)
def test_prefixes_match_whole_segments(path: str, prefix: str, holds: bool) -> None:
    """As in Envoy."""
    assert below(path, prefix) is holds
