"""From a rejected resource to the services that it comes from: by the model, and by Envoy's words. Pure.

A cluster and its endpoints are one backend's, a secret is a host's or a backend's. Of a route table, and of a listener
that ends TLS, only those routes and hosts are in question that differ from what this Envoy accepted last.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarm_xds.model import Fleet, VirtualHost
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Broken
from swarm_xds.translate import names
from swarm_xds.translate.https import Chains

#: What a name may consist of, in Envoy's messages.
_TOKEN = re.compile(r"[\w*][\w.*/-]*")
#: Where protoc-gen-validate found a bad value: ``VirtualHosts[3]: … VirtualHostValidationError.Routes[0]: …``.
_PLACE = re.compile(r"VirtualHosts\[(\d+)\](?:.*?(Routes\[\d+\]))?", re.DOTALL)
#: Where in a virtual host: ``routes[0].match``.
_ROUTE = re.compile(r"routes\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A resource that an Envoy had not accepted before it rejected the response with it.

    Attributes:
        version: The one that was rejected.
        accepted: The one that this Envoy accepted last; empty if none.
    """

    name: str
    version: str
    accepted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What an Envoy rejected.

    Attributes:
        fleet: As the Envoy said it; empty for the default one.
        message: The Envoy's words.
        suspects: At least one of them is to blame.
    """

    node: str
    fleet: str
    type_url: str
    message: str
    suspects: tuple[Suspect, ...]


def sources(type_url: str, name: str, fleet: Fleet, before: Fleet | None = None) -> frozenset[str]:
    """Return the names of the services that a resource comes from; none for one that is the edge's own.

    Args:
        type_url: The resource's type.
        name: Its name.
        fleet: The model that it was made from.
        before: The model of the resource that was accepted last; None if none is known.
    """
    if type_url in (CLUSTER, ENDPOINT):
        return frozenset(backend.service for backend in fleet.backends if backend.name == name)
    if type_url == ROUTE:
        return frozenset(_changed(_table(fleet, name), () if before is None else _table(before, name)))
    if type_url == LISTENER and name in (names.HTTPS, names.HTTP3):
        known = {} if before is None else _chains(before)
        hosts = (host for host, chain in _chains(fleet).items() if host not in known or known[host] != chain)
        return frozenset[str]().union(*(_claiming(fleet, host) for host in hosts))
    if type_url == SECRET:
        return _holding(fleet, name)
    return frozenset()


def blamed(found: Broken, fleet: Fleet) -> tuple[str, ...]:
    """Return the services that something broken comes from, the one whose options hold first; none for the edge's."""
    if not found.part:
        return tuple(sorted(sources(found.type_url, found.name, fleet)))
    if found.type_url == LISTENER:
        return tuple(sorted(_claiming(fleet, found.part)))
    host = next((each for each in _table(fleet, found.name) if each.host == found.part), None)
    return () if host is None else tuple(_of_routes(host, found.violation.path))


def _of_routes(host: VirtualHost, path: str) -> Iterable[str]:
    """Return the services of the route that a path in a virtual host leads to, or of all."""
    place = _ROUTE.match(path)
    first = int(place[1]) - len(host.challenges) if place else None
    routes = host.routes if first is None else host.routes[first : first + 1] if first >= 0 else ()
    return dict.fromkeys(service for route in routes for service in route.services)


def _table(fleet: Fleet, name: str) -> Sequence[VirtualHost]:
    """Return the hosts of a route configuration."""
    if name == names.HTTP:
        return fleet.virtual_hosts
    secure = ((each.virtual_host, each.tls) for each in fleet.secure_hosts if each.tls.certificate is not None)
    return [
        host for host, tls in secure if name == (names.own_routes(host.host) if tls.own_connection else names.HTTPS)
    ]


def _changed(hosts: Iterable[VirtualHost], before: Iterable[VirtualHost]) -> Iterable[str]:
    known = {host.host: host for host in before}
    for host in hosts:
        old = known.get(host.host)
        if old == host:
            continue
        for route in host.routes:
            if old is None or route not in old.routes:
                yield from route.services


def _chains(fleet: Fleet) -> Mapping[str, object]:
    """Return what the filter chain of each host depends on."""
    chains = Chains.of(fleet)
    if chains is None:
        return {}
    ended, passed = ({each.host: each for each in chains.ended}, {each.host: each for each in chains.passed})
    return {**dict.fromkeys(chains.refused), **ended, **passed}


def _claiming(fleet: Fleet, host: str) -> frozenset[str]:
    """Return the services whose host it is over TLS; in plain if it is nobody's there."""
    secure = (each.virtual_host for each in fleet.secure_hosts if each.tls.certificate is not None)
    found = {each for named in secure if named.host == host for route in named.routes for each in route.services}
    found.update(each for passed in fleet.passthroughs if passed.host == host for each in passed.services)
    plain = (route.services for each in fleet.virtual_hosts if each.host == host for route in each.routes)
    return frozenset(found) or frozenset(name for services in plain for name in services)


def _holding(fleet: Fleet, secret: str) -> frozenset[str]:
    """Return the services that a secret is for."""
    hosts = (
        each.host for each in fleet.secure_hosts if secret in (names.certificate(each.host), names.client_ca(each.host))
    )
    backends = (each.service for each in fleet.backends if secret == names.backend_ca(each.name))
    return frozenset(backends).union(*(_claiming(fleet, host) for host in hosts))


def named(message: str, fleet: Fleet, table: str = names.HTTP) -> frozenset[str]:
    """Return the services that Envoy's words may mean: a hint, since words can mention the innocent too.

    ``table``: name of the route configuration that they are about, if they are about one.
    """
    places = set[str]()
    hosts = _table(fleet, table)
    for host, path in _PLACE.findall(message):
        for each in hosts[int(host) : int(host) + 1]:
            places.update(_of_routes(each, path.lower()))
    if places:
        return frozenset(places)
    tokens = {token.rstrip(".") for token in _TOKEN.findall(message)}
    backends = {backend.service for backend in fleet.backends if backend.name in tokens}
    hosts_named = (host for _, host in fleet.served if host.host in tokens and host.host != "*")
    return frozenset(backends.union(*(route.services for host in hosts_named for route in host.routes)))
