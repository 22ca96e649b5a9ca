"""From a rejected resource to the services that it comes from: by the model, and by Envoy's words. Pure.

Every resource but listeners is some services' own: a cluster and its endpoints are one backend's, and of a route table
only those routes are in question that differ from the table that this Envoy accepted last.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarm_xds.model import Fleet, VirtualHost
from swarm_xds.snapshot import CLUSTER, ENDPOINT, ROUTE

#: What a name may consist of, in Envoy's messages.
_TOKEN = re.compile(r"[\w*][\w.*/-]*")
#: Where protoc-gen-validate found a bad value: ``VirtualHosts[3]: … VirtualHostValidationError.Routes[0]: …``.
_PLACE = re.compile(r"VirtualHosts\[(\d+)\](?:.*?Routes\[(\d+)\])?", re.DOTALL)


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


def sources(type_url: str, name: str, fleet: Fleet, before: Sequence[VirtualHost] = ()) -> frozenset[str]:
    """Return the names of the services that a resource comes from; none for one that is the edge's own.

    Args:
        type_url: The resource's type.
        name: Its name.
        fleet: The model that it was made from.
        before: The virtual hosts of the table that was accepted last.
    """
    if type_url in (CLUSTER, ENDPOINT):
        return frozenset(backend.service for backend in fleet.backends if backend.name == name)
    if type_url == ROUTE:
        return frozenset(_changed(fleet.virtual_hosts, before))
    return frozenset()


def _changed(hosts: Iterable[VirtualHost], before: Iterable[VirtualHost]) -> Iterable[str]:
    known = {host.host: host for host in before}
    for host in hosts:
        old = known.get(host.host)
        if old == host:
            continue
        for route in host.routes:
            if old is None or route not in old.routes:
                yield from route.services


def named(message: str, fleet: Fleet) -> frozenset[str]:
    """Return the services that Envoy's words may mean: a hint, since words can mention the innocent too."""
    places = set[str]()
    for host, route in _PLACE.findall(message):
        hosts = fleet.virtual_hosts[int(host) : int(host) + 1]
        for each in hosts:
            routes = each.routes[int(route) : int(route) + 1] if route else each.routes
            places.update(service for found in routes for service in found.services)
    if places:
        return frozenset(places)
    tokens = {token.rstrip(".") for token in _TOKEN.findall(message)}
    backends = {backend.service for backend in fleet.backends if backend.name in tokens}
    hosts_named = (host for host in fleet.virtual_hosts if host.host in tokens and host.host != "*")
    return frozenset(backends.union(*(route.services for host in hosts_named for route in host.routes)))
