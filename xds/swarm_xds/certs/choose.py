"""Which certificate a host is served with. Pure.

In: ``Certificates``, what labels name, hosts. Out: a certificate, or the reason why there is none. What is expired, not
yet valid or bad has a reason already: the source has the clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from swarm_xds.certs.values import Certificate, Certificates, Chain, Material, names_for

#: How many of a certificate's names a reason repeats.
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a name came to.

    Attributes:
        certificate: The one to serve; None if there is none.
        reason: Why there is none, or why a newer version was passed over; empty if all is well.
    """

    certificate: Certificate | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """What the name of a CA bundle came to.

    Attributes:
        pem: The bundle; None if there is none.
        reason: Why there is none, or why a newer version was passed over; empty if all is well.
        remark: What is to be known of the bundle; empty if nothing.
        ended: Bundles of this name of which nothing is valid any more: no last good ones.
    """

    pem: bytes | None = None
    reason: str = ""
    remark: str = ""
    ended: frozenset[bytes] = frozenset()


def for_host(certificates: Certificates, host: str) -> Certificate | None:
    """Return the certificate for a host that names none: exact before wildcard, then the newest."""
    found = (certificates.newest.get(name) for name in names_for(host))
    return next((certificate for certificate in found if certificate is not None), None)


def named(certificates: Certificates, cert_name: str, key_name: str, hosts: Iterable[str]) -> Choice:
    """Return the certificate that labels name, with the key that fits it, if it covers all hosts.

    A name is exact, or a prefix of versions: ``site.crt`` finds ``site.crt``, ``site.crt.v3`` and ``site.crt-2``. The
    highest version that can be used wins, and the key may be of any version, as long as it fits. With an empty
    ``key_name`` the key is in the certificate's own file or secret.
    """
    found = certificates.versions.get(cert_name)
    if not found:
        return Choice(reason=_missing(cert_name))
    hosts = tuple(hosts)
    keys = certificates.versions.get(key_name, ())
    passed_over = ""
    for material in found:
        outcome = _with_key(material, key_name, keys if key_name else (material,))
        if isinstance(outcome, Certificate):
            if not (uncovered := [host for host in hosts if not outcome.covers(host)]):
                return Choice(certificate=outcome, reason=passed_over)
            outcome = _not_named(material.name, outcome.chain, uncovered)
        passed_over = passed_over or outcome
    return Choice(reason=passed_over)


def authorities(certificates: Certificates, name: str) -> Authorities:
    """Return the CA bundle that a label names, by the same rule as ``named``."""
    found = certificates.versions.get(name)
    if not found:
        return Authorities(reason=_missing(name))
    passed_over = ""
    for material in found:
        if material.authorities is not None and not material.reason:
            remark = f'"{material.name}": {material.remark}' if material.remark else ""
            return Authorities(pem=material.authorities, reason=passed_over, remark=remark)
        passed_over = passed_over or (
            f'"{material.name}": {material.reason or "it holds no certificate of an authority"}'
        )
    ended = frozenset(each.authorities for each in found if each.authorities is not None)
    return Authorities(reason=passed_over, ended=ended)


def _with_key(material: Material, key_name: str, keys: tuple[Material, ...]) -> Certificate | str:
    """Return a certificate with its key, or the reason why not."""
    name = f'"{material.name}"'
    if material.reason:
        return f"{name}: {material.reason}"
    if material.chain is None:
        why = ": a server's names its hosts in subjectAltName" if material.authorities is not None else ""
        return f"{name} holds no certificate of a server{why}"
    if not keys:
        return _missing(key_name)
    usable = [key.key for key in keys if key.key is not None and not key.reason]
    fitting = next((key for key in usable if key.spki == material.chain.spki), None)
    if fitting is not None:
        return Certificate(name=material.name, chain=material.chain, key=fitting)
    if usable:
        return f'{name}: its public key is not that of "{key_name or material.name}"'
    reason = next((key.reason for key in keys if key.reason), "")
    return f'"{keys[0].name}": {reason}' if reason else f'"{keys[0].name}" holds no private key'


def _missing(name: str) -> str:
    return f'there is no file or secret "{name}"'


def _not_named(name: str, chain: Chain, hosts: Iterable[str]) -> str:
    names = ", ".join(chain.names[:_NAMES_SHOWN]) + (", …" if len(chain.names) > _NAMES_SHOWN else "")
    return f'"{name}" does not name {", ".join(hosts)}; it names {names or "no host"}'
