"""Claims of services on one host and path, and how they are settled.

Several services may claim one host and path: their tasks share the traffic in proportion to their number. What
can only hold for the whole route is the oldest service's choice (labels.md, "One host and path, several services").
"""

from dataclasses import dataclass

from swarm_xds.labels import Redirect as RedirectIntent
from swarm_xds.labels import RouteIntent, Sticky
from swarm_xds.model import BackendShare, CookieHash, Forward, RedirectTo, Route, SourceHash
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One service's wish for one host and path: a backend with so many running tasks, or a redirect."""

    service: Service
    route: RouteIntent
    backend: str = ""
    running: int = 0
    redirect: RedirectIntent | None = None

    @property
    def seniority(self) -> tuple[int, str, str]:
        """Sort key: the oldest service first, then by name."""
        return (self.service.created, self.service.name, self.route.name)


def settle(host: str, path: str, claims: list[Claim]) -> tuple[Route, tuple[Problem, ...]]:
    """Return the one route that all claims on a host and path come to, and what each loser has to know."""
    problems: list[Problem] = []
    claims = sorted(claims, key=lambda claim: claim.seniority)
    oldest = claims[0]
    own_redirect = next((claim for claim in claims if claim.redirect and claim.service.id == oldest.service.id), None)
    if own_redirect is not None and own_redirect.redirect is not None:
        problems += [_lost(claim, host, path, own_redirect) for claim in claims if claim is not own_redirect]
        names = (own_redirect.service.name,)
        return Route(path=path, action=_redirect(own_redirect.redirect), services=names), tuple(problems)
    forwards: list[Claim] = []
    for claim in claims:
        rival = next((other for other in forwards if other.service.id == claim.service.id), None)
        if claim.redirect is not None or rival is not None:
            problems.append(_lost(claim, host, path, rival or oldest))
        else:
            forwards.append(claim)
    problems += [problem for claim in forwards[1:] for problem in _different_options(oldest, claim, host, path)]
    total = sum(claim.running for claim in forwards)
    shares = tuple(sorted(BackendShare(claim.backend, claim.running if total else 1) for claim in forwards))
    forward = Forward(backends=shares, strip_prefix=oldest.route.strip_prefix, hash_by=hash_by(oldest.route))
    return Route(path=path, action=forward, services=tuple(claim.service.name for claim in forwards)), tuple(problems)


def hash_by(route: RouteIntent) -> CookieHash | SourceHash | None:
    """Return what keeps a client on a task, if anything does."""
    backend = route.backend
    if backend is None:
        return None
    if backend.cookie:
        return CookieHash(backend.cookie, backend.sticky is Sticky.GENERATED)
    return SourceHash() if backend.ip_hash else None


def _redirect(redirect: RedirectIntent) -> RedirectTo:
    return RedirectTo(
        scheme=redirect.target_scheme,
        host=redirect.target_host,
        port=redirect.target_port,
        path=redirect.target_path,
    )


def _different_options(oldest: Claim, claim: Claim, host: str, path: str) -> list[Problem]:
    different = []
    if claim.route.strip_prefix != oldest.route.strip_prefix:
        different.append("context_root_rewrite")
    if hash_by(claim.route) != hash_by(oldest.route):
        different.append("stickiness")
    return [
        _problem(
            claim,
            Severity.WARNING,
            f"{what} for {host}{path} differs from that of the older service {oldest.service.name}, which holds",
            "give both services the same labels",
        )
        for what in different
    ]


def _lost(claim: Claim, host: str, path: str, winner: Claim) -> Problem:
    if claim.service.id == winner.service.id:
        what = (
            "redirect"
            if winner.redirect is not None
            else f'route "{winner.route.name}"'
            if winner.route.name
            else "route"
        )
        reason = f"{host}{path} is claimed twice by this service; its {what} holds"
        return _problem(claim, Severity.WARNING, reason, "keep one of the two")
    reason = f"{host}{path} belongs to the older service {winner.service.name}, so this claim has no effect"
    return _problem(claim, Severity.ERROR, reason, "redirect another host or path, or take the older claim away")


def _problem(claim: Claim, severity: Severity, reason: str, cure: str) -> Problem:
    return Problem(
        severity=severity,
        kind=Kind.CONFLICT,
        service=claim.service.name,
        reason=reason,
        cure=cure,
        source=claim.service.source,
    )
