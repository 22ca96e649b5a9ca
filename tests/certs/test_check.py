"""What may be served, in which order, and for how long."""

import itertools
from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.certificates import authority, issue
from swarm_xds.certs import check
from swarm_xds.certs.check import MAX_CHAIN, Checked
from swarm_xds.certs.parse import MAX_SIZE

ROOT = authority("Root")
UPPER = ROOT.issue(subject="Upper", ca=True)
LOWER = UPPER.issue(subject="Lower", ca=True)
LEAF = LOWER.issue("b.example.org", "*.A.example.org")
CHAIN = LEAF.cert + LOWER.cert + UPPER.cert
NOW = datetime.now(UTC).timestamp()


def usage(*, signature: bool) -> x509.KeyUsage:
    """Return what a key may be used for."""
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def read(content: bytes) -> Checked:
    """Return what a file's content means."""
    return check.read("site.pem", content)


def test_a_chain_in_order() -> None:
    """It is served as it is."""
    checked = read(CHAIN)
    chain = checked.material.chain
    assert chain is not None
    assert (chain.pem, chain.names) == (CHAIN, ("*.a.example.org", "b.example.org"))
    assert (chain.subject, chain.issuer) == ("CN=b.example.org", "CN=Lower")
    assert (checked.material.reason, checked.material.authorities, checked.remarks) == ("", None, ())
    key = read(LEAF.key).material.key
    assert key is not None
    assert key.spki == chain.spki


def test_a_chain_in_any_order_is_mended() -> None:
    """There is only one right order; the root is left out, and that is nothing to speak of."""
    for order in itertools.permutations((LEAF, LOWER, UPPER, ROOT)):
        checked = read(b"".join(each.cert for each in order))
        assert checked.material.chain is not None
        assert checked.material.chain.pem == CHAIN
        right = [each for each in order if each is not ROOT] == [LEAF, LOWER, UPPER]
        assert bool(checked.remarks) is not right


def test_what_does_not_belong_to_the_chain_is_left_out() -> None:
    """And told."""
    checked = read(LEAF.cert + authority("Foreign").issue(subject="Strange", ca=True).cert + LOWER.cert + UPPER.cert)
    assert checked.material.chain is not None
    assert checked.material.chain.pem == CHAIN
    assert checked.remarks == ("1 of its certificates did not issue the others, and are left out",)


def test_two_ways_to_a_root_are_both_kept() -> None:
    """An authority that another has signed as well (cross-signed)."""
    other = authority("Other root").issue(subject="Upper", ca=True, key=UPPER.private_key)
    content = LEAF.cert + LOWER.cert + UPPER.cert + other.cert
    checked = read(content)
    assert checked.material.chain is not None
    assert (checked.material.chain.pem, checked.remarks) == (content, ())


def test_a_certificate_names_hosts_and_addresses() -> None:
    """An address as a client writes it in a URL that has one."""
    names = [x509.DNSName("App.example.org"), x509.IPAddress(IPv4Address("192.0.2.7")), x509.RFC822Name("a@b.org")]
    chain = read(issue(extensions=[x509.SubjectAlternativeName(names)]).cert).material.chain
    assert chain is not None
    assert chain.names == ("192.0.2.7", "app.example.org")


def test_the_key_says_which_certificate_is_the_servers() -> None:
    """Even if it is an authority's, as ``openssl req -x509`` makes it."""
    own = issue("a.example.org", ca=True)
    material = read(LEAF.cert + own.cert + own.key).material
    assert material.chain is not None
    assert material.chain.pem == own.cert
    assert read(own.cert).material.chain == material.chain


@pytest.mark.parametrize(
    ("content", "count"),
    [
        pytest.param(ROOT.cert, 1, id="a root"),
        pytest.param(ROOT.cert + UPPER.cert + LOWER.cert, 3, id="a chain of authorities"),
        pytest.param(ROOT.cert * 3, 1, id="the same one thrice"),
        pytest.param(b"# bundle\n" + b"".join(authority(f"CA {n}").cert for n in range(40)), 40, id="a bundle"),
        pytest.param(issue("a.example.org").cert + issue("b.example.org").cert, 2, id="self-signed clients"),
        pytest.param(authority("CA", extensions=[usage(signature=False)]).cert, 1, id="an authority that names itself"),
    ],
)
def test_bundles_of_authorities(content: bytes, count: int) -> None:
    """A file of authorities alone is a bundle, and no server's."""
    material = read(content).material
    assert (material.reason, material.chain) == ("", None)
    assert material.authorities is not None
    assert material.authorities.count(b"BEGIN CERTIFICATE") == count


