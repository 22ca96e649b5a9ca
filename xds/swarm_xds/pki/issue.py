"""An authority and what it issues, as values: ECDSA on P-256, signed with SHA-256.

Names are URIs, as SPIFFE has them: ``spiffe://swarm-xds/control-plane``, ``spiffe://swarm-xds/fleet/<fleet>``,
``spiffe://swarm-xds/relay`` and ``spiffe://swarm-xds/operator/<name>``. The server lets a proxy have the fleet that its
certificate names and lets operators ask, and a proxy takes configuration from whoever is called control plane, at
whatever address.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarm_xds.certs.parse import spki
from swarm_xds.certs.values import PrivateKey

TRUST_DOMAIN = "spiffe://swarm-xds"
_OPERATOR = f"{TRUST_DOMAIN}/operator/"
#: Where a control plane is found: its service's name in its stack, that of its tasks, and this machine.
SERVER_NAMES = ("control-plane", "tasks.control-plane", "localhost", "127.0.0.1", "::1")

#: An authority outlives many certificates, and can be replaced without a pause; certificates are made anew in one call.
AUTHORITY_LIFE = timedelta(days=3_652)
MEMBER_LIFE = timedelta(days=397)
#: Clocks differ.
_SKEW = timedelta(hours=1)
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*"
)
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,50}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Who a certificate is for.

    Attributes:
        name: Also that of its files: ``control-plane``, ``fleet-default``, ``relay``.
        uri: Who it is.
        hosts: DNS names and addresses at which it is reached, if it serves.
        serves: Whether it is a server's; ``calls``: whether it is a client's.
    """

    name: str
    uri: str
    hosts: tuple[str, ...] = ()
    serves: bool = False
    calls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate as PEM and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)


def control_plane(hosts: Iterable[str] = ()) -> Member:
    """Return the control plane, at its usual names and these.

    Raises:
        ValueError: One is neither a DNS name nor an address.
    """
    every = tuple(dict.fromkeys((*SERVER_NAMES, *hosts)))
    for host in every:
        if _address(host) is None and not _HOST.fullmatch(host):
            raise ValueError(f'"{host}" is neither a DNS name nor an address')
    return Member(name="control-plane", uri=f"{TRUST_DOMAIN}/control-plane", hosts=every, serves=True, calls=True)


def fleet(name: str) -> Member:
    """Return the proxies of a fleet.

    Raises:
        ValueError: The name cannot stand in a URI and in a file's name.
    """
    _check(name, "a fleet")
    return Member(name=f"fleet-{name}", uri=f"{TRUST_DOMAIN}/fleet/{name}", calls=True)


def relay() -> Member:
    """Return the relays, which hand over certificates of stacks to control planes alone."""
    return Member(name="relay", uri=f"{TRUST_DOMAIN}/relay", serves=True)


def operator(name: str) -> Member:
    """Return a person or program that asks control planes what they know.

    Raises:
        ValueError: The name cannot stand in a URI and in a file's name.
    """
    _check(name, "an operator")
    return Member(name=f"operator-{name}", uri=f"{_OPERATOR}{name}", calls=True)


def is_operator(member: Member) -> bool:
    """Tell whether a member is an operator."""
    return member.uri.startswith(_OPERATOR)


def _check(name: str, what: str) -> None:
    if not _PART.fullmatch(name):
        raise ValueError(
            f'"{name}" cannot name {what} in a certificate: up to 51 letters, digits and - _ . are allowed'
        )


def member_of(name: str, certificate: x509.Certificate) -> Member:
    """Return whom a certificate was issued for, to issue it again.

    Raises:
        ValueError: It is none of ours.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        raise ValueError("its certificate names no member") from None
    addresses = [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    return Member(
        name=name,
        uri=uri,
        hosts=(*names.get_values_for_type(x509.DNSName), *addresses),
        serves=ExtendedKeyUsageOID.SERVER_AUTH in usages,
        calls=ExtendedKeyUsageOID.CLIENT_AUTH in usages,
    )


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority: its certificate, and its key to issue others."""

    certificate: x509.Certificate
    key: PrivateKey

    @classmethod
    def make(cls, now: datetime) -> "Authority":
        """Return a new authority, whose name no other has."""
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        name = _name(f"swarm-xds authority {identifier.digest[:4].hex()}")
        certificate = (
            _builder(name, name, key, now, AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, _private(key))

    def issue(self, member: Member, now: datetime) -> Issued:
        """Issue a member's certificate, with a new key; it ends no later than the authority's own."""
        signer = load_pem_private_key(self.key.reveal(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - ``make`` made it, or ``store`` checked it
        key = ec.generate_private_key(ec.SECP256R1())
        life = min(MEMBER_LIFE, self.certificate.not_valid_after_utc - now)
        usages = [
            *([ExtendedKeyUsageOID.SERVER_AUTH] if member.serves else []),
            *([ExtendedKeyUsageOID.CLIENT_AUTH] if member.calls else []),
        ]
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            _builder(_name(member.name), self.certificate.subject, key, now, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(_alternatives(member)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(signer, hashes.SHA256())
        )
        return Issued(certificate=certificate, key=_private(key))


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternatives(member: Member) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(member.uri)]
    for host in member.hosts:
        address = _address(host)
        names.append(x509.DNSName(host) if address is None else x509.IPAddress(address))
    return names


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> PrivateKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateKey(pem, spki(key.public_key()))
