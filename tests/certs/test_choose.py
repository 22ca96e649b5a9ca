"""Which certificate a host gets, and what a label's name stands for."""

import itertools

import pytest

from swarm_xds.certs import choose
from swarm_xds.certs.values import Certificate, Certificates, Chain, Material, PrivateKey

HOST = "a.example.org"


def chain(*names: str, pair: str = "1", since: int = 0) -> Chain:
    """Return the chain of a pair."""
    return Chain(
        pem=f"chain {pair}".encode(),
        spki=pair,
        names=tuple(sorted(names or (HOST,))),
        not_before=since,
        not_after=since + 100,
        fingerprint=f"{pair}{since}",
        issuer="",
        subject="",
    )


def cert(name: str, *names: str, pair: str = "1", since: int = 0, reason: str = "") -> Material:
    """Return a file with a certificate."""
    return Material(name=name, chain=chain(*names, pair=pair, since=since), reason=reason)


def key(name: str, pair: str = "1") -> Material:
    """Return a file with a key."""
    return Material(name=name, key=PrivateKey(pair.encode(), pair))


def combined(name: str, *names: str, pair: str = "1") -> Material:
    """Return a file with both."""
    return Material(name=name, chain=chain(*names, pair=pair), key=PrivateKey(pair.encode(), pair))


def served(name: str, *names: str, since: int = 0) -> Certificate:
    """Return a certificate that any host may get."""
    return Certificate(name=name, chain=chain(*names, since=since), key=PrivateKey(b"1", "1"))


@pytest.mark.parametrize(
    ("certificates", "expected"),
    [
        pytest.param([served("other", "b.example.org")], None, id="none"),
        pytest.param([served("wild", "*.example.org")], "wild", id="wildcard"),
        pytest.param(
            [served("wild", "*.example.org", since=9), served("own", HOST)], "own", id="exact before wildcard"
        ),
        pytest.param([served("old", HOST, since=1), served("new", HOST, since=2)], "new", id="newest"),
        pytest.param([served("a", HOST), served("b", HOST)], "b", id="the same twice"),
    ],
)
def test_for_host(certificates: list[Certificate], expected: str | None) -> None:
    """The choice does not depend on the order in which certificates were found."""
    for order in itertools.permutations(certificates):
        found = choose.for_host(Certificates(certificates=order), HOST)
        assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("materials", "expected", "reason"),
    [
        pytest.param([cert("site.crt"), key("site.key")], "site.crt", "", id="exact"),
        pytest.param([cert("site.crt.v3"), key("site.key-1")], "site.crt.v3", "", id="a version alone"),
        pytest.param(
            [cert(f"site.crt{each}") for each in ("", ".v2", "-10", "_9", ".V3")] + [key("site.key")],
            "site.crt-10",
            "",
            id="the highest version",
        ),
        pytest.param(
            [cert("site.crt-1"), cert("site.crt.v1", since=5), key("site.key")],
            "site.crt.v1",
            "",
            id="of one version the newest",
        ),
        pytest.param(
            [cert("site.crt-old"), cert("site.crt.v1x"), cert("site.crts"), key("site.key")],
            None,
            'there is no file or secret "site.crt"',
            id="no versions",
        ),
        pytest.param(
            [cert("site.crt.v1"), cert("site.crt.v2", reason="it has expired"), key("site.key")],
            "site.crt.v1",
            '"site.crt.v2": it has expired',
            id="the newest is expired",
        ),
        pytest.param(
            [cert("site.crt.v1"), cert("site.crt.v2", pair="2"), key("site.key.v1")],
            "site.crt.v1",
            '"site.crt.v2": its public key is not that of "site.key"',
            id="the new key is still to come",
        ),
        pytest.param(
            [cert("site.crt.v1"), key("site.key.v1"), key("site.key.v2", pair="2")],
            "site.crt.v1",
            "",
            id="the new certificate is still to come",
        ),
        pytest.param(
            [cert("site.crt.v1"), cert("site.crt.v2", "b.example.org"), key("site.key")],
            "site.crt.v1",
            f'"site.crt.v2" does not name {HOST}; it names b.example.org',
            id="the newest is of another host",
        ),
        pytest.param([cert("site.crt")], None, 'there is no file or secret "site.key"', id="no key"),
        pytest.param(
            [cert("site.crt"), Material(name="site.key", reason="it is empty")],
            None,
            '"site.key": it is empty',
            id="a bad key",
        ),
        pytest.param(
            [cert("site.crt"), cert("site.key")], None, '"site.key" holds no private key', id="a certificate for a key"
        ),
        pytest.param(
            [key("site.crt"), key("site.key")],
            None,
            '"site.crt" holds no certificate of a server',
            id="a key for a certificate",
        ),
        pytest.param(
            [Material(name="site.crt", authorities=b"PEM"), key("site.key")],
            None,
            '"site.crt" holds no certificate of a server: a server\'s names its hosts in subjectAltName',
            id="an authority's for a certificate",
        ),
    ],
)
def test_named(materials: list[Material], expected: str | None, reason: str) -> None:
    """Names with their versions; the best that can be used, and why not a newer one."""
    for order in (materials, materials[::-1]):
        choice = choose.named(Certificates(materials=tuple(order)), "site.crt", "site.key", [HOST])
        assert (choice.certificate.name if choice.certificate else None, choice.reason) == (expected, reason)


def test_a_combined_file_has_its_own_key() -> None:
    """Without a name for the key; another one's key is not looked for."""
    certificates = Certificates(materials=(combined("site.pem"), combined("site.pem.v2", pair="2"), cert("bare.pem")))
    choice = choose.named(certificates, "site.pem", "", [HOST])
    assert choice.certificate is not None
    assert (choice.certificate.name, choice.certificate.key.spki) == ("site.pem.v2", "2")
    assert choose.named(certificates, "bare.pem", "", [HOST]).reason == '"bare.pem" holds no private key'


def test_each_host_has_to_be_named() -> None:
    """One that is not named is told, and nothing is served."""
    certificates = Certificates(materials=(combined("site.pem", *"abcdefg"),))
    choice = choose.named(certificates, "site.pem", "", ["a", HOST, "b"])
    assert choice == choose.Choice(reason=f'"site.pem" does not name {HOST}; it names a, b, c, d, e, …')


def test_authorities() -> None:
    """Bundles have versions, too."""
    bundles = (
        Material(name="ca.pem", authorities=b"old"),
        Material(name="ca.pem.v2", authorities=b"new"),
        Material(name="ca.pem.v3", reason="it is empty"),
        cert("site.crt"),
    )
    certificates = Certificates(materials=bundles)
    assert choose.authorities(certificates, "ca.pem") == choose.Authorities(
        pem=b"new", reason='"ca.pem.v3": it is empty'
    )
    assert choose.authorities(certificates, "site.crt").reason == '"site.crt": it holds no certificate of an authority'
    assert choose.authorities(certificates, "x").reason == 'there is no file or secret "x"'
