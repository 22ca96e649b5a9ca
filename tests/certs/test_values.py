"""A private key never shows itself; certificates say which hosts they cover."""

import copy
import dataclasses
import json
import logging
import pickle
from typing import Any

import pytest
from structlog import get_logger
from structlog.testing import capture_logs

from swarm_xds.certs.values import Certificate, Certificates, Chain, Material, PrivateKey

MATERIAL = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWtleS1ieXRlcw==\n-----END PRIVATE KEY-----\n"
KEY = PrivateKey(MATERIAL, "ab" * 32)


def chain(*names: str, not_before: int = 0, not_after: int = 100, mark: str = "0") -> Chain:
    """Return a chain that nothing has to parse."""
    return Chain(
        pem=b"",
        spki="ab" * 32,
        names=tuple(sorted(names)),
        not_before=not_before,
        not_after=not_after,
        fingerprint=mark,
        issuer="CN=Issuer",
        subject="CN=Subject",
    )


def certificate(*names: str, name: str = "site.pem", not_before: int = 0) -> Certificate:
    """Return a certificate for these names."""
    return Certificate(name=name, chain=chain(*names, not_before=not_before), key=KEY)


def shows(text: Any) -> bool:
    """Return whether a text holds any of the key."""
    return "c2VjcmV0" in str(text) or "PRIVATE KEY" in str(text)


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(KEY, id="the key"),
        pytest.param(Material(name="site.key", key=KEY), id="a material"),
        pytest.param(certificate("a.example.org"), id="a certificate"),
        pytest.param(Certificates(certificates=(certificate("a.example.org"),)), id="all certificates"),
    ],
)
def test_no_text_shows_a_key(holder: Any) -> None:
    """However it is made into a text."""
    assert not any(shows(text) for text in (repr(holder), str(holder), f"{holder}", f"{holder!r:>200}"))
    if dataclasses.is_dataclass(holder) and not isinstance(holder, type):
        assert not shows(dataclasses.asdict(holder))
        assert not shows(json.dumps(dataclasses.asdict(holder), default=str))
    with pytest.raises(TypeError) as failure:
        json.dumps(holder)
    assert not shows(failure.value)
    with pytest.raises(TypeError, match="never serialised") as failure:
        pickle.dumps(holder)
    assert not shows(failure.value)
    assert not hasattr(KEY, "__dict__")


def test_no_log_and_no_exception_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    """As a field, as an argument, as what went wrong."""
    with capture_logs() as events:
        get_logger().error("odd", key=KEY, error=ValueError(KEY))
    logging.getLogger().error("odd %s %r", KEY, KEY)
    assert not shows(events)
    assert not shows(caplog.text)
    with pytest.raises(AttributeError) as failure:
        KEY.pem  # type: ignore[attr-defined]  # noqa: B018
    assert not shows(failure.value)


def test_a_key_is_a_value() -> None:
    """Equal by content, the same when copied, never changed."""
    assert PrivateKey(MATERIAL, "ab" * 32) == KEY
    assert hash(KEY) == hash(PrivateKey(MATERIAL, "ab" * 32))
    assert PrivateKey(b"another", "ab" * 32) != KEY
    assert copy.deepcopy(KEY) is copy.copy(KEY) is KEY
    assert KEY.reveal() == MATERIAL
    with pytest.raises(AttributeError, match="cannot be changed"):
        KEY.spki = "cd"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del KEY.spki


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        pytest.param(["a.example.org"], "a.example.org", True, id="exact"),
        pytest.param(["a.example.org"], "A.Example.Org.", True, id="case and a final dot"),
        pytest.param(["a.example.org"], "b.example.org", False, id="another"),
        pytest.param(["*.example.org"], "a.example.org", True, id="wildcard"),
        pytest.param(["*.example.org"], "a.b.example.org", False, id="wildcard is one label"),
        pytest.param(["*.example.org"], "example.org", False, id="wildcard is not the parent"),
        pytest.param(["*.example.org"], "*.example.org", True, id="the wildcard itself"),
        pytest.param(["a.example.org"], "*.example.org", False, id="a host is no wildcard"),
        pytest.param(["*.org"], "*.example.org", False, id="a wildcard covers no wildcard"),
        pytest.param(["*.example.org"], ".example.org", False, id="an empty label"),
        pytest.param(["localhost"], "localhost", True, id="one label"),
        pytest.param([], "a.example.org", False, id="no name"),
    ],
)
def test_covers(names: list[str], host: str, covered: bool) -> None:
    """One-label wildcards, as clients check them."""
    assert certificate(*names).covers(host) is covered


def test_two_sources_together() -> None:
    """The first one's material and default hold; the result is in one order."""
    first = Certificates(
        materials=(Material(name="b", reason="first"),), certificates=(certificate("b.org", name="b"),), default=None
    )
    second = Certificates(
        materials=(Material(name="a"), Material(name="b", reason="second")),
        certificates=(certificate("a.org", name="a"),),
        default=certificate("d.org", name="d"),
    )
    both = first.with_more(second)
    assert [(each.name, each.reason) for each in both.materials] == [("a", ""), ("b", "first")]
    assert [each.name for each in both.certificates] == ["a", "b"]
    assert both.default == second.default
