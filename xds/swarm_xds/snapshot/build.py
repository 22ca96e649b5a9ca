"""From messages to a snapshot that is whole: every reference in it has its resource."""

from functools import partial

from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf.message import Message

from swarm_xds.memo import Memo
from swarm_xds.snapshot.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Resources, Snapshot
from swarm_xds.translate import FleetMessages


class InconsistentError(Exception):
    """A reference in a snapshot leads nowhere, or a resource is referred to by nobody: a defect, never bad input."""


class _Same:
    """Compares by identity: messages are never changed, and comparing their content costs more than making them."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.message is self.message

    __hash__ = None  # type: ignore[assignment]


def snapshot(messages: FleetMessages, memo: Memo) -> Snapshot:
    """Return a fleet's snapshot.

    Raises:
        InconsistentError: See there.
    """
    check(messages)
    kinds = {
        CLUSTER: [(each.name, each) for each in messages.clusters],
        ENDPOINT: [(each.cluster_name, each) for each in messages.endpoints],
        LISTENER: [(each.name, each) for each in messages.listeners],
        ROUTE: [(each.name, each) for each in messages.routes],
    }
    return Snapshot(
        {
            type_url: Resources(_resource(type_url, name, message, memo) for name, message in named)
            for type_url, named in kinds.items()
        }
    )


def check(messages: FleetMessages) -> None:
    """Raise ``InconsistentError`` unless clusters, endpoints and routes name each other exactly."""
    clusters = {cluster.name for cluster in messages.clusters}
    by_eds = {cluster.name for cluster in messages.clusters if cluster.type == cluster_pb2.Cluster.EDS}
    assigned = {assignment.cluster_name for assignment in messages.endpoints}
    if by_eds != assigned:
        raise InconsistentError(f"clusters and endpoints differ by {sorted(by_eds ^ assigned)}")
    routed: set[str] = set()
    for configuration in messages.routes:
        for host in configuration.virtual_hosts:
            for route in host.routes:
                if route.HasField("route"):
                    shares = route.route.weighted_clusters.clusters
                    routed.update([each.name for each in shares] or [route.route.cluster])
    if routed != clusters:
        raise InconsistentError(f"routes and clusters differ by {sorted(routed ^ clusters)}")


def _resource(type_url: str, name: str, message: Message, memo: Memo) -> Resource:
    # The slot has the message in it, since several fleets may have a resource of one name.
    make = partial(_serialised, name, message)
    return memo.keep((type_url, name, id(message)), _Same(message), make)


def _serialised(name: str, message: Message) -> Resource:
    return Resource.of(name, message.SerializeToString(deterministic=True))
