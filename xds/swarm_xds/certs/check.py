"""Whether what was parsed may be served. Pure: the time is given.

In: ``Contents`` of one file or secret. Out: a ``Material``, with a reason if it cannot be used. A chain in the wrong
order is mended, since there is only one right order (ADR 25).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from swarm_xds.certs.parse import Contents, UnusableError, is_weak, key_type, parse, public_key, spki
from swarm_xds.certs.values import Authority, Chain, Material, PrivateKey
from swarm_xds.problem import shown

E = TypeVar("E", bound=x509.ExtensionType)

#: Certificates in a chain; clients commonly follow no longer one.
MAX_CHAIN = 10

_DAY = 86_400
#: How long before its end a certificate that nothing replaces is spoken of, in seconds; in parts of its life if less.
_SOON, _SOON_PART = 14 * _DAY, 1 / 6
#: How many of a bundle's authorities a remark names.
_NAMED = 3

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_WEAK = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a file or secret came to.

    Attributes:
        material: Good at any time, as far as its own validity allows; see ``at``.
        remarks: What was mended or is unusual, each one sentence without a full stop.
    """

    material: Material
    remarks: tuple[str, ...] = ()


def read(name: str, content: bytes) -> Checked:
    """Return what the bytes of a file or secret mean. Never raises: what is wrong is the material's reason."""
    try:
        return check(name, parse(content))
    except UnusableError as error:
        return Checked(material=Material(name=name, reason=str(error)))


def check(name: str, contents: Contents) -> Checked:
    """Return what certificates and a key mean together.

    Raises:
        UnusableError: They cannot be served, or do not belong together.
    """
    certificates, key = contents.certificates, contents.key
    if not certificates:
        return Checked(material=Material(name=name, key=key))
    trusted = certificates if key is None and all(_is_authority(each) for each in certificates) else ()
    if trusted and (len(trusted) > 1 or not _names(trusted[0]) or not _may_sign_handshakes(trusted[0])):
        return Checked(material=_bundle(name, trusted), remarks=_weak(trusted))
    if len(certificates) > MAX_CHAIN:
        raise UnusableError(f"it holds more than {MAX_CHAIN} certificates, and not all are authorities'")
    leaf = _leaf(certificates, key)
    ordered = _in_order(leaf, certificates)
    _check_chain(ordered)
    material = replace(_bundle(name, trusted), chain=_chain(ordered), key=key)
    return Checked(material=material, remarks=_remarks(certificates, ordered))


def server(name: str, content: bytes) -> Material:
    """Return a server's certificate for which nobody chooses: the first one, whatever it names."""
    try:
        certificates = parse(content).certificates
    except UnusableError as error:
        return Material(name=name, reason=str(error))
    if not certificates:
        return Material(name=name, reason="it holds no certificate")
    return Material(name=name, chain=_chain(_in_order(certificates[0], certificates)))


def bundle(name: str, content: bytes) -> Material:
    """Return certificates that are trusted whatever they say of themselves."""
    try:
        certificates = parse(content).certificates
    except UnusableError as error:
        return Material(name=name, reason=str(error))
    return _bundle(name, certificates) if certificates else Material(name=name, reason="it holds no certificate")


def at(material: Material, now: float) -> Material:
    """Return a material as it is at a time, in seconds since the epoch: expired, not yet valid, or unchanged."""
    if material.reason:
        return material
    if material.chain is None:
        return _bundle_at(material, now)
    if now >= material.chain.not_after:
        return replace(material, reason=f"it has expired on {date(material.chain.not_after)}")
    if now < material.chain.not_before:
        return replace(material, reason=f"it is not valid before {date(material.chain.not_before)}")
    return material


