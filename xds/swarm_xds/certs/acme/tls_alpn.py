"""The challenge ``tls-alpn-01`` (RFC 8737), which the client library has a registry for and no class.

In: a token, the account's key, a host. Out: the certificate that answers a handshake. It must not know who shows it.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from acme import challenges
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from josepy.jwk import JWK

#: id-pe-acmeIdentifier (RFC 8737, 3).
_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
#: DER: an OCTET STRING of 32 bytes.
_OCTET_STRING = bytes([0x04, 32])
#: Nobody looks at when it ends; clocks differ.
_DAYS = 7


@challenges.ChallengeResponse.register
class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
    """The word that the answer can be looked at."""

    typ = "tls-alpn-01"


@challenges.Challenge.register
class TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """The challenge, as an authority offers it."""

    response_cls = TlsAlpn01Response
    typ = response_cls.typ

    def validation(self, account_key: JWK, **_: object) -> bytes:
        """Return what the certificate has to hold: the SHA-256 of the key authorization."""
        return hashlib.sha256(self.key_authorization(account_key).encode()).digest()


def answer(host: str, digest: bytes) -> bytes:
    """Return the certificate that answers for a host and its key, as PEM; both are made for this alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=_DAYS))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_IDENTIFIER, _OCTET_STRING + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + pem
