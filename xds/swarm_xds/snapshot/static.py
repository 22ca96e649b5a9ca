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
from envoy.extensions.transport_sockets.http_11_proxy.v3 import upstream_http_11_connect_pb2
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from swarm_xds.snapshot.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Snapshot
from swarm_xds.translate.bootstrap import admin
from swarm_xds.translate.wire import packed

#: Transport sockets that name secrets, or have another inside that does.
_SOCKETS: tuple[type[Message], ...] = (
    tls_pb2.DownstreamTlsContext,
    tls_pb2.UpstreamTlsContext,
    quic_transport_pb2.QuicDownstreamTransport,
    upstream_http_11_connect_pb2.Http11ProxyUpstreamTransport,
)


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
    _with_own_secrets(cluster.transport_socket)
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
            _with_own_secrets(chain.transport_socket)
    return listener


def _with_routes(
    network_filter: listener_components_pb2.Filter, routes: Mapping[str, route_pb2.RouteConfiguration]
) -> None:
    manager = http_connection_manager_pb2.HttpConnectionManager()
    if network_filter.typed_config.Unpack(manager) and manager.HasField("rds"):
        manager.route_config.CopyFrom(routes[manager.rds.route_config_name])
        network_filter.typed_config.CopyFrom(packed(manager))


def _with_own_secrets(message: Message) -> None:
    """Have secrets taken from the same configuration, which is what a name without a source means."""
    if isinstance(message, secret_pb2.SdsSecretConfig):
        message.ClearField("sds_config")
    elif isinstance(message, Any):
        name = message.type_url.rpartition("/")[2]
        inner = next((kind() for kind in _SOCKETS if kind.DESCRIPTOR.full_name == name), None)
        if inner is not None and message.Unpack(inner):
            _with_own_secrets(inner)
            message.CopyFrom(packed(inner))
    else:
        for field, value in message.ListFields():
            if field.message_type is not None and not field.message_type.GetOptions().map_entry:
                for each in value if field.is_repeated else (value,):
                    _with_own_secrets(each)
