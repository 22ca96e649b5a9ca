"""All messages of one fleet."""

from dataclasses import dataclass
from functools import partial

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2

from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.endpoint import cluster_load_assignment
from swarm_xds.translate.listener import listener
from swarm_xds.translate.route import route_configuration, virtual_host


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMessages:
    """What one fleet is to have; never changed after it is made."""

    listeners: tuple[listener_pb2.Listener, ...]
    routes: tuple[route_pb2.RouteConfiguration, ...]
    clusters: tuple[cluster_pb2.Cluster, ...]
    endpoints: tuple[endpoint_pb2.ClusterLoadAssignment, ...]


def translate(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
    """Return a fleet's messages; those whose part of the model is unchanged are the same objects as before."""
    name = fleet.name
    virtual_hosts = [
        memo.keep(("virtual host", name, each.host), each, partial(virtual_host, each)) for each in fleet.virtual_hosts
    ]
    routes = memo.keep(
        ("routes", name), (fleet.virtual_hosts, options), partial(route_configuration, virtual_hosts, options)
    )
    clusters = [
        memo.keep(("cluster", name, each.name), (each, options), partial(cluster, each, options))
        for each in fleet.backends
    ]
    endpoints = [
        memo.keep(("endpoints", name, each.name), each, partial(cluster_load_assignment, each))
        for each in fleet.backends
        if not each.by_name
    ]
    return FleetMessages(
        listeners=(memo.keep("listener", options, partial(listener, options)),),
        routes=(routes,),
        clusters=tuple(clusters),
        endpoints=tuple(endpoints),
    )