def test_a_self_signed_certificate_is_both() -> None:
    """A server's, and what its clients trust."""
    material = read(issue("a.example.org").cert).material
    assert material.chain is not None
    assert material.authorities == material.chain.pem


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"x" * 1024 * 1024, f"it is larger than {MAX_SIZE} bytes", id="1 MB"),
        pytest.param(LEAF.cert + UPPER.key, "its private key is not that of its certificate", id="another key"),
        pytest.param(
            LEAF.cert + LOWER.issue("c.example.org").cert,
            "it holds more than one server's certificate",
            id="two leaves",
        ),
        pytest.param(
            ROOT.issue(subject="a.example.org").cert,
            "its certificate names no host: clients want a subjectAltName with DNS names or addresses",
            id="a common name alone",
        ),
        pytest.param(
            ROOT.issue("a b", "*", "*.*.org", "a.*.org").cert,
            "its certificate names no host: clients want a subjectAltName with DNS names or addresses",
            id="no host names",
        ),
        pytest.param(
            ROOT.issue("a", key=rsa.generate_private_key(65537, 1024)).cert,
            "the key of its certificate is RSA of 1024 bits, served are 2048 to 4096",
            id="a weak key",
        ),
        pytest.param(
            ROOT.issue("a", key=ec.generate_private_key(ec.SECP224R1())).cert,
            "the key of its certificate is on the curve secp224r1, served are P-256, P-384 and P-521",
            id="another curve",
        ),
        pytest.param(
            ROOT.issue("a", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])]).cert,
            "its certificate is not for servers (extendedKeyUsage without serverAuth)",
            id="a client's",
        ),
        pytest.param(
            ROOT.issue("a", extensions=[usage(signature=False)]).cert,
            "its certificate may not sign handshakes (keyUsage without digitalSignature)",
            id="for encryption only",
        ),
        pytest.param(
            ROOT.issue("a", extensions=[x509.TLSFeature([x509.TLSFeatureType.status_request])]).cert,
            "its certificate demands OCSP stapling (must-staple), which is not done",
            id="must-staple",
        ),
        pytest.param(
            LEAF.cert + b"".join(ROOT.issue(subject=f"CA {n}", ca=True).cert for n in range(MAX_CHAIN)),
            f"it holds more than {MAX_CHAIN} certificates, and not all are authorities'",
            id="a long chain",
        ),
    ],
)
def test_what_may_not_be_served_has_a_reason(content: bytes, reason: str) -> None:
    """Said by the material, which holds nothing then."""
    checked = read(content)
    assert checked.material.reason == reason
    assert (checked.material.chain, checked.material.key, checked.material.authorities) == (None, None, None)


def test_a_weak_intermediate_is_named() -> None:
    """The chain is as weak as its weakest link."""
    weak = ROOT.issue(subject="Weak", ca=True, key=rsa.generate_private_key(65537, 1024))
    reason = read(weak.issue("a").cert + weak.cert).material.reason
    assert reason == 'the key of its intermediate "CN=Weak" is RSA of 1024 bits, served are 2048 to 4096'


def test_a_signature_with_sha_1_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not a root's own, which nobody checks."""
    certificate = ROOT.issue("a", hashed=hashes.SHA224()).cert
    monkeypatch.setattr(check, "_WEAK", (hashes.SHA224,))
    assert read(certificate).material.reason == "its certificate is signed with MD5 or SHA-1"
    assert not read(issue("a", hashed=hashes.SHA224()).cert).material.reason


def test_ed25519_is_remarked() -> None:
    """Envoy serves it, and browsers do not take it."""
    checked = read(issue("a", key=ed25519.Ed25519PrivateKey.generate()).pair)
    assert not checked.material.reason
    assert checked.remarks == ("its key is Ed25519, which browsers do not accept",)


def test_a_weak_authority_is_remarked() -> None:
    """It is trusted, as whoever named it wants; others may be able to sign in its name."""
    weak, strong = authority("Old", key=rsa.generate_private_key(65537, 1024)), authority("New")
    checked = read(weak.cert + strong.cert)
    assert len(checked.material.trusted) == 2
    assert checked.remarks == ('authorities in it have weak keys: "CN=Old" (RSA 1024)',)
    assert read(strong.cert + authority("Other").cert).remarks == ()


