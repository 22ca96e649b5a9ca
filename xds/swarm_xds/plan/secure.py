"""What claims on one host come to over TLS: who answers, and what the host asks of its connections.

Options of a connection hold for the whole host, since they are agreed on before any path is known: the oldest
service's hold. A service that asks for client certificates, be it on one path, is never served on connections that do
not: it is left out, with all its paths on the host, since each may lead to the tasks of another.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from swarm_xds.labels import TlsVersion
from swarm_xds.model import Passthrough, SourceHash, VirtualHost
from swarm_xds.plan.claims import Claim, conflict, lost, shares, virtual_host
from swarm_xds.problem import Problem, Severity

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A host over TLS, before its certificate is chosen.

    Attributes:
        claims: Those that are served, the oldest first.
        min_version: None for the edge's default.
        client_ca: The claim whose authorities clients must come with; None if they need no certificate.
    """

    virtual_host: VirtualHost
    claims: tuple[Claim, ...]
    min_version: TlsVersion | None
    client_ca: Claim | None


def secured(claimed: tuple[str, Iterable[Claim]]) -> tuple[Secured, tuple[Problem, ...]]:
    """Return what a host's claims come to, and what each loser has to know."""
    host, claims = claimed
    ordered = sorted(claims, key=lambda claim: claim.seniority)
    oldest = ordered[0]
    asking: dict[str, list[Claim]] = defaultdict(list)
    for claim in ordered:
        if claim.tls.client_ca:
            asking[claim.service].append(claim)
    holds = asking[oldest.service][0] if oldest.service in asking else None
    kept: list[Claim] = []
    problems: list[Problem] = []
    for claim in ordered:
        if any(holds is None or _client_ca(each) != _client_ca(holds) for each in asking.get(claim.service, ())):
            problems.append(_not_asked(claim, holds or oldest, host))
            continue
        kept.append(claim)
        if holds is not None and not claim.tls.client_ca:
            whose = "another route of this service" if claim.service == holds.service else _older(holds)
            reason = f"{host} asks for client certificates, as {whose} wants it"
            problems.append(conflict(claim, Severity.WARNING, reason, "use another host"))
    min_version, told = _option(host, "tls.min_version", [(claim, claim.tls.min_version) for claim in kept])
    hsts, also = _option(host, "hsts", [(claim, claim.tls.hsts) for claim in kept])
    answers, conflicts = virtual_host((host, kept))
    outcome = Secured(
        virtual_host=replace(answers, hsts=hsts or ""),
        claims=tuple(kept),
        min_version=min_version,
        client_ca=holds,
    )
    return outcome, (*problems, *told, *also, *conflicts)


def passed_through(claimed: tuple[str, Iterable[Claim]]) -> tuple[Passthrough, tuple[Problem, ...]]:
    """Return who gets the connections of a host, in proportion to running tasks."""
    host, claims = claimed
    oldest, *others = sorted(claims, key=lambda claim: claim.seniority)
    kept = {oldest.service: oldest}
    problems: list[Problem] = []
    for claim in others:
        rival = kept.setdefault(claim.service, claim)
        if rival is not claim:
            problems.append(lost(claim, host, rival))
        elif claim.hash_by != oldest.hash_by:
            reason = f"stickiness for {host} differs from that of the older service {oldest.service}, which holds"
            problems.append(conflict(claim, Severity.WARNING, reason, "give both services the same labels"))
    outcome = Passthrough(
        host=host,
        backends=shares(kept.values()),
        services=tuple(kept),
        hash_by=oldest.hash_by if isinstance(oldest.hash_by, SourceHash) else None,
    )
    return outcome, tuple(problems)


def rivals(host: str, secure: list[Claim], passing: list[Claim]) -> tuple[bool, tuple[Problem, ...]]:
    """Return whether a host's TLS is passed through rather than ended here, and what the losers have to know.

    One connection goes one way: that of the oldest claim.
    """
    if not secure or not passing:
        return bool(passing), ()
    # Of one service's own, a redirect does not take the connections of its tasks away.
    oldest = min((*secure, *passing), key=lambda claim: (claim.created, claim.service, claim not in passing))
    if oldest in passing:
        what, losers = "passed through", [claim for claim in secure if claim.tls.label]
    else:
        what, losers = "ended at the edge", passing
    cure = "use another host, or give both services the same labels"
    told = []
    for claim in losers:
        whose = "this service's own route" if claim.service == oldest.service else f"the older service {oldest.service}"
        reason = f"the TLS of {host} is {what} for {whose}, so this claim has no effect there"
        told.append(conflict(claim, Severity.ERROR, reason, cure))
    return oldest in passing, tuple(told)


def _client_ca(claim: Claim) -> tuple[str, str]:
    """Return what names the authorities: one name may be two secrets, each its stack's."""
    return (claim.stack, claim.tls.client_ca)


def _not_asked(claim: Claim, holder: Claim, host: str) -> Problem:
    left_out = f"this claim on {host}{claim.path} is left out, since it would be open to others"
    if claim.service == holder.service:
        reason = f"routes of this service on {host} ask clients for certificates of different CAs: {left_out}"
        return conflict(
            claim, Severity.ERROR, reason, "give them the same tls.client_ca; a bundle may hold several CAs"
        )
    other = "for those of another CA" if holder.tls.client_ca else "for none"
    reason = f"{host} belongs to {_older(holder)}, which asks clients {other}: {left_out}"
    return conflict(claim, Severity.ERROR, reason, "use another host, or give both services the same tls.client_ca")


def _older(claim: Claim) -> str:
    return f"the older service {claim.service}"


def _option(host: str, name: str, asked: list[tuple[Claim, T]]) -> tuple[T | None, list[Problem]]:
    """Return the oldest claim's value, and a problem for each that asks for another."""
    named = [(claim, value) for claim, value in asked if value]
    if not named:
        return None, []
    (oldest, holds), *others = named
    reason = f"{name} for {host} differs from that of the older service {oldest.service}, which holds"
    cure = "give both services the same labels"
    return holds, [conflict(claim, Severity.WARNING, reason, cure) for claim, value in others if value != holds]
