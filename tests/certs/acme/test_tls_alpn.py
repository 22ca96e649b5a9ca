"""The challenge of RFC 8737: how it is read, and the certificate that answers it."""

from datetime import UTC, datetime

from acme import challenges
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from swarm_xds.certs import check
from swarm_xds.certs.acme.tls_alpn import TlsAlpn01, answer

#: RFC 8737, 6.1.
IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
OFFERED = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


def test_the_library_reads_it() -> None:
    """Else it would be one of those that nobody knows; what is sent to the authority is an empty object."""
    offered = {"type": "tls-alpn-01", "url": "https://example.org/1", "token": OFFERED, "status": "pending"}
    challenge = challenges.Challenge.from_json(offered)
    assert isinstance(challenge, TlsAlpn01)
    key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    response, digest = challenge.response_and_validation(key)
    assert response.json_dumps() == "{}"
    hashed = hashes.Hash(hashes.SHA256())
    hashed.update(challenge.key_authorization(key).encode())
    assert digest == hashed.finalize()
    assert challenge.key_authorization(key).startswith(f"{OFFERED}.")


def test_the_certificate_is_as_the_rfc_has_it() -> None:
    """Self-signed, of one name, with the digest as an OCTET STRING in a critical extension."""
    digest = bytes(range(32))
    content = answer("app.example.org", digest)
    certificate = x509.load_pem_x509_certificate(content)
    certificate.verify_directly_issued_by(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("app.example.org")]
    extension = certificate.extensions.get_extension_for_oid(IDENTIFIER)
    assert extension.critical
    assert isinstance(extension.value, x509.UnrecognizedExtension)
    assert extension.value.value == b"\x04\x20" + digest
    assert certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc
    material = check.read("challenge", content).material
    assert material.key is not None
    assert material.chain is not None
    assert material.key.spki == material.chain.spki
    assert answer("app.example.org", digest) != content
