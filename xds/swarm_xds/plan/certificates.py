"""Which certificate and which authorities a host or a backend gets.

What labels name holds; else the last good one; else one that is there for any host that it names. A host that asks for
TLS and has none of these is refused: never plain text, never another host's certificate (docs/adr/020).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from swarm_xds.certs import choose
from swarm_xds.certs.choose import Authorities
from swarm_xds.certs.values import Certificate, Certificates
from swarm_xds.labels import ANY_HOST
from swarm_xds.plan.claims import Claim
from swarm_xds.problem import Kind, Problem, Severity, shown

_MEND = "mend the file or secret, or name another one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A host, its claims with the oldest first, and the certificate that it had."""

    host: str
    claims: tuple[Claim, ...]
    last: Certificate | None


def certificate(asking: Asking, certificates: Certificates) -> tuple[Certificate | None, tuple[Problem, ...]]:
    """Return a host's certificate, and why it is not what the labels ask for."""
    host, claims = asking.host, asking.claims
    named: dict[tuple[str, str, str], tuple[Claim, choose.Choice]] = {}
    for claim in claims:
        name = (claim.stack, claim.tls.cert, claim.tls.key)
        if claim.tls.cert and name not in named:
            named[name] = (claim, _named(claim, host, certificates))
    good = [choice.certificate for _, choice in named.values() if choice.certificate is not None]
    if good:
        best = max(good, key=lambda each: each.age)
        return best, (*_passed_over(named.values()), *_others(named.values(), best, host))
    spare = certificates.default if host == ANY_HOST else choose.for_host(certificates, host)
    if named:
        instead = asking.last or spare
        outcome = _outcome(host, instead)
        return instead, tuple(
            _problem(claim, Kind.BAD_CERTIFICATE, f"{choice.reason}: {outcome}") for claim, choice in named.values()
        )
    wanting = [claim for claim in claims if claim.tls.label]
    if spare is not None or not wanting:
        return spare, ()
    none = "no certificate" if asking.last is None else "no certificate that can be used"
    reason = f"{none} names {host}: {_outcome(host, asking.last)}"
    cure = "name one in ssl_cert, or put one that names the host into the directory of --certs"
    return asking.last, tuple(_problem(claim, Kind.NO_CERTIFICATE, reason, cure=cure) for claim in wanting)


def _outcome(host: str, instead: Certificate | None) -> str:
    if instead is None:
        return f"the TLS handshakes of clients that name {host} are refused"
    return f'"{instead.name}" is served for {host} instead'


def authorities(certificates: Certificates, stack: str, name: str, last: bytes | None) -> Authorities:
    """Return the bundle that a label names or else the last good one, and what is wrong with what it names."""
    found = choose.authorities(certificates, full_name(certificates, stack, name))
    return found if found.pem is not None or last in found.ended else replace(found, pem=last)


def full_name(certificates: Certificates, stack: str, name: str) -> str:
    """Return a secret's full name: in a stack the name in its file works as well."""
    of_stack = f"{stack}_{name}"
    return of_stack if stack and of_stack in certificates.versions else name


def _named(claim: Claim, host: str, certificates: Certificates) -> choose.Choice:
    cert = full_name(certificates, claim.stack, claim.tls.cert)
    key = full_name(certificates, claim.stack, claim.tls.key) if claim.tls.key else ""
    # Clients of any name, or none, come to a catch-all: there is none that the certificate would have to name.
    return choose.named(certificates, cert, key, () if host == ANY_HOST else (host,))


def _passed_over(found: Iterable[tuple[Claim, choose.Choice]]) -> list[Problem]:
    """Return a problem for each name with a version that cannot be used."""
    return [
        _problem(
            claim,
            Kind.BAD_CERTIFICATE,
            choice.reason,
            Severity.ERROR if choice.certificate is None else Severity.WARNING,
        )
        for claim, choice in found
        if choice.reason
    ]


def _others(found: Iterable[tuple[Claim, choose.Choice]], best: Certificate, host: str) -> list[Problem]:
    return [
        _problem(
            claim,
            Kind.CONFLICT,
            f'another service names "{best.name}" for {host}, which is newer and is served',
            Severity.WARNING,
            "name one certificate in both",
        )
        for claim, choice in found
        if choice.certificate is not None and choice.certificate.chain != best.chain
    ]


def _problem(claim: Claim, kind: Kind, reason: str, severity: Severity = Severity.ERROR, cure: str = _MEND) -> Problem:
    return Problem(
        severity=severity,
        kind=kind,
        service=claim.service,
        label=claim.tls.label,
        value=shown(claim.tls.cert),
        reason=reason,
        cure=cure,
        source=claim.source,
    )
