"""From the bytes of one file or secret to certificates and keys. Pure.

In: PEM as certificate tools write it: pairs, combined, PKCS #8, PKCS #1 or SEC 1 keys, Windows line ends, text around
the blocks (RFC 7468, 2). Out: ``Contents``, nothing of which is checked against another yet, or the reason why the
bytes are no good. It must not know where they came from; nothing that it says repeats them.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import PublicKeyAlgorithmOID

from swarm_xds.certs.values import ED25519, PrivateKey

#: Bytes; a secret or config of Docker holds 500 KB at most, and a bundle of all public authorities 250 KB.
MAX_SIZE = 512 * 1024
#: Bits of RSA that Envoy takes at the least, and beyond which handshakes cost more than they protect.
RSA_BITS = (2048, 4096)

#: Bytes of one key's block: RSA of 4096 bits comes to 3.3 KB.
_MAX_KEY = 8 * 1024
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
#: A block ends before the next row of dashes, so that looking for its end takes no longer than its own length.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9][A-Z0-9 ]{0,60})-----((?:(?!-----).)*)-----END \1-----", re.DOTALL)
_ALGORITHMS = {
    PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
    PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
    PublicKeyAlgorithmOID.ED25519,
}
_CERTIFICATES = {"CERTIFICATE", "X509 CERTIFICATE"}
_KEYS = {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}
#: What tools write beside them, and nobody needs.
_PASSED_OVER = {
    "EC PARAMETERS",
    "DH PARAMETERS",
    "PUBLIC KEY",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
}

_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class UnusableError(ValueError):
    """Bytes that cannot be used; the message is the reason, and holds none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file holds, in its order, each certificate once."""

    certificates: tuple[x509.Certificate, ...] = ()
    key: PrivateKey | None = None


def parse(content: bytes) -> Contents:
    """Return the certificates and the key in a PEM file.

    Raises:
        UnusableError: It is empty, too large, no PEM, half written, or holds what cannot be read or served.
    """
    if len(content) > MAX_SIZE:
        raise UnusableError(f"it is larger than {MAX_SIZE} bytes")
    if not content.strip():
        raise UnusableError("it is empty")
    certificates: dict[x509.Certificate, None] = {}
    keys: dict[PrivateKey, None] = {}
    for kind, block in _blocks(content):
        if kind in _CERTIFICATES:
            certificates[_certificate(block, len(certificates) + 1)] = None
        elif kind in _KEYS:
            keys[_key(block)] = None
        elif kind not in _PASSED_OVER:
            raise UnusableError(_refusal(kind))
    if len(keys) > 1:
        raise UnusableError("it holds more than one private key")
    if not certificates and not keys:
        raise UnusableError("it holds neither a certificate nor a private key")
    return Contents(certificates=tuple(certificates), key=next(iter(keys), None))


def public_key(certificate: x509.Certificate) -> PublicKey:
    """Return a certificate's public key.

    Raises:
        UnusableError: It is of a kind or a strength that cannot be served; the message goes on after "its key".
    """
    return _strong(_key_of(certificate) if certificate.public_key_algorithm_oid in _ALGORITHMS else None)


def spki(key: PublicKey) -> str:
    """Return the SHA-256, in hex, of a public key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_weak(certificate: x509.Certificate) -> bool:
    """Return whether a certificate's key is of a kind that is served, and too short for it."""
    key = _key_of(certificate)
    return isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS[0]


def key_type(certificate: x509.Certificate) -> str:
    """Return what kind of key a certificate has, for people."""
    key = _key_of(certificate)
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    return ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else "another kind"


def _key_of(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _blocks(content: bytes) -> list[tuple[str, bytes]]:
    blocks = [(match[1].decode(), _unindented(match[0])) for match in _BLOCK.finditer(content)]
    if content.count(b"-----BEGIN ") > len(blocks):
        raise UnusableError("a block that begins in it does not end: half written, or cut off")
    if not blocks:
        binary = " (binary DER, it seems: convert it with openssl)" if content[:1] == b"\x30" else ""
        raise UnusableError(f"it is no PEM{binary}")
    return blocks


def _unindented(block: bytes) -> bytes:
    return b"".join(line.strip() + b"\n" for line in block.splitlines())


def _certificate(block: bytes, number: int) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        # What is read late fails late: here is where it may.
        _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.not_valid_after_utc
    except _UNREADABLE:
        raise UnusableError(f"certificate {number} in it cannot be read") from None
    return certificate


def _key(block: bytes) -> PrivateKey:
    if b"ENCRYPTED" in block[:200]:
        raise UnusableError(_refusal("ENCRYPTED PRIVATE KEY"))
    if len(block) > _MAX_KEY:
        raise UnusableError(f"its private key is larger than {_MAX_KEY} bytes")
    try:
        # Its size first: the full check of a large RSA key takes seconds.
        public = _strong(load_pem_private_key(block, None, unsafe_skip_rsa_key_validation=True).public_key())
        key = load_pem_private_key(block, None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    except UnusableError as error:
        raise UnusableError(f"its private key {error}") from None
    # Nothing of it may stand in a message: no cause, and the library's own words neither.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableError("its private key cannot be read") from None
    return PrivateKey(pem, spki(public))


def _strong(key: object) -> PublicKey:
    """Return a public key that Envoy can serve, and that is worth it."""
    if isinstance(key, rsa.RSAPublicKey):
        least, most = RSA_BITS
        if not least <= key.key_size <= most:
            raise UnusableError(f"is RSA of {key.key_size} bits, served are {least} to {most}")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise UnusableError(f"is on the curve {key.curve.name}, served are P-256, P-384 and P-521")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise UnusableError("is neither RSA nor ECDSA nor Ed25519")


def _refusal(kind: str) -> str:
    if kind == "ENCRYPTED PRIVATE KEY":
        return "its private key is encrypted: nobody could give the password; write it unencrypted"
    if kind == "TRUSTED CERTIFICATE":
        return "it holds a TRUSTED CERTIFICATE, a form of OpenSSL's own: write it with openssl x509, without -trustout"
    return f"it holds a block of the kind {kind}, which is neither a certificate nor a private key"
