"""What one service brings to the fleets: its backends, and its claims on hosts and paths."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from swarm_xds.labels import BackendIntent, BackendTlsIntent, RouteIntent, ServiceIntent, Sticky, TlsIntent, Verify
from swarm_xds.labels import Redirect as RedirectIntent
from swarm_xds.model import Backend, CookieHash, Outlier, RedirectTo, RedirectToHttps, SourceHash, UpstreamTls
from swarm_xds.plan.claims import Claim, Entry, conflict
from swarm_xds.plan.reach import Surroundings, UnreachableError, reach
from swarm_xds.problem import Problem, Severity
from swarm_xds.swarm import Service

_DEFAULT_OUTLIER = Outlier()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One service's part of the plan.

    Attributes:
        backends: ``(fleet, backend)``.
        authorities: ``(fleet, backend, asked)``: whose authorities are still to be found.
        claims: ``(fleet, entry, host, claim)``.
        shut: ``(fleet, host)``: what no wildcard may answer for either, unless somebody claims the host itself.
        rejected: Names of routes whose labels leave open how the tasks are reached; they are left out.
    """

    backends: tuple[tuple[str, Backend], ...] = ()
    authorities: tuple[tuple[str, str, BackendTlsIntent], ...] = ()
    claims: tuple[tuple[str, Entry, str, Claim], ...] = ()
    shut: frozenset[tuple[str, str]] = frozenset()
    rejected: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


def offer(asked: tuple[Service, ServiceIntent], default_fleet: str, around: Surroundings) -> Offer:
    """Return what a service brings, whatever the others bring."""
    service, intent = asked
    backends: list[tuple[str, Backend]] = []
    authorities: list[tuple[str, str, BackendTlsIntent]] = []
    claims: list[tuple[str, Entry, str, Claim]] = []
    rejected: set[str] = set()
    problems: list[Problem] = []
    # A host that one route closes to clients without a certificate is closed in plain for the others as well.
    closed = {
        (route.fleet or default_fleet, host)
        for route in intent.routes
        if route.tls.client_ca
        for host in (*route.hosts, *route.tls_hosts)
    }
    # And one that would, and is left out, closes it for the others altogether.
    shut = {(each.fleet or default_fleet, each.host) for each in intent.closed}
    for route in intent.routes:
        fleet = route.fleet or default_fleet
        if route.redirects:
            claims += [(fleet, entry, host, claim) for entry, host, claim in _redirects(service, route)]
        if route.backend is None:
            continue
        try:
            reached, told = reach(service, route.backend, fleet, around)
        except UnreachableError as error:
            rejected.add(route.name)
            problems.append(error.problem)
            if route.tls.client_ca:
                shut |= {(fleet, host) for host in (*route.hosts, *route.tls_hosts)}
            continue
        problems += told
        hash_by = _hash_by(route)
        backend = Backend(
            name=f"{service.name}/{route.name}" if route.name else service.name,
            service=service.name,
            stack=service.stack,
            endpoints=reached.endpoints,
            by_name=reached.by_name,
            relayed=reached.relayed,
            consistent_hash=hash_by is not None,
            outlier=_outlier(route.backend),
            tls=_upstream_tls(route.backend),
        )
        backends.append((fleet, backend))
        if route.backend.tls is not None and route.backend.tls.ca:
            authorities.append((fleet, backend.name, route.backend.tls))
        claim = Claim(
            service=service.name,
            created=service.created,
            stack=service.stack,
            route=route.name,
            source=service.source,
            path=route.path,
            backend=backend.name,
            running=reached.running,
            strip_prefix=route.strip_prefix,
            hash_by=hash_by,
            tls=route.tls,
        )
        redirected = replace(claim, redirect=RedirectToHttps())
        claims += [
            (fleet, Entry.PLAIN, host, redirected if _never_plain(route.tls) or (fleet, host) in closed else claim)
            for host in route.hosts
        ]
        entry = Entry.PASSTHROUGH if route.tls.passthrough else Entry.SECURE
        claims += [(fleet, entry, host, claim) for host in route.tls_hosts]
    kept, told = _without(shut, claims)
    return Offer(
        backends=tuple(backends),
        authorities=tuple(authorities),
        claims=kept,
        shut=frozenset(shut),
        rejected=frozenset(rejected),
        problems=(*problems, *told),
    )


def _without(
    shut: Collection[tuple[str, str]], claims: Sequence[tuple[str, Entry, str, Claim]]
) -> tuple[tuple[tuple[str, Entry, str, Claim], ...], tuple[Problem, ...]]:
    """Return the claims but those that would answer on a host for a route that is to keep people out."""
    kept: list[tuple[str, Entry, str, Claim]] = []
    told: dict[tuple[str, str], Problem] = {}
    for fleet, entry, host, claim in claims:
        if (fleet, host) not in shut or claim.redirect is not None or claim.tls.client_ca:
            kept.append((fleet, entry, host, claim))
            continue
        reason = (
            f"another route of this service on {host} keeps people out and is left out: this one, for {claim.path}, is "
            "left out too, since it would answer there for all"
        )
        told[host, claim.route] = conflict(claim, Severity.ERROR, reason, "mend what the other problem names")
    return tuple(kept), tuple(told.values())


def _never_plain(tls: TlsIntent) -> bool:
    """Tell whether plain HTTP gets no content."""
    return tls.only or tls.passthrough


def _redirects(service: Service, route: RouteIntent) -> Iterator[tuple[Entry, str, Claim]]:
    for redirect in route.redirects:
        tls = TlsIntent() if route.tls.passthrough else route.tls
        if redirect.host not in {*route.hosts, *route.tls_hosts}:
            # Nothing of the service is there that clients would need a certificate for.
            tls = replace(tls, client_ca="", client_ca_label="")
        # One that is asked for over HTTPS asks for TLS.
        if redirect.scheme == "https" and not tls.label:
            tls = replace(tls, label=route.redirects_label)
        claim = Claim(
            service=service.name,
            created=service.created,
            stack=service.stack,
            route=route.name,
            source=service.source,
            path=redirect.path,
            redirect=_target(redirect),
            tls=tls,
        )
        if redirect.scheme != "https":
            yield Entry.PLAIN, redirect.host, claim
        if redirect.scheme != "http":
            yield Entry.SECURE, redirect.host, claim


def _target(redirect: RedirectIntent) -> RedirectTo:
    return RedirectTo(
        scheme=redirect.target_scheme,
        host=redirect.target_host,
        port=redirect.target_port,
        path=redirect.target_path,
    )


def _upstream_tls(backend: BackendIntent) -> UpstreamTls | None:
    return None if backend.tls is None else UpstreamTls(verify=backend.tls.verify is Verify.REQUIRED)


def _outlier(backend: BackendIntent) -> Outlier:
    if backend.max_fails is None and backend.fail_timeout is None:
        return _DEFAULT_OUTLIER
    return Outlier(consecutive=backend.max_fails, base_ejection=backend.fail_timeout)


def _hash_by(route: RouteIntent) -> CookieHash | SourceHash | None:
    """Return what keeps a client on a task, if anything does."""
    backend = route.backend
    if backend is None:
        return None
    if backend.cookie:
        return CookieHash(backend.cookie, backend.sticky is Sticky.GENERATED)
    return SourceHash() if backend.ip_hash else None
