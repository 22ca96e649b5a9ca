"""What a deployment would change: the state with other services in it, built beside the one that is served. Pure.

In: the situation, the services and secrets as they would be, a fresh pipeline. Out: changes of routes, clusters and
networks, and problems. The tasks of a service stay as they are, and a new one has none yet: endpoints are not looked
at. A secret that was not read yet is not said to be missing: nobody reads it before a service names it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from swarm_xds.certs.values import version_of
from swarm_xds.debug.views import redirect
from swarm_xds.labels import parse
from swarm_xds.model import Forward, RedirectTo, Route
from swarm_xds.observe import Situation
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.plan.reach import Surroundings, UnreachableError, choose_network, uses_host_port
from swarm_xds.problem import Kind, Problem
from swarm_xds.quarantine import Quarantine
from swarm_xds.servable import servable
from swarm_xds.swarm import Network, PublishedPort, Service, SwarmState

#: A service that is not there yet is younger than all others, in nanoseconds since the epoch.
_YOUNGEST = 2**63 - 1


class What(StrEnum):
    """What a change is of."""

    ROUTE = "route"
    CLUSTER = "cluster"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A service as it would be deployed; networks by name."""

    name: str
    stack: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    networks: tuple[str, ...] = ()
    ports: tuple[PublishedPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PlannedChange:
    """Something that would be different; ``before`` is empty if it comes, ``after`` if it goes."""

    fleet: str
    what: What
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """All that would be different, sorted."""

    changes: tuple[PlannedChange, ...]
    new: tuple[Problem, ...]
    gone: tuple[Problem, ...]


def preview(
    situation: Situation,
    planned: Iterable[Planned],
    stacks: Iterable[str],
    pipeline: Pipeline,
    secrets: Iterable[str] = (),
) -> Preview:
    """Return what would change; the pipeline must have built nothing yet. ``secrets`` are names of those to come."""
    certificates, quarantine = situation.certificates, Quarantine()
    there, before = servable(pipeline, quarantine, situation.state, certificates=certificates)
    quarantine.built(there, before.model, before.snapshots)
    for fleet in before.model.fleets:
        # What is served now is what a service goes back to that would break a rule.
        quarantine.answered("", fleet.name, before.snapshots.of(fleet.name).version, frozenset())
    deployed = _deployed(situation.state, tuple(planned), frozenset(stacks))
    then, after = servable(pipeline, quarantine, deployed, certificates=certificates)
    was, will = _described(there, before), _described(then, after)
    names = {*secrets, *(secret.name for secret in deployed.secrets)}
    unread = {*names, *(version_of(name)[0] for name in names)} - certificates.versions.keys()
    owners = {service.name: service.stack for service in deployed.services}
    changes = [
        PlannedChange(fleet=fleet, what=what, name=name, before=old, after=new)
        for fleet, what, name in was.keys() | will.keys()
        for old, new in ((was.get((fleet, what, name), ""), will.get((fleet, what, name), "")),)
        if old != new
    ]
    return Preview(
        changes=tuple(sorted(changes)),
        new=tuple(
            each
            for each in after.problems
            if each not in set(before.problems)
            and (
                each.kind is not Kind.BAD_CERTIFICATE
                or unread.isdisjoint((each.value, f"{owners.get(each.service, '')}_{each.value}"))
            )
        ),
        gone=tuple(each for each in before.problems if each not in set(after.problems)),
    )


def _deployed(state: SwarmState, planned: tuple[Planned, ...], stacks: frozenset[str]) -> SwarmState:
    """Return the state as it would be after the deployment."""
    ids = {network.name: network.id for network in state.networks}
    unknown = sorted({name for each in planned for name in each.networks} - ids.keys())
    owner = {name: each.stack for each in planned for name in each.networks if name.startswith(f"{each.stack}_")}
    new = tuple(Network(id=f"new {name}", name=name, stack=owner.get(name, "")) for name in unknown)
    ids |= {network.name: network.id for network in new}
    there = {service.name: service for service in state.services}
    deployed = {each.name: _service(each, there.get(each.name), ids) for each in planned}
    kept = [each for each in state.services if each.name not in deployed and each.stack not in stacks]
    services = sorted((*kept, *deployed.values()), key=lambda service: service.id)
    return replace(state, services=tuple(services), networks=(*state.networks, *new))


def _service(planned: Planned, there: Service | None, ids: Mapping[str, str]) -> Service:
    base = there or Service(id=f"new {planned.name}", name=planned.name, created=_YOUNGEST)
    return replace(
        base,
        stack=planned.stack,
        labels=tuple(sorted(planned.labels)),
        network_ids=tuple(sorted(ids[name] for name in planned.networks)),
        ports=planned.ports,
    )


def _described(state: SwarmState, build: Build) -> dict[tuple[str, What, str], str]:
    """Return everything that is compared, in words, by its place."""
    found: dict[tuple[str, What, str], str] = {}
    for fleet in build.model.fleets:
        for scheme, host in fleet.served:
            prefix = "" if scheme == "http" else f"{scheme}://"
            for route in host.routes:
                found[fleet.name, What.ROUTE, f"{prefix}{host.host}{route.path}"] = _route(route)
    around = Surroundings.of(state)
    # Not those of the model, which has none for a host that waits for its certificate.
    used = {
        (fleet.name, share.backend)
        for fleet in build.model.fleets
        for _, host in fleet.served
        for route in host.routes
        if isinstance(route.action, Forward)
        for share in route.action.backends
    }
    for service in state.services:
        for wanted in parse(service)[0].routes:
            name = f"{service.name}/{wanted.name}" if wanted.name else service.name
            fleet_name = wanted.fleet or build.model.default_fleet
            if wanted.backend is None or (fleet_name, name) not in used:
                continue
            try:
                host_mode = uses_host_port(service, wanted.backend)
                where = "the nodes" if host_mode else choose_network(service, wanted.backend, around).name
            except UnreachableError:
                continue
            found[fleet_name, What.CLUSTER, name] = f"port {wanted.backend.port} on {where}"
    for fleet_name, name in used:
        # The labels of such a service have turned bad, so that they do not say it.
        found.setdefault((fleet_name, What.CLUSTER, name), "in its last accepted form")
    for use in build.networks.uses if build.networks else ():
        found[use.fleet, What.NETWORK, use.network or "the nodes' ports"] = f"{use.way}: {use.reason}"
    return found


def _route(route: Route) -> str:
    if isinstance(route.action, Forward):
        total = sum(share.weight for share in route.action.backends)
        many = len(route.action.backends) > 1
        to = ", ".join(
            f"{share.backend} {share.weight / total:.0%}" if many else share.backend for share in route.action.backends
        )
        return f"to {to}{' without the prefix' if route.action.strip_prefix else ''}"
    return f"{302 if isinstance(route.action, RedirectTo) else 308} {redirect(route.action)}"
