"""What files may look like, and what is said of those that are no good."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from support.certificates import Issued, authority, issue
from swarm_xds.certs.parse import MAX_SIZE, UnusableError, parse

EC = issue("a.example.org")
RSA = issue("a.example.org", key=rsa.generate_private_key(65537, 2048))
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def windows(text: bytes) -> bytes:
    """Return a text as Windows would write it."""
    return text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("issued", [pytest.param(EC, id="ECDSA"), pytest.param(RSA, id="RSA")])
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda cert, key: cert + key, id="certificate and key"),
        pytest.param(lambda cert, key: key + cert, id="key and certificate"),
        pytest.param(lambda cert, key: windows(cert + key), id="Windows"),
        pytest.param(lambda cert, key: (cert + key).replace(b"\n", b"\r"), id="carriage returns"),
        pytest.param(lambda cert, key: b"\xef\xbb\xbf" + cert + key, id="byte order mark"),
        pytest.param(lambda cert, key: b"Bag Attributes\n  - x: \xff\n" + cert + b"\ntext\n" + key + b"\n#", id="text"),
        pytest.param(lambda cert, key: (cert + key).rstrip(), id="no end of line"),
        pytest.param(lambda cert, key: (cert + key).replace(b"\n", b"\n    "), id="indented"),
        pytest.param(lambda cert, key: PARAMETERS + key + cert, id="parameters"),
        pytest.param(lambda cert, key: cert + cert + key + key, id="everything twice"),
    ],
)
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS 8", "traditional"])
def test_each_form_means_the_same(issued: Issued, write: object, form: PrivateFormat) -> None:
    """Whatever the tool, the key comes out as PKCS #8."""
    assert callable(write)
    contents = parse(write(issued.cert, issued.key_as(form)))
    assert contents.certificates == (issued.certificate,)
    assert contents.key is not None
    assert contents.key.reveal() == issued.key


def test_a_certificate_or_a_key_alone() -> None:
    """As the two files of a pair have it."""
    assert parse(EC.cert).key is None
    assert parse(EC.key).certificates == ()


def test_what_is_served_at_most_and_at_least() -> None:
    """The curves and sizes that the real Envoy takes (tests/certs/test_real_envoy.py)."""
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        assert parse(issue("a", key=ec.generate_private_key(curve)).pair).key
    assert parse(issue("a", key=ed25519.Ed25519PrivateKey.generate()).pair).key


def key_of(key: object) -> bytes:
    """Return a key of any kind as PEM."""
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    return pem


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b" \r\n\t", "it is empty", id="white space"),
        pytest.param(b"\xf3\x00garbage" * 100, "it is no PEM", id="garbage"),
        pytest.param(b"x" * 1024 * 1024, f"it is larger than {MAX_SIZE} bytes", id="1 MB"),
        pytest.param(
            EC.certificate.public_bytes(Encoding.DER),
            "it is no PEM (binary DER, it seems: convert it with openssl)",
            id="DER",
        ),
        pytest.param(EC.pair[:-30], "a block that begins in it does not end: half written, or cut off", id="cut off"),
        pytest.param(
            EC.cert[:100] + EC.key, "a block that begins in it does not end: half written, or cut off", id="cut"
        ),
        pytest.param(EC.cert.replace(b"MII", b"AAA", 1), "certificate 1 in it cannot be read", id="bad certificate"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n",
            "certificate 1 in it cannot be read",
            id="an empty block",
        ),
        pytest.param(EC.key.replace(b"MI", b"AA", 1), "its private key cannot be read", id="bad key"),
        pytest.param(
            EC.key_as(password=b"secret"),
            "its private key is encrypted: nobody could give the password; write it unencrypted",
            id="encrypted",
        ),
        pytest.param(
            RSA.key_as(PrivateFormat.TraditionalOpenSSL, b"secret"),
            "its private key is encrypted: nobody could give the password; write it unencrypted",
            id="encrypted in the old way",
        ),
        pytest.param(EC.key + RSA.key, "it holds more than one private key", id="two keys"),
        pytest.param(PARAMETERS, "it holds neither a certificate nor a private key", id="parameters alone"),
        pytest.param(
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "it holds a block of the kind OPENSSH PRIVATE KEY, which is neither a certificate nor a private key",
            id="OpenSSH",
        ),
        pytest.param(
            EC.cert.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
            "it holds a TRUSTED CERTIFICATE, a form of OpenSSL's own: write it with openssl x509, without -trustout",
            id="OpenSSL's trusted certificate",
        ),
        pytest.param(
            key_of(rsa.generate_private_key(65537, 1024)),
            "its private key is RSA of 1024 bits, served are 2048 to 4096",
            id="a weak key",
        ),
        pytest.param(
            key_of(ec.generate_private_key(ec.SECP256K1())),
            "its private key is on the curve secp256k1, served are P-256, P-384 and P-521",
            id="another curve",
        ),
        pytest.param(
            key_of(ed448.Ed448PrivateKey.generate()),
            "its private key is neither RSA nor ECDSA nor Ed25519",
            id="Ed448",
        ),
        pytest.param(
            key_of(x25519.X25519PrivateKey.generate()),
            "its private key is neither RSA nor ECDSA nor Ed25519",
            id="no signer",
        ),
        pytest.param(
            key_of(dsa.generate_private_key(1024)), "its private key is neither RSA nor ECDSA nor Ed25519", id="DSA"
        ),
        pytest.param(
            EC.key.replace(b"\n", b"\n" * 9_000), "its private key is larger than 8192 bytes", id="a key of many lines"
        ),
    ],
)
def test_what_is_no_good_has_a_reason(content: bytes, reason: str) -> None:
    """Which repeats nothing of the content."""
    with pytest.raises(UnusableError) as failure:
        parse(content)
    assert str(failure.value) == reason
    assert failure.value.__cause__ is None


@pytest.mark.timeout(20)
def test_blocks_that_never_end_take_no_time() -> None:
    """Where it is in proportion to more than the size, that is minutes."""
    with pytest.raises(UnusableError, match="half written"):
        parse(b"-----BEGIN CERTIFICATE-----\n" * (MAX_SIZE // 28))
    with pytest.raises(UnusableError, match="half written"):
        parse(b"-----BEGIN CERTIFICATE-----" + b"-" * (MAX_SIZE - 27))


def test_a_public_key_beside_it_is_passed_over() -> None:
    """Some tools write it."""
    public = authority().private_key.public_key()
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert parse(text + EC.pair).certificates == (EC.certificate,)
