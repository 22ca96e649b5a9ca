"""The encrypted side of a fleet: its hosts over TLS with their certificates, and backends that speak TLS.

What the claims come to (``secure``) does not depend on certificates, so that a rotation settles nothing anew.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from swarm_xds.certs import choose
from swarm_xds.certs.choose import Authorities
from swarm_xds.certs.values import Certificates, Challenge, TlsChallenge
from swarm_xds.labels import ANY_HOST, BackendTlsIntent
from swarm_xds.memo import Memo
from swarm_xds.model import Backend, Fleet, Passthrough, SecureHost, ServerTls, TlsVersion, VirtualHost
from swarm_xds.plan.certificates import Asking, authorities, certificate
from swarm_xds.plan.claims import Claim
from swarm_xds.plan.secure import Secured, passed_through, rivals, secured
from swarm_xds.plan.shut import above
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import Service


def encrypted_hosts(
    secure: Mapping[str, list[Claim]],
    passing: Mapping[str, list[Claim]],
    certificates: Certificates,
    before: Fleet,
    memo: Memo,
) -> tuple[tuple[SecureHost, ...], tuple[Passthrough, ...], list[Problem]]:
    """Return the hosts whose TLS is ended at the edge, those whose TLS is passed through, and the problems."""
    ended, passed = [], []
    problems: list[Problem] = []
    for host in sorted({*secure, *passing}):
        claims = _contenders(host, secure.get(host, []), certificates)
        passes, told = rivals(host, claims, passing.get(host, []))
        problems += told
        if passes:
            passed.append((host, (host, tuple(passing[host]))))
        elif claims:
            ended.append((host, (host, tuple(secure[host]))))
    settled = memo.each(("secure", before.name), None, ended, secured)
    through = memo.each(("passed through", before.name), None, passed, passed_through)
    last = {each.host: each.tls for each in before.secure_hosts}
    given = [(host, (each, last.get(host))) for (host, _), (each, _) in zip(ended, settled, strict=True)]
    hosts = memo.each(("certificates", before.name), certificates, given, partial(_host, certificates=certificates))
    problems += [problem for _, told in (*settled, *through, *hosts) for problem in told]
    return tuple(host for host, _ in hosts), tuple(each for each, _ in through), problems


def uncertified(secure: Mapping[str, list[Claim]], passing: Iterable[Passthrough]) -> tuple[str, ...]:
    """Return the hosts that labels ask TLS for, which is ended at the edge, without naming a certificate."""
    passed = {each.host for each in passing}
    return tuple(
        host
        for host, claims in sorted(secure.items())
        if not host.startswith(ANY_HOST)
        and host not in passed
        and any(claim.tls.label for claim in claims)
        and not any(claim.tls.cert for claim in claims)
    )


def challenged(hosts: Iterable[VirtualHost], challenges: Iterable[Challenge]) -> tuple[VirtualHost, ...]:
    """Return the hosts of plain HTTP with the answers that an ACME authority expects of them.

    Each is given by whoever answers for the host: a host of its own would hide it from the routes of a wildcard.
    """
    by_host = {each.host: each for each in hosts}
    answers: dict[str, list[Challenge]] = defaultdict(list)
    for challenge in challenges:
        answering = (name for name in (challenge.host, *above(challenge.host)) if name in by_host)
        answers[next(answering, challenge.host)].append(challenge)
    for host, given in answers.items():
        known = by_host.get(host, VirtualHost(host=host, routes=()))
        by_host[host] = replace(known, challenges=tuple(sorted(given)))
    return tuple(each for _, each in sorted(by_host.items()))


def challenged_in_tls(fleet: Fleet, challenges: Iterable[TlsChallenge]) -> Fleet:
    """Return a fleet with the handshakes that an ACME authority expects of it.

    Not where the tasks answer for a host: they may have an authority of their own. Nor for a host that is not claimed
    here, where a wildcard answers: an answer would hide it from that one's clients, as Envoy looks for names first.
    """
    passed = {each.host for each in fleet.passthroughs}
    ended = {each.host for each in fleet.secure_hosts if each.tls.certificate is not None}
    answering = passed | ended | ({ANY_HOST} if fleet.default is not None else set())
    answered = (
        each
        for each in challenges
        if (each.host not in passed if each.host in fleet.hosts else answering.isdisjoint(above(each.host)))
    )
    return replace(fleet, tls_challenges=tuple(answered))


def _contenders(host: str, claims: list[Claim], certificates: Certificates) -> list[Claim]:
    """Return the claims that TLS is ended for: all, where a certificate is there anyway; else those that ask for it."""
    spare = certificates.default if host == ANY_HOST else choose.for_host(certificates, host)
    return claims if spare is not None else [claim for claim in claims if claim.tls.label]


def _host(
    asked: tuple[Secured, ServerTls | None], certificates: Certificates
) -> tuple[SecureHost, tuple[Problem, ...]]:
    """Return a host with what it is served with; with no certificate if it must not be served."""
    settled, last = asked
    host = settled.virtual_host.host
    asking = Asking(host=host, claims=settled.claims, last=last.certificate if last is not None else None)
    found, problems = certificate(asking, certificates)
    clients, told = _clients(settled, certificates, last)
    open_to_clients = settled.client_ca is None or clients is not None
    reasons = [each.reason for each in (problems if open_to_clients else told) if each.kind is not Kind.CONFLICT]
    tls = ServerTls(
        certificate=found if open_to_clients else None,
        min_version=None if settled.min_version is None else TlsVersion(settled.min_version.value),
        client_ca=clients,
        client_ca_by=settled.client_ca.service if settled.client_ca is not None else "",
        reason=next(iter(reasons), ""),
    )
    return SecureHost(virtual_host=settled.virtual_host, tls=tls), (*problems, *told)


def _clients(
    settled: Secured, certificates: Certificates, last: ServerTls | None
) -> tuple[bytes | None, tuple[Problem, ...]]:
    """Return the authorities of client certificates, and why they are not what the label names."""
    claim = settled.client_ca
    if claim is None:
        return None, ()
    # Another service's clients are nobody's to let in, although they were let in before.
    known = last.client_ca if last is not None and last.client_ca_by == claim.service else None
    found = authorities(certificates, claim.stack, claim.tls.client_ca, known)
    problem = Problem(
        severity=Severity.ERROR,
        kind=Kind.BAD_CERTIFICATE,
        service=claim.service,
        label=claim.tls.client_ca_label,
        value=claim.tls.client_ca,
        reason=f"all TLS handshakes for {settled.virtual_host.host} are refused",
        source=claim.source,
    )
    return found.pem, _of_bundle(found, problem)


def trusting(
    backend: Backend, service: Service, asked: BackendTlsIntent, certificates: Certificates, before: Fleet
) -> tuple[Backend, tuple[Problem, ...]]:
    """Return a backend that trusts the authorities that the label names, or the last good ones; else without tasks."""
    last = next((each.tls for each in before.backends if each.name == backend.name), None)
    found = authorities(certificates, service.stack, asked.ca, last.authorities if last is not None else None)
    if found.pem is None:
        backend = replace(backend, endpoints=(), by_name=False)
    elif backend.tls is not None:
        backend = replace(backend, tls=replace(backend.tls, authorities=found.pem))
    problem = Problem(
        severity=Severity.ERROR,
        kind=Kind.BAD_CERTIFICATE,
        service=service.name,
        label=asked.ca_label,
        value=asked.ca,
        reason="the tasks cannot be verified, and requests are answered 503",
        source=service.source,
    )
    return backend, _of_bundle(found, problem)


def _of_bundle(found: Authorities, without: Problem) -> tuple[Problem, ...]:
    """Return what is wrong with a bundle; ``without`` says what there being none comes to."""
    problems = []
    if found.reason:
        outcome = without.reason if found.pem is None else "the last good ones stay"
        cure = "mend the file or secret, or name another one"
        problems.append(replace(without, reason=f"{found.reason}: {outcome}", cure=cure))
    if found.remark:
        cure = "take what has expired out, and add what follows it"
        problems.append(replace(without, severity=Severity.WARNING, reason=found.remark, cure=cure))
    return tuple(problems)
