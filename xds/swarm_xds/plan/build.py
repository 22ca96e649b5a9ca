"""The plan as a whole: every service's backends and claims, gathered into fleets."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from swarm_xds.labels import RouteIntent, ServiceIntent
from swarm_xds.model import Backend, Fleet, Outlier, RoutingModel, VirtualHost
from swarm_xds.plan.claims import Claim, hash_by, settle
from swarm_xds.plan.reach import Surroundings, UnreachableError, reach
from swarm_xds.problem import Problem
from swarm_xds.swarm import Service, SwarmState


@dataclass(slots=True)
class _Fleet:
    backends: dict[str, Backend] = field(default_factory=dict)
    #: host → path → claims
    claims: dict[str, dict[str, list[Claim]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))


def build(
    state: SwarmState, intents: Iterable[tuple[Service, ServiceIntent]], default_fleet: str
) -> tuple[RoutingModel, tuple[Problem, ...]]:
    """Return what the fleets serve, and the problems that only show when services are seen together."""
    around = Surroundings.of(state)
    fleets: dict[str, _Fleet] = defaultdict(_Fleet)
    fleets[default_fleet] = _Fleet()
    problems: list[Problem] = []
    for service, intent in intents:
        for route in intent.routes:
            name = route.fleet or default_fleet
            problems += _claim(service, route, name, fleets[name], around)
    model = []
    for name, fleet in sorted(fleets.items()):
        virtual_hosts, conflicts = _virtual_hosts(fleet)
        problems += conflicts
        model.append(Fleet(name=name, virtual_hosts=virtual_hosts, backends=_used(fleet, virtual_hosts)))
    return RoutingModel(fleets=tuple(model), default_fleet=default_fleet), tuple(problems)


def _claim(
    service: Service, route: RouteIntent, fleet_name: str, fleet: _Fleet, around: Surroundings
) -> tuple[Problem, ...]:
    """Enter a route's backend and its claims into a fleet."""
    for redirect in route.redirects:
        # The plain listener never sees a request for https; its redirects wait for TLS.
        if redirect.scheme != "https":
            claim = Claim(service=service, route=route, redirect=redirect)
            fleet.claims[redirect.host][redirect.path].append(claim)
    if route.backend is None:
        return ()
    try:
        reached, problems = reach(service, route.backend, fleet_name, around)
    except UnreachableError as error:
        return (error.problem,)
    backend = Backend(
        name=f"{service.name}/{route.name}" if route.name else service.name,
        service=service.name,
        endpoints=reached.endpoints,
        by_name=reached.by_name,
        consistent_hash=hash_by(route) is not None,
        outlier=Outlier(consecutive=route.backend.max_fails, base_ejection=route.backend.fail_timeout),
    )
    fleet.backends[backend.name] = backend
    running = reached.running if reached.endpoints else 0
    for host in route.hosts:
        claim = Claim(service=service, route=route, backend=backend.name, running=running)
        fleet.claims[host][route.path].append(claim)
    return problems


def _virtual_hosts(fleet: _Fleet) -> tuple[tuple[VirtualHost, ...], list[Problem]]:
    virtual_hosts: list[VirtualHost] = []
    problems: list[Problem] = []
    for host, by_path in sorted(fleet.claims.items()):
        routes = []
        for path, claims in sorted(by_path.items(), key=lambda item: (-len(item[0]), item[0])):
            route, conflicts = settle(host, path, claims)
            routes.append(route)
            problems += conflicts
        virtual_hosts.append(VirtualHost(host=host, routes=tuple(routes)))
    return tuple(virtual_hosts), problems


def _used(fleet: _Fleet, virtual_hosts: tuple[VirtualHost, ...]) -> tuple[Backend, ...]:
    used = {
        share.backend
        for virtual_host in virtual_hosts
        for route in virtual_host.routes
        for share in getattr(route.action, "backends", ())
    }
    return tuple(backend for name, backend in sorted(fleet.backends.items()) if name in used)
