"""Certificates for tests, made anew: authorities, what they issue, and how files hold it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

#: Days from now.
VALID = (-1.0, 90.0)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    private_key: Any

    @property
    def cert(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key(self) -> bytes:
        """The key as PKCS #8."""
        return self.key_as()

    @property
    def pair(self) -> bytes:
        """Both in one file."""
        return self.cert + self.key

    def key_as(self, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
        """The key in another form: PKCS #1 or SEC 1 (``TraditionalOpenSSL``), or encrypted."""
        protection: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
        pem: bytes = self.private_key.private_bytes(Encoding.PEM, form, protection)
        return pem

    def issue(self, *names: str, **options: Any) -> "Issued":
        """Issue a certificate; see ``issue``."""
        return issue(*names, by=self, **options)


def secret_lines(pem: str | bytes) -> list[str]:
    """Return the lines of a P-256 key as PKCS #8 that nobody may see; what follows them is its public key."""
    text = pem if isinstance(pem, str) else pem.decode()
    return text.partition("-----BEGIN PRIVATE KEY-----\n")[2].splitlines()[:2]


def issue(
    *names: str,
    by: Issued | None = None,
    subject: str = "",
    ca: bool | None = False,
    key: Any = None,
    days: tuple[float, float] = VALID,
    hashed: hashes.HashAlgorithm | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
    uris: Sequence[str] = (),
) -> Issued:
    """Return a certificate for these DNS names, self-signed unless issued ``by`` another; ``ca=None``: says nothing."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject or (names[0] if names else "nobody"))])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(by.certificate.subject if by else called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    general = [*map(x509.DNSName, names), *map(x509.UniformResourceIdentifier, uris)]
    if general:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = by.private_key if by else key
    without_hash = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return Issued(builder.sign(signer, None if without_hash else hashed or hashes.SHA256()), key)


def authority(subject: str = "Test CA", **options: Any) -> Issued:
    """Return a self-signed authority."""
    return issue(subject=subject, ca=True, **options)
