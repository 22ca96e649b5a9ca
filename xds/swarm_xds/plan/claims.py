"""Claims of services on one host, and how they are settled.

Several services may claim one host and path: their tasks share the traffic in proportion to their number. What
can only hold for the whole route is the oldest service's choice (labels.md, "One host and path, several services").
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from swarm_xds.model import BackendShare, CookieHash, Forward, RedirectTo, Route, SourceHash, VirtualHost
from swarm_xds.problem import Kind, Problem, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One service's wish for one host and path: a backend with so many running tasks, or a redirect.

    Attributes:
        route: Name of the service's route, empty for the unnamed one.
        source: File that the service stands in.
    """

    service: str
    created: int
    route: str
    source: str
    path: str
    backend: str = ""
    running: int = 0
    strip_prefix: bool = False
    hash_by: CookieHash | SourceHash | None = None
    redirect: RedirectTo | None = None

    @property
    def seniority(self) -> tuple[int, str, bool, str]:
        """Sort key: the oldest service first, then by name; of one service its redirect first."""
        return (self.created, self.service, self.redirect is None, self.route)


def virtual_host(claimed: tuple[str, Iterable[Claim]]) -> tuple[VirtualHost, tuple[Problem, ...]]:
    """Return all routes of a host, the longest path first, and what each loser has to know."""
    host, claims = claimed
    by_path: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_path[claim.path].append(claim)
    routes: list[Route] = []
    problems: list[Problem] = []
    for path in sorted(by_path, key=lambda path: (-len(path), path)):
        route, conflicts = _settle(host, path, by_path[path])
        routes.append(route)
        problems += conflicts
    return VirtualHost(host=host, routes=tuple(routes)), tuple(problems)


def _settle(host: str, path: str, claims: list[Claim]) -> tuple[Route, list[Problem]]:
    """Return the one route that all claims on a host and path come to."""
    oldest, *others = claims if len(claims) == 1 else sorted(claims, key=lambda claim: claim.seniority)
    if oldest.redirect is not None:
        # Services that say the same, as the two of a canary do, are no conflict.
        lost = [claim for claim in others if claim.redirect != oldest.redirect]
        route = Route(path=path, action=oldest.redirect, services=(oldest.service,))
        return route, [_lost(claim, host, oldest) for claim in lost]
    problems: list[Problem] = []
    forwards = {oldest.service: oldest}
    for claim in others:
        rival = forwards.get(claim.service)
        if claim.redirect is not None or rival is not None:
            problems.append(_lost(claim, host, rival or oldest))
        else:
            forwards[claim.service] = claim
            problems += _different_options(oldest, claim, host)
    total = sum(claim.running for claim in forwards.values())
    shares = sorted(BackendShare(claim.backend, claim.running if total else 1) for claim in forwards.values())
    if len(shares) == 1:
        shares = [BackendShare(oldest.backend, 1)]
    forward = Forward(backends=tuple(shares), strip_prefix=oldest.strip_prefix, hash_by=oldest.hash_by)
    return Route(path=path, action=forward, services=tuple(forwards)), problems


def _different_options(oldest: Claim, claim: Claim, host: str) -> list[Problem]:
    different = []
    if claim.strip_prefix != oldest.strip_prefix:
        different.append("context_root_rewrite")
    if claim.hash_by != oldest.hash_by:
        different.append("stickiness")
    return [
        _problem(
            claim,
            Severity.WARNING,
            f"{what} for {host}{claim.path} differs from that of the older service {oldest.service}, which holds",
            "give both services the same labels",
        )
        for what in different
    ]


def _lost(claim: Claim, host: str, winner: Claim) -> Problem:
    place = f"{host}{claim.path}"
    if claim.service == winner.service:
        what = f'route "{winner.route}"' if winner.route else "unnamed route"
        reason = f"{place} is claimed twice by this service; its {'redirect' if winner.redirect else what} holds"
        return _problem(claim, Severity.WARNING, reason, "keep one of the two")
    reason = f"{place} belongs to the older service {winner.service}, so this claim has no effect"
    return _problem(claim, Severity.ERROR, reason, "redirect another host or path, or take the older claim away")


def _problem(claim: Claim, severity: Severity, reason: str, cure: str) -> Problem:
    return Problem(
        severity=severity, kind=Kind.CONFLICT, service=claim.service, reason=reason, cure=cure, source=claim.source
    )