def test_validity() -> None:
    """The chain is valid while its leaf is, and the one that issued it."""
    short = ROOT.issue(subject="Short", ca=True, days=(-0.5, 1))
    material = read(short.issue("a", days=(-1, 90)).cert + short.cert).material
    assert material.chain is not None
    since, until = material.chain.not_before, material.chain.not_after
    assert until - since == 1.5 * 86_400
    assert check.at(material, NOW) is material
    assert check.at(material, until).reason == f"it has expired on {check.date(until)}"
    assert check.at(material, since - 1).reason == f"it is not valid before {check.date(since)}"
    above = ROOT.issue(subject="Above", ca=True, days=(-9, -8))
    middle = above.issue(subject="Middle", ca=True)
    longer = read(middle.issue("a").cert + middle.cert + above.cert).material
    assert longer.chain is not None
    assert check.at(longer, NOW).reason == "", "clients may know another form of what has ended"
    assert check.at(read(LEAF.key).material, NOW).reason == ""


@pytest.mark.parametrize(
    ("lives", "reason", "remark"),
    [
        pytest.param([(-1, 90)], "", "", id="good"),
        pytest.param([(-90, -1), (-1, 90)], "", ['"CN=CA 0" has expired on '], id="one has expired"),
        pytest.param([(-1, 90), (-90, 3)], "", ['"CN=CA 1" expires on '], id="one soon will"),
        pytest.param(
            [(-90, -1), (-90, 3), (-1, 90)],
            "",
            ['"CN=CA 0" has expired on ', ', and "CN=CA 1" expires on '],
            id="one of each",
        ),
        pytest.param([(5, 90), (-1, 90)], "", "", id="one is for later"),
        pytest.param(
            [(-90, -1), (-90, -2)],
            ['no authority\'s certificate in it is valid now: "CN=CA 0" has expired on ', ', "CN=CA 1" has expired'],
            "",
            id="all have expired",
        ),
        pytest.param(
            [(5, 90)], "no authority's certificate in it is valid now: none is valid yet", "", id="none is valid yet"
        ),
        pytest.param([(-90, -1)] * 5 + [(-1, 90)], "", [" and 2 more"], id="many"),
    ],
)
def test_authorities_at_a_time(
    lives: list[tuple[float, float]], reason: list[str] | str, remark: list[str] | str
) -> None:
    """One that is good is enough; what has ended, or soon will, is told."""
    bundle = read(b"".join(authority(f"CA {n}", days=days).cert for n, days in enumerate(lives))).material
    assert len(bundle.trusted) == len(lives)
    found = check.at(bundle, NOW)
    for text, parts in ((found.reason, reason), (found.remark, remark)):
        assert bool(text) == bool(parts)
        assert all(part in text for part in ([parts] if isinstance(parts, str) else parts)), text
    assert found.authorities == bundle.authorities, "it stays, for whoever asks what has ended"


def test_an_authority_with_a_successor_of_its_name_may_end() -> None:
    """As in a change: nothing is told until it has ended."""
    bundle = read(authority("CA", days=(-90, 3)).cert + authority("CA", days=(-1, 90)).cert).material
    assert check.at(bundle, NOW).remark == ""
    assert '"CN=CA" has expired on' in check.at(bundle, NOW + 4 * 86_400).remark


def test_each_moment_is_one_at_which_something_changes() -> None:
    """Of the leaf and of every authority."""
    pair = issue("a.example.org", days=(-10, 50))
    for material in (read(pair.cert).material, read(authority(days=(-10, 50)).cert).material):
        since, soon, until = sorted(set(check.moments(material)))
        assert (until - since, until - soon) == (60 * 86_400, 10 * 86_400)
    assert list(check.moments(read(pair.key).material)) == []


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        pytest.param(rsa.generate_private_key(65537, 2048), "RSA 2048", id="RSA"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), "ECDSA P-384", id="P-384"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), "Ed25519", id="Ed25519"),
    ],
)
def test_the_kind_of_its_key(key: object, kind: str) -> None:
    """In words."""
    chain = read(ROOT.issue("a.example.org", key=key).cert).material.chain
    assert chain is not None
    assert chain.key_type == kind