def _bundle_at(material: Material, now: float) -> Material:
    """Return a bundle as it is at a time: of no use if none of it is valid, else with what has ended or soon will."""
    if not material.trusted:
        return material
    ended = [each for each in material.trusted if now >= each.not_after]
    if not any(each.not_before <= now < each.not_after for each in material.trusted):
        what = _listed("has expired", ended) if ended else "none is valid yet"
        return replace(material, reason=f"no authority's certificate in it is valid now: {what}")
    last: dict[str, int] = {}
    for each in material.trusted:
        last[each.subject] = max(each.not_after, last.get(each.subject, 0))
    ending = [
        each
        for each in material.trusted
        if each not in ended and now >= soon(each) and each.not_after == last[each.subject]
    ]
    parts = [_listed("has expired", ended)] if ended else []
    parts += [_listed("expires", ending)] if ending else []
    return replace(material, remark=", and ".join(parts))


def _listed(verb: str, some: list[Authority]) -> str:
    shown_ = ", ".join(f'"{each.subject}" {verb} on {date(each.not_after)}' for each in some[:_NAMED])
    return f"{shown_} and {len(some) - _NAMED} more" if len(some) > _NAMED else shown_


def soon(certificate: Chain | Authority) -> float:
    """Return from when on a certificate that nothing replaces is spoken of, in seconds since the epoch."""
    life = certificate.not_after - certificate.not_before
    return certificate.not_after - min(_SOON, life * _SOON_PART)


def moments(material: Material) -> Iterator[float]:
    """Yield when a material comes out differently by time alone, in seconds since the epoch."""
    for each in (*(() if material.chain is None else (material.chain,)), *material.trusted):
        yield from (each.not_before, soon(each), each.not_after)


