"""What certificates are to every stage: values, already parsed and checked, and keys that do not show themselves.

In: what a source has parsed. Out: frozen values. It must not know files, Docker, the clock or Envoy.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Self, SupportsIndex

#: The ``key_type`` of certificates that browsers and QUIC do not take.
ED25519 = "Ed25519"
#: What may follow a name: ``.v3``, ``-2``, ``_20261125``.
_VERSION = re.compile(r"(.+)[._-][vV]?([0-9]{1,18})", re.DOTALL)


class PrivateKey:
    """A private key that no text shows: not ``repr``, ``str``, formatting, pickling, ``asdict`` or an exception.

    Attributes:
        spki: SHA-256, in hex, of the public key (DER of its SubjectPublicKeyInfo); a chain's is the same if they fit.
    """

    __slots__ = ("_pem", "spki")
    _pem: bytes
    spki: str

    def __init__(self, pem: bytes, spki: str) -> None:
        object.__setattr__(self, "_pem", pem)
        object.__setattr__(self, "spki", spki)

    def reveal(self) -> bytes:
        """Return the key as PEM. Only where it goes out to a proxy over mutual TLS, or to a file of mode 0600."""
        return self._pem

    def __repr__(self) -> str:
        return f"PrivateKey(redacted, spki={self.spki[:16]})"

    def __eq__(self, other: object) -> bool:
        return self._pem == other._pem if isinstance(other, PrivateKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.spki)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a private key cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a private key cannot be changed: {name}")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a private key is never serialised")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a private key is never serialised")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A leaf certificate and the intermediates above it.

    Attributes:
        pem: The certificates as PEM, the leaf first.
        spki: SHA-256, in hex, of the leaf's public key (DER of its SubjectPublicKeyInfo).
        names: The leaf's DNS names, lower case, ``*.example.org`` among them, and its addresses; sorted.
        not_before: When the leaf and the one that issued it begin to be valid, in seconds since the epoch.
        not_after: When the first of the two ends, in seconds since the epoch.
        fingerprint: SHA-256, in hex, of the leaf.
        issuer: The leaf's issuer (RFC 4514).
        subject: The leaf's subject (RFC 4514).
        key_type: Of the leaf's public key, for people: ``ECDSA P-256``, ``RSA 2048``, ``Ed25519``.
    """

    pem: bytes
    spki: str
    names: tuple[str, ...]
    not_before: int
    not_after: int
    fingerprint: str
    issuer: str
    subject: str
    key_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One certificate of an authority; the attributes are those of ``Chain``, for itself."""

    subject: str
    issuer: str
    not_before: int
    not_after: int
    fingerprint: str
    key_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one file or one Docker secret holds.

    Attributes:
        name: As a label names it: the secret's name, or the file's path below the directory, with ``/``.
        chain: A server's certificate, if there is one; also when ``reason`` says that it cannot be served now.
        key: A private key, if there is one.
        authorities: Certificates of authorities as PEM, for ``tls.client_ca``; None if it holds none.
        trusted: Each of ``authorities``, in their order.
        reason: Why it cannot be used now, one sentence without a full stop; empty if it can.
        remark: What whoever trusts its authorities should know now, although it can be used; of the same form.
    """

    name: str
    chain: Chain | None = None
    key: PrivateKey | None = None
    authorities: bytes | None = None
    trusted: tuple[Authority, ...] = ()
    reason: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A chain and the key that fits it, both checked.

    Attributes:
        name: Where it comes from, e.g. ``site.crt.v3`` or ``example.org/fullchain.pem``; for people and for metrics.
    """

    name: str
    chain: Chain
    key: PrivateKey

    def covers(self, host: str) -> bool:
        """Return whether the certificate names the host; ``*.example.org`` stands for one label (RFC 9525, 6.3)."""
        return any(name in self.chain.names for name in names_for(host))

    @property
    def age(self) -> tuple[int, int, str]:
        """What orders certificates: the greatest is the newest; the same on every replica."""
        return (self.chain.not_before, self.chain.not_after, self.chain.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Challenge:
    """What an ACME authority asks a host for, to see that it is ours (RFC 8555, 8.3); public by its nature.

    Attributes:
        host: Whose certificate was ordered.
        path: What is asked for over plain HTTP: ``/.well-known/acme-challenge/<token>``.
        answer: The body of the answer.
    """

    host: str
    path: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsChallenge:
    """What an ACME authority asks a host for in a handshake, to see that it is ours (RFC 8737).

    Attributes:
        host: Whose certificate was ordered.
        certificate: Shown to whoever offers ``acme-tls/1`` and names the host, and to nobody else.
    """

    host: str
    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Everything that can be served at one time.

    Attributes:
        materials: By name; what the labels ``ssl_cert``, ``ssl_key`` and ``tls.client_ca`` may name.
        certificates: For any host that they cover, from pairs in a directory and from ACME.
        default: For clients that name no host; None: their connection is closed.
        challenges: What every proxy has to answer over plain HTTP, before any redirect to HTTPS.
        tls_challenges: What every proxy has to answer in handshakes, sorted; one for a host.
        newest: The newest of ``certificates`` by each name. Made from them.
        versions: The materials that a name stands for, the newest version first. Made from them.
    """

    materials: tuple[Material, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    default: Certificate | None = None
    challenges: tuple[Challenge, ...] = ()
    tls_challenges: tuple[TlsChallenge, ...] = ()
    newest: Mapping[str, Certificate] = field(init=False, repr=False, compare=False)
    versions: Mapping[str, tuple[Material, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "newest", _newest(self.certificates))
        object.__setattr__(self, "versions", _versions(self.materials))

    def with_more(self, other: "Certificates") -> "Certificates":
        """Return both together; of two of one name or host, and of two defaults, this one's holds."""
        known = {material.name: material for material in (*other.materials, *self.materials)}
        shown = {each.host: each for each in (*other.tls_challenges, *self.tls_challenges)}
        return Certificates(
            materials=tuple(known[name] for name in sorted(known)),
            certificates=tuple(
                sorted({*self.certificates, *other.certificates}, key=lambda each: (each.name, each.age))
            ),
            default=self.default or other.default,
            challenges=tuple(sorted({*self.challenges, *other.challenges})),
            tls_challenges=tuple(shown[host] for host in sorted(shown)),
        )


def names_for(host: str) -> tuple[str, ...]:
    """Return the names in a certificate that are good for a host: its own and the wildcard, in this order."""
    host = host.lower().removesuffix(".")
    first, _, parent = host.partition(".")
    return (host, f"*.{parent}") if parent and first not in {"", "*"} else (host,)


def version_of(name: str) -> tuple[str, int]:
    """Return what a name is a version of, and which: ``("site.crt", 3)`` for ``site.crt.v3``; -1 if it is none."""
    match = _VERSION.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, -1)


def _versions(materials: Iterable[Material]) -> dict[str, tuple[Material, ...]]:
    found: dict[str, list[tuple[tuple[int, int, int, str], Material]]] = {}
    for material in materials:
        stem, version = version_of(material.name)
        since, until = (material.chain.not_before, material.chain.not_after) if material.chain else (0, 0)
        found.setdefault(stem, []).append(((version, since, until, material.name), material))
        if version >= 0:
            found.setdefault(material.name, []).append(((-1, since, until, material.name), material))
    return {
        name: tuple(material for _, material in sorted(each, key=lambda pair: pair[0], reverse=True))
        for name, each in found.items()
    }


def _newest(certificates: Iterable[Certificate]) -> dict[str, Certificate]:
    newest: dict[str, Certificate] = {}
    for certificate in sorted(certificates, key=lambda each: (each.age, each.name)):
        newest |= dict.fromkeys(certificate.chain.names, certificate)
    return newest
