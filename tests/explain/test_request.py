"""What counts of a request beside its host and path, and what does not."""

from dataclasses import replace

import pytest

from support.story import EPOCH, Story, service, state
from swarm_xds.explain import Explanation, Facts, Outcome, Question, Subject, Verdict, explain
from swarm_xds.model import EdgeOptions
from swarm_xds.swarm import Service

QUESTION = Question(host="web.example.org")


def ask(question: Question, *services: Service, edge: EdgeOptions | None = None) -> Explanation:
    """Ask of a swarm whose only proxy has accepted everything."""
    story = Story()
    build = story.publish(*services)
    story.join().take_all()
    facts = Facts(
        state=state(*services), build=build, members=story.record.members, now=EPOCH, edge=edge or EdgeOptions()
    )
    return explain(question, facts)


def said(found: Explanation) -> list[tuple[Verdict, str]]:
    """Return what is said of the request itself."""
    return [(step.verdict, step.text) for step in found.steps if step.subject is Subject.REQUEST]


def test_a_plain_request_has_nothing_to_say() -> None:
    """There would be a line in each answer that nobody reads."""
    assert said(ask(QUESTION, service("web"))) == []


@pytest.mark.parametrize(
    ("method", "headers", "text"),
    [
        ("HEAD", (), "method HEAD makes no difference"),
        ("GET", (("accept", "*/*"),), "header accept makes no difference"),
        ("PUT", (("a", "1"), ("b", "2")), "method PUT and headers a, b make no difference"),
    ],
)
def test_what_makes_no_difference_is_said(method: str, headers: tuple[tuple[str, str], ...], text: str) -> None:
    """Routes match on host and path: it must not look as if they did on more."""
    found = ask(replace(QUESTION, method=method, headers=headers), service("web"))
    assert found.outcome is Outcome.FORWARDED
    assert any(text in each for verdict, each in said(found) if verdict is Verdict.OK)
    assert found.answer.startswith(f"{method} goes to web")


def test_a_method_that_must_not_be_repeated() -> None:
    """After a broken connection only safe ones are tried again."""
    texts = [text for _, text in said(ask(replace(QUESTION, method="POST"), service("web")))]
    assert "POST is tried on another task only where none has seen it" in texts


@pytest.mark.parametrize(
    ("labels", "cookie", "verdict", "text"),
    [
        ({"sticky_session_cookie": "sid"}, "", Verdict.NOTE, "no cookie sid, so any task has it until"),
        ({"sticky_session_cookie": "sid"}, "a=1; sid=2", Verdict.OK, "cookie sid keeps it on one task"),
        ({"sticky_session_cookie": "sid", "xds.sticky": "generated"}, "sid2=1", Verdict.OK, "the edge sets one"),
        ({"ip_hash": "true"}, "sid=1", Verdict.OK, "its client's address keeps it on one task"),
    ],
)
def test_what_keeps_a_client_on_a_task(labels: dict[str, str], cookie: str, verdict: Verdict, text: str) -> None:
    """By the label, and by the cookie that the request has."""
    headers = (("cookie", cookie),) if cookie else ()
    own = {key: value for key, value in labels.items() if "." in key}
    web = service("web", **{key: value for key, value in labels.items() if key not in own})
    web = replace(web, labels=(*web.labels, *own.items()))
    ((found, shown),) = said(ask(replace(QUESTION, headers=headers), web))
    assert (found, text in shown) == (verdict, True), shown


@pytest.mark.parametrize(
    ("hops", "forwarded_for", "texts"),
    [
        (0, "10.1.1.1", ["keeps it on one task", "is passed on and not believed"]),
        (1, "10.1.1.1, 10.2.2.2", ["on one task: 10.2.2.2, of x-forwarded-for"]),
        (2, "10.1.1.1, 10.2.2.2", ["on one task: 10.1.1.1, of x-forwarded-for"]),
        (3, "10.1.1.1, 10.2.2.2", ["fewer than the 3 addresses of trusted_hops"]),
    ],
)
def test_whose_address_it_is(hops: int, forwarded_for: str, texts: list[str]) -> None:
    """Where proxies are trusted, that of the header."""
    question = replace(QUESTION, headers=(("x-forwarded-for", forwarded_for),))
    found = said(ask(question, service("web", ip_hash="true"), edge=EdgeOptions(trusted_hops=hops)))
    assert len(found) == len(texts)
    assert all(text in shown for text, (_, shown) in zip(texts, found, strict=True)), found