def date(seconds: float) -> str:
    """Return a time as text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _leaf(certificates: tuple[x509.Certificate, ...], key: PrivateKey | None) -> x509.Certificate:
    """Return the server's certificate: that of the key, else the one that is no authority's, else the first."""
    if key is not None:
        fitting = [each for each in certificates if _public_key_of(each) == key.spki]
        if not fitting:
            raise UnusableError("its private key is not that of its certificate")
        return fitting[0]
    servers = [each for each in certificates if not _is_ca(each)]
    if len(servers) > 1:
        raise UnusableError("it holds more than one server's certificate")
    return servers[0] if servers else certificates[0]


def _in_order(leaf: x509.Certificate, certificates: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...]:
    """Return the leaf, then each issuer after what it has issued; a root is left out, since clients have their own."""
    ordered = [leaf]
    rest = [each for each in certificates if each is not leaf and not _is_self_signed(each)]
    for issued in ordered:
        issuers = [each for each in rest if _has_issued(each, issued)]
        ordered += issuers
        rest = [each for each in rest if each not in issuers]
    return tuple(ordered)


def _remarks(certificates: tuple[x509.Certificate, ...], ordered: tuple[x509.Certificate, ...]) -> tuple[str, ...]:
    remarks = []
    if [each for each in certificates if each in ordered] != list(ordered):
        remarks.append("its certificates stand in the wrong order, and are served in the right one")
    strange = [each for each in certificates if each not in ordered and not _is_root_of(each, ordered)]
    if strange:
        remarks.append(f"{len(strange)} of its certificates did not issue the others, and are left out")
    if isinstance(public_key(ordered[0]), ed25519.Ed25519PublicKey):
        remarks.append("its key is Ed25519, which browsers do not accept")
    return tuple(remarks)


def _check_chain(ordered: tuple[x509.Certificate, ...]) -> None:
    for certificate in ordered:
        which = "its certificate" if certificate is ordered[0] else f'its intermediate "{_subject(certificate)}"'
        try:
            public_key(certificate)
        except UnusableError as error:
            raise UnusableError(f"the key of {which} {error}") from None
        if _is_weakly_signed(certificate):
            raise UnusableError(f"{which} is signed with MD5 or SHA-1")
    _check_leaf(ordered[0])


def _check_leaf(leaf: x509.Certificate) -> None:
    if not _names(leaf):
        raise UnusableError("its certificate names no host: clients want a subjectAltName with DNS names or addresses")
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    served = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usages is not None and not served & set(usages):
        raise UnusableError("its certificate is not for servers (extendedKeyUsage without serverAuth)")
    if not _may_sign_handshakes(leaf):
        raise UnusableError("its certificate may not sign handshakes (keyUsage without digitalSignature)")
    features = _extension(leaf, x509.TLSFeature)
    if features is not None and x509.TLSFeatureType.status_request in features:
        raise UnusableError("its certificate demands OCSP stapling (must-staple), which is not done")


def _chain(ordered: tuple[x509.Certificate, ...]) -> Chain:
    leaf = ordered[0]
    # Of what stands above them a client may know another form, so that its end proves nothing.
    issuers = [each for each in ordered[1:] if _has_issued(each, leaf)] or [leaf]
    since, until = min(each.not_valid_before_utc for each in issuers), max(each.not_valid_after_utc for each in issuers)
    return Chain(
        pem=_pem(ordered),
        spki=_public_key_of(leaf),
        names=_names(leaf),
        not_before=int(max(leaf.not_valid_before_utc, since).timestamp()),
        not_after=int(min(leaf.not_valid_after_utc, until).timestamp()),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        issuer=shown(leaf.issuer.rfc4514_string()),
        subject=_subject(leaf),
        key_type=key_type(leaf),
    )


def _bundle(name: str, trusted: tuple[x509.Certificate, ...]) -> Material:
    return Material(
        name=name, authorities=_pem(trusted) if trusted else None, trusted=tuple(_authority(each) for each in trusted)
    )


def _authority(certificate: x509.Certificate) -> Authority:
    return Authority(
        subject=_subject(certificate),
        issuer=shown(certificate.issuer.rfc4514_string()),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        key_type=key_type(certificate),
    )


def _weak(trusted: Iterable[x509.Certificate]) -> tuple[str, ...]:
    """Return a remark on authorities whose signature somebody else might be able to make."""
    weak = sorted({f'"{_subject(each)}" ({key_type(each)})' for each in trusted if is_weak(each)})
    more = f" and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
    return (f"authorities in it have weak keys: {', '.join(weak[:_NAMED])}{more}",) if weak else ()


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    alternative = _extension(certificate, x509.SubjectAlternativeName)
    if alternative is None:
        return ()
    names = {name.lower() for name in alternative.get_values_for_type(x509.DNSName)}
    addresses = {str(address) for address in alternative.get_values_for_type(x509.IPAddress)}
    return tuple(sorted({*(name for name in names if _NAME.fullmatch(name)), *addresses}))


def _subject(certificate: x509.Certificate) -> str:
    return shown(certificate.subject.rfc4514_string())


def _public_key_of(certificate: x509.Certificate) -> str:
    """Return the hash of a certificate's public key; empty for one that is not served."""
    try:
        return spki(public_key(certificate))
    except UnusableError:
        return ""


def _is_authority(certificate: x509.Certificate) -> bool:
    return _is_ca(certificate) or _is_self_signed(certificate)


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _is_self_signed(certificate: x509.Certificate) -> bool:
    return _has_issued(certificate, certificate)


def _is_root_of(certificate: x509.Certificate, ordered: tuple[x509.Certificate, ...]) -> bool:
    return _is_self_signed(certificate) and any(_has_issued(certificate, each) for each in ordered)


def _has_issued(issuer: x509.Certificate, issued: x509.Certificate) -> bool:
    if issuer.subject != issued.issuer:
        return False
    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _may_sign_handshakes(certificate: x509.Certificate) -> bool:
    usage = _extension(certificate, x509.KeyUsage)
    return usage is None or usage.digital_signature


def _is_weakly_signed(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.signature_hash_algorithm, _WEAK) and not _is_self_signed(certificate)
    except UnsupportedAlgorithm:
        return False


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
