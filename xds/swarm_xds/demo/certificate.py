"""A self-signed certificate for the demonstration, made anew at each start and kept in memory only."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.stock import Origin

_NAME = "self-signed.pem"
_DAYS = 30


class SelfSigned:
    """A source of one certificate, for these hosts and their neighbours: an edit may name another one beside them."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._names = sorted({name for host in hosts for name in _names(host)})

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield the certificate once; see ``CertificateSource``."""
        files = {_NAME: read(_NAME, _self_signed(self._names))} if self._names else {}
        held = hold(Held(), files, time.time())
        yield CertificatesReading(certificates=held.certificates, cause="the start", stock=held.stock(Origin.DEMO))
        await asyncio.Event().wait()


def _names(host: str) -> tuple[str, ...]:
    parent = host.partition(".")[2]
    return (host, f"*.{parent}") if "." in parent else (host,)


def _self_signed(names: list[str]) -> bytes:
    """Return a certificate and its key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-xds demo")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