def test_headers_that_are_the_edges_own() -> None:
    """What a client says in them does not get through; the scheme does where proxies in front are trusted."""
    headers = tuple((f"x-forwarded-{name}", "x") for name in ("client-cert", "host", "proto"))
    ((verdict, text),) = said(ask(replace(QUESTION, headers=headers), service("web")))
    assert verdict is Verdict.NOTE
    assert "in x-forwarded-client-cert, x-forwarded-host, x-forwarded-proto does not get through" in text
    ((_, text),) = said(ask(replace(QUESTION, headers=headers), service("web"), edge=EdgeOptions(trusted_hops=1)))
    assert "proto" not in text


def test_a_websocket_is_passed_on() -> None:
    """And has the limit of every stream."""
    question = replace(QUESTION, headers=(("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")))
    ((_, text),) = said(ask(question, service("web")))
    assert text == "the upgrade to a WebSocket is passed on, on every route, and ends after 300 s without a byte"
    ((_, text),) = said(ask(question, service("web"), edge=EdgeOptions(stream_idle_timeout=0)))
    assert "ends after" not in text


@pytest.mark.parametrize("host", ["web.example.org", "nobody.example.org"])
@pytest.mark.parametrize(
    ("method", "headers", "answer", "cure"),
    [
        ("get", (), "400: the edge does not know the method", "ask with GET"),
        ("FOO", (), "400: the edge does not know the method", ""),
        ("CONNECT", (), "404: no route takes CONNECT", ""),
        ("GET", (("x_id", "1"),), "400: the edge refuses a header", "send it as x-id"),
        ("GET", (("connection", "upgrade"), ("upgrade", "foo")), "403: the edge refuses the upgrade", "leave"),
    ],
)
def test_what_an_edge_answers_itself(
    host: str, method: str, headers: tuple[tuple[str, str], ...], answer: str, cure: str
) -> None:
    """Whoever claims the host."""
    found = ask(Question(host=host, method=method, headers=headers), service("web"))
    assert (found.outcome, found.answer) == (Outcome.REFUSED, answer)
    assert found.cause is not None
    assert (found.cause.subject, cure in found.cause.cure) == (Subject.REQUEST, True)


def test_nothing_is_said_of_what_nobody_sees() -> None:
    """TLS that goes to the tasks has the request inside; the name in it decides, whatever the header Host says."""
    question = Question(
        scheme="https", host="other.example.org", tls_name="web.example.org", method="FOO", headers=(("a_b", "1"),)
    )
    found = ask(question, service("web", ssl_passthrough="true"))
    assert found.outcome is Outcome.FORWARDED, found
    assert said(found) == []
    assert any("no edge sees method, path or headers" in step.text for step in found.steps)


@pytest.mark.parametrize(
    ("labels", "edge", "answer"),
    [
        ({"redirects": "http://web.example.org,http://b.example.org/c"}, {}, "302 to http://b.example.org/c/a/b?c=d"),
        ({"ssl_only": "true"}, {}, "308 to https://web.example.org/a/b?c=d"),
        ({"ssl_only": "true"}, {"https_port": 8443}, "308 to https://web.example.org:8443/a/b?c=d"),
        (
            {"ssl_only": "true"},
            {"https_port": 8443, "https_public_port": 443},
            "308 to https://web.example.org/a/b?c=d",
        ),
    ],
)
def test_the_whole_url_of_a_redirect(labels: dict[str, str], edge: dict[str, int], answer: str) -> None:
    """Path and query are kept, and the port is that which clients see."""
    given = labels if "ssl_only" in labels else {"hosts": "", **labels}
    found = ask(replace(QUESTION, path="/x/../a/b", query="c=d"), service("web", **given), edge=EdgeOptions(**edge))
    assert (found.outcome, found.answer) == (Outcome.REDIRECTED, answer)


def test_an_escaped_slash_is_asked_for_again() -> None:
    """Whoever claims the host; the path is normalized all at once."""
    for host in ("web.example.org", "nobody.example.org"):
        found = ask(replace(QUESTION, host=host, path="/a%2Fb%5c../c", query="d"), service("web"))
        assert (found.outcome, found.answer) == (Outcome.REDIRECTED, "307 to /a/c?d")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/group%2Fproject", "GET goes to web, by 1 endpoint, as /group%2Fproject"),
        ("/api/x%2f..%5C", "GET goes to web, by 1 endpoint, as /x%2f..%5C"),
        ("/x/..//%61pi/a%2F../b", "GET goes to web, by 1 endpoint, as /a%2F../b"),
        ("/api%2Fx", "404: nobody claims web.example.org/api%2Fx"),
    ],
)
def test_an_escaped_slash_is_kept_where_edges_keep_it(path: str, answer: str) -> None:
    """It ends no segment, neither for dots nor for routes; the rest is normalized."""
    web = service("web", context_root="/api", context_root_rewrite="true")
    assert ask(replace(QUESTION, path=path), web, edge=EdgeOptions(keep_escaped_slashes=True)).answer == answer
