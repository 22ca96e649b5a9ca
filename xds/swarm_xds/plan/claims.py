"""Claims of services on one host, and how they are settled.

Several services may claim one host and path: their tasks share the traffic in proportion to their number. What
can only hold for the whole route is the oldest service's choice (labels.md, "One host and path, several services").
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from swarm_xds.labels import TlsIntent
from swarm_xds.model import (
    BackendShare,
    CookieHash,
    Forward,
    RedirectTo,
    RedirectToHttps,
    Route,
    SourceHash,
    VirtualHost,
)
from swarm_xds.problem import Kind, Problem, Severity

_NOTHING_OF_TLS = TlsIntent()


class Entry(StrEnum):
    """Where requests for a host come in."""

    PLAIN = "plain"
    SECURE = "secure"
    PASSTHROUGH = "passthrough"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One service's wish for one host and path: a backend with so many running tasks, or a redirect.

    Attributes:
        route: Name of the service's route, empty for the unnamed one.
        source: File that the service stands in.
        stack: Stack that the service belongs to, or empty.
        tls: What the route asks of TLS.
    """

    service: str
    created: int
    stack: str
    route: str
    source: str
    path: str
    backend: str = ""
    running: int = 0
    strip_prefix: bool = False
    hash_by: CookieHash | SourceHash | None = None
    redirect: RedirectTo | RedirectToHttps | None = None
    tls: TlsIntent = _NOTHING_OF_TLS

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
        # One that gives way to HTTPS alone loses nothing.
        alike = (oldest.redirect, RedirectToHttps())
        others = [claim for claim in others if claim.redirect not in alike]
        tell = _only_over_https if isinstance(oldest.redirect, RedirectToHttps) else lost
        route = Route(path=path, action=oldest.redirect, services=(oldest.service,))
        return route, [tell(claim, host, oldest) for claim in others]
    problems: list[Problem] = []
    forwards = {oldest.service: oldest}
    for claim in others:
        rival = forwards.get(claim.service)
        if isinstance(claim.redirect, RedirectToHttps):
            # It is served over HTTPS alone, as it asks.
            continue
        if claim.redirect is not None or rival is not None:
            problems.append(lost(claim, host, rival or oldest))
        else:
            forwards[claim.service] = claim
            problems += _different_options(oldest, claim, host)
    forward = Forward(backends=shares(forwards.values()), strip_prefix=oldest.strip_prefix, hash_by=oldest.hash_by)
    return Route(path=path, action=forward, services=tuple(forwards)), problems


def shares(claims: Collection[Claim]) -> tuple[BackendShare, ...]:
    """Return the backends' shares, in proportion to running tasks."""
    if len(claims) == 1:
        return tuple(BackendShare(claim.backend, 1) for claim in claims)
    total = sum(claim.running for claim in claims)
    return tuple(sorted(BackendShare(claim.backend, claim.running if total else 1) for claim in claims))


def _different_options(oldest: Claim, claim: Claim, host: str) -> list[Problem]:
    different = []
    if claim.strip_prefix != oldest.strip_prefix:
        different.append("context_root_rewrite")
    if claim.hash_by != oldest.hash_by:
        different.append("stickiness")
    return [
        conflict(
            claim,
            Severity.WARNING,
            f"{what} for {host}{claim.path} differs from that of the older service {oldest.service}, which holds",
            "give both services the same labels",
        )
        for what in different
    ]


def lost(claim: Claim, host: str, winner: Claim) -> Problem:
    """Return what a claim has to know that lost its place to another one."""
    place = f"{host}{claim.path}"
    if claim.service == winner.service:
        what = f'route "{winner.route}"' if winner.route else "unnamed route"
        reason = f"{place} is claimed twice by this service; its {'redirect' if winner.redirect else what} holds"
        return conflict(claim, Severity.WARNING, reason, "keep one of the two")
    reason = f"{place} belongs to the older service {winner.service}, so this claim has no effect"
    return conflict(claim, Severity.ERROR, reason, "redirect another host or path, or take the older claim away")


def _only_over_https(claim: Claim, host: str, winner: Claim) -> Problem:
    if claim.redirect is not None or claim.service == winner.service:
        return lost(claim, host, winner)
    reason = f"plain HTTP for {host}{claim.path} is redirected to HTTPS, as the older service {winner.service} asks"
    return conflict(claim, Severity.WARNING, reason, "give both services the same labels")


def conflict(claim: Claim, severity: Severity, reason: str, cure: str) -> Problem:
    """Return a problem of a claim with another one."""
    return Problem(
        severity=severity, kind=Kind.CONFLICT, service=claim.service, reason=reason, cure=cure, source=claim.source
    )
