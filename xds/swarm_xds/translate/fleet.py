"""All messages of one fleet."""

from dataclasses import dataclass
from functools import partial

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2

from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.endpoint import cluster_load_assignment
from swarm_xds.translate.listener import listener
from swarm_xds.translate.route import route_configuration, virtual_host


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMessages:
    """What one fleet is to have; never changed after it is made.

    Attributes:
        virtual_hosts: Those of ``routes``, each the same object as before if its part of the model is unchanged.
    """

    fleet: str
    virtual_hosts: tuple[route_components_pb2.VirtualHost, ...]
    listeners: tuple[listener_pb2.Listener, ...]
    routes: tuple[route_pb2.RouteConfiguration, ...]
    clusters: tuple[cluster_pb2.Cluster, ...]
    endpoints: tuple[endpoint_pb2.ClusterLoadAssignment, ...]


def translate(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
    """Return a fleet's messages; those whose part of the model is unchanged are the same objects as before."""
    name = fleet.name
    hosts = memo.each(("host messages", name), None, ((each.host, each) for each in fleet.virtual_hosts), virtual_host)
    routes = memo.keep(("routes", name), (fleet.virtual_hosts, options), partial(route_configuration, hosts, options))
    backends = [(each.name, each) for each in fleet.backends]
    by_eds = [(backend, each) for backend, each in backends if not each.by_name]
    return FleetMessages(
        fleet=name,
        virtual_hosts=tuple(hosts),
        listeners=(memo.keep("listener", options, partial(listener, options)),),
        routes=(routes,),
        clusters=tuple(memo.each(("clusters", name), options, backends, partial(cluster, options=options))),
        endpoints=tuple(memo.each(("endpoints", name), None, by_eds, cluster_load_assignment)),
    )
