"""The parsers of values: what they return, and what they say of a bad value."""

from collections.abc import Callable
from typing import Any

import pytest

from swarm_xds.labels import values
from swarm_xds.labels.intent import BackendMode, Redirect, TlsVersion
from swarm_xds.labels.values import BadValueError


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.host, " App.Example.ORG. ", "app.example.org"),
        (values.host, "*.Example.org", "*.example.org"),
        (values.host, "bücher.example", "xn--bcher-kva.example"),
        (values.host, "\uff21\uff30\uff30.example", "app.example"),
        (values.host, "under_score.example", "under_score.example"),
        (values.host, "localhost", "localhost"),
        (values.host, "192.0.2.1", "192.0.2.1"),
        (values.port, " 80 ", 80),
        (values.port, "65535", 65535),
        (values.port, "00080", 80),
        (values.path, "/", "/"),
        (values.path, "/app/", "/app"),
        (values.path, "/%61pp/%2f", "/app/%2F"),
        (values.path, "/caf%c3%a9", "/caf%C3%A9"),
        (values.path, "/a.b~c/(d);e=1", "/a.b~c/(d);e=1"),
        (values.boolean, "T", True),
        (values.boolean, "0", False),
        (values.cookie, "__Host-id", "__Host-id"),
        (values.secret, " stack_site.crt-2 ", "stack_site.crt-2"),
        (values.secret, "example.org/fullchain.pem", "example.org/fullchain.pem"),
        (values.tls_version, "1.3", TlsVersion.TLS_1_3),
        (values.tls_version, "TLSv1.2", TlsVersion.TLS_1_2),
        (values.hsts, "true", "max-age=31536000"),
        (values.hsts, "0", "max-age=0"),
        (values.hsts, "max-age=5; includeSubDomains; preload", "max-age=5; includeSubDomains; preload"),
        (values.count, "0", 0),
        (values.count, "1000000", 1_000_000),
        (values.duration, "10", 10_000),
        (values.duration, "1h30m", 5_400_000),
        (values.duration, "1.5s", 1_500),
        (values.duration, "250 ms", 250),
        (values.choice(BackendMode), " VIP ", BackendMode.VIP),
    ],
)
def test_good_values(parse: Callable[[str], Any], text: str, value: object) -> None:
    """A good value comes out typed, and in one form for all its spellings."""
    assert parse(text) == value
    if isinstance(value, str):
        assert parse(value) == value


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (values.host, "", "empty"),
        (values.host, "a" * 300, "no host name"),
        (values.host, "ä" * 300, "no host name"),
        (values.host, "\ud800.example", "no"),
        (values.host, "a\n.example", "no host name"),
        (values.host, "a..example", "no host name"),
        (values.host, "*.", "no host name"),
        (values.host, "2001:db8::1", "IPv6"),
        (values.host, "a.example:80", "port"),
        (values.port, "65536", "1 to 65535"),
        (values.port, "٨٠", "1 to 65535"),
        (values.port, "9" * 5_000, "1 to 65535"),
        (values.path, "/%2e%2e/x", ".."),
        (values.path, "/a//b", "//"),
        (values.path, "app", "begins with /"),
        (values.count, "9" * 5_000, "0 to 1000000"),
        (values.duration, "\u0661s", "not a duration"),
        (values.duration, "9" * 5_000, "not a duration"),
        (values.duration, "0.0001ms", "longer than nothing"),
        (values.name, "-x", "not a name"),
        (values.secret, "../site.key", "not the name"),
        (values.secret, "a/../b", "not the name"),
        (values.secret, "x" * 300, "not the name"),
        (values.tls_version, "TLSv1", "older than TLS 1.2"),
        (values.tls_version, "2", "not a version"),
        (values.hsts, "max-age=1\r\nx: y", "not a value"),
        (values.hsts, "includeSubDomains", "not a value"),
        (values.boolean, "on", "true"),
        (values.choice(BackendMode), "dns", "task, vip"),
    ],
)
def test_bad_values(parse: Callable[[str], object], text: str, reason: str) -> None:
    """A bad value says why, in one short line."""
    with pytest.raises(BadValueError, match=reason) as raised:
        parse(text)
    assert len(str(raised.value)) < 400


def redirect(**fields: Any) -> Redirect:
    """Return a redirect from http://a.example to http://b.example but for the given fields."""
    plain = Redirect(
        scheme="http", host="a.example", path="/", target_scheme="http", target_host="b.example", target_port=0,
        target_path="",
    )  # fmt: skip
    return Redirect(**{**{name: getattr(plain, name) for name in Redirect.__slots__}, **fields})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("http://a.example,http://b.example", redirect(), id="hosts"),
        pytest.param(" http://a.example/ , http://b.example/ ", redirect(), id="slashes and spaces say nothing"),
        pytest.param("a.example,https://b.example", redirect(scheme="", target_scheme="https"), id="no scheme is both"),
        pytest.param("http://a.example:81,http://b.example:82", redirect(target_port=82), id="ports"),
        pytest.param("http://a.example/x,http://b.example", redirect(path="/x"), id="the path stays"),
        pytest.param("http://a.example/x,http://b.example/x", redirect(path="/x"), id="the same path stays too"),
        pytest.param("http://a.example/x,http://b.example/", redirect(path="/x", target_path="/"), id="to the root"),
        pytest.param(
            "http://a.example,https://a.example", redirect(target_scheme="https", target_host="a.example"), id="https"
        ),
        pytest.param(
            "http://a.example/x,http://a.example/y",
            redirect(path="/x", target_host="a.example", target_path="/y"),
            id="on one host",
        ),
    ],
)
def test_redirects(text: str, value: Redirect) -> None:
    """What a pair of URLs means."""
    assert values.redirect_pair(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://a.example,http://a.example", "to itself"),
        ("http://a.example,http://a.example/x", "to itself"),
        ("http://a.example/x,http://a.example/x/y", "to itself"),
        ("http://a.example,//b.example", "no URL"),
        ("http://a.example,http://b.example?x", "no query"),
        ("http://a.example/%zz,http://b.example", "the path of"),
        ("http://a.example,http://user@b.example", "user name"),
    ],
)
def test_bad_redirects(text: str, reason: str) -> None:
    """What a redirect cannot be, above all one that never ends."""
    with pytest.raises(BadValueError, match=reason):
        values.redirect_pair(text)
