"""A snapshot as one complete Envoy configuration that needs no control plane: for the worst day.

Whatever a resource would ask the aggregated stream for is put where it is asked for.
"""

from collections.abc import Mapping

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from swarm_xds.snapshot.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Snapshot
from swarm_xds.translate.bootstrap import admin
from swarm_xds.translate.wire import packed


def static(snapshot: Snapshot, admin_port: int) -> bootstrap_pb2.Bootstrap:
    """Return a configuration that serves what an Envoy with this snapshot serves, with its endpoints as they are."""
    routes = {name: route_pb2.RouteConfiguration.FromString(each.value) for name, each in snapshot.of(ROUTE).items()}
    assignments = {
        name: endpoint_pb2.ClusterLoadAssignment.FromString(each.value) for name, each in snapshot.of(ENDPOINT).items()
    }
    resources = bootstrap_pb2.Bootstrap.StaticResources(
        listeners=[_listener(each.value, routes) for each in snapshot.of(LISTENER).values()],
        clusters=[_cluster(each.value, assignments) for each in snapshot.of(CLUSTER).values()],
        secrets=[secret_pb2.Secret.FromString(each.value) for each in snapshot.of(SECRET).values()],
    )
    return bootstrap_pb2.Bootstrap(static_resources=resources, admin=admin(admin_port))


def _cluster(value: bytes, assignments: Mapping[str, endpoint_pb2.ClusterLoadAssignment]) -> cluster_pb2.Cluster:
    cluster = cluster_pb2.Cluster.FromString(value)
    if cluster.type == cluster_pb2.Cluster.EDS:
        assignment = assignments[cluster.eds_cluster_config.service_name or cluster.name]
        cluster.ClearField("eds_cluster_config")
        cluster.type = cluster_pb2.Cluster.STATIC
        cluster.load_assignment.CopyFrom(assignment)
    return cluster


def _listener(value: bytes, routes: Mapping[str, route_pb2.RouteConfiguration]) -> listener_pb2.Listener:
    listener = listener_pb2.Listener.FromString(value)
    chains = [
        *listener.filter_chains,
        *([listener.default_filter_chain] if listener.HasField("default_filter_chain") else []),
    ]
    for chain in chains:
        for each in chain.filters:
            _with_routes(each, routes)
        if chain.HasField("transport_socket"):
            context = tls_pb2.DownstreamTlsContext()
            if chain.transport_socket.typed_config.Unpack(context):
                _with_own_secrets(context)
                chain.transport_socket.typed_config.CopyFrom(packed(context))
    return listener


def _with_routes(
    network_filter: listener_components_pb2.Filter, routes: Mapping[str, route_pb2.RouteConfiguration]
) -> None:
    manager = http_connection_manager_pb2.HttpConnectionManager()
    if network_filter.typed_config.Unpack(manager) and manager.HasField("rds"):
        manager.route_config.CopyFrom(routes[manager.rds.route_config_name])
        network_filter.typed_config.CopyFrom(packed(manager))


def _with_own_secrets(context: tls_pb2.DownstreamTlsContext) -> None:
    """Have secrets taken from the same configuration, which is what a name without a source means."""
    common = context.common_tls_context
    for each in common.tls_certificate_sds_secret_configs:
        each.ClearField("sds_config")
    if common.HasField("validation_context_sds_secret_config"):
        common.validation_context_sds_secret_config.ClearField("sds_config")
    if context.HasField("session_ticket_keys_sds_secret_config"):
        context.session_ticket_keys_sds_secret_config.ClearField("sds_config")
