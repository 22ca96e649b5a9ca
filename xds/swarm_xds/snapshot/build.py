"""From messages to a snapshot that is whole: every reference in it has its resource."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from operator import attrgetter
from types import MappingProxyType

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_components_pb2
from google.protobuf.message import Message

from swarm_xds.memo import Memo
from swarm_xds.snapshot.references import References, of_cluster, of_listener
from swarm_xds.snapshot.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource, Resources, Snapshot
from swarm_xds.translate import FleetMessages

_NO_TTLS: Mapping[str, int] = MappingProxyType({})


class InconsistentError(Exception):
    """A reference in a snapshot leads nowhere, or a resource is referred to by nobody: a defect, never bad input."""


def snapshot(messages: FleetMessages, memo: Memo, ttls: Mapping[str, int] = _NO_TTLS) -> Snapshot:
    """Return a fleet's snapshot.

    Args:
        messages: What it is made of.
        memo: Remembers what did not change.
        ttls: Seconds by type URL after which a client drops what it hears no more of; always the same with one memo.

    Raises:
        InconsistentError: See there.
    """
    check(messages, memo)
    kinds: dict[str, Sequence[Message]] = {
        CLUSTER: messages.clusters,
        ENDPOINT: messages.endpoints,
        LISTENER: messages.listeners,
        ROUTE: messages.routes,
        SECRET: messages.secrets,
    }
    return Snapshot(
        {
            type_url: _resources(messages.fleet, type_url, each, memo, ttls.get(type_url, 0))
            for type_url, each in kinds.items()
        }
    )


def check(messages: FleetMessages, memo: Memo) -> None:
    """Raise ``InconsistentError`` unless all resources name each other exactly: nothing lacks, nothing is left over."""
    fleet = messages.fleet
    clusters = {cluster.name for cluster in messages.clusters}
    by_eds = {cluster.name for cluster in messages.clusters if cluster.type == cluster_pb2.Cluster.EDS}
    _same("clusters and endpoints", by_eds, {assignment.cluster_name for assignment in messages.endpoints})
    listeners = ((each.name, each) for each in messages.listeners)
    referring = [
        *memo.each(("of listeners", fleet), None, listeners, of_listener, identical=True),
        *memo.each(
            ("of clusters", fleet), None, ((each.name, each) for each in messages.clusters), of_cluster, identical=True
        ),
    ]
    whole = References.all(referring)
    _same("listeners and routes", whole.routes, {each.name for each in messages.routes})
    _same("listeners, clusters and secrets", whole.secrets, {each.name for each in messages.secrets})
    hosts = ((host.name, host) for host in messages.virtual_hosts)
    secure = ((host.name, host) for host in messages.secure_virtual_hosts)
    routed = whole.clusters.union(
        *memo.each(("routed", fleet), None, hosts, _routed, identical=True),
        *memo.each(("routed over TLS", fleet), None, secure, _routed, identical=True),
    )
    _same("routes and clusters", routed, clusters)


def _same(what: str, one: AbstractSet[str], other: AbstractSet[str]) -> None:
    if one != other:
        raise InconsistentError(f"{what} differ by {sorted(one ^ other)}")


def _routed(host: route_components_pb2.VirtualHost) -> set[str]:
    """Return the clusters that a host's routes name."""
    names: set[str] = set()
    for route in host.routes:
        if route.HasField("route"):
            shares = route.route.weighted_clusters.clusters
            names.update([share.name for share in shares] or [route.route.cluster])
    return names


def _resources(fleet: str, type_url: str, messages: Sequence[Message], memo: Memo, ttl: int) -> Resources:
    name = attrgetter("cluster_name" if type_url == ENDPOINT else "name")
    named = ((name(message), message) for message in messages)
    # Messages are never changed, and comparing their content costs more than making them.
    made = tuple(memo.each((type_url, fleet), None, named, partial(_resource, name, ttl), identical=True))
    return memo.keep(("all", type_url, fleet), made, partial(Resources, made))


def _resource(name: Callable[[Message], str], ttl: int, message: Message) -> Resource:
    return Resource.of(name(message), message.SerializeToString(deterministic=True), ttl)
