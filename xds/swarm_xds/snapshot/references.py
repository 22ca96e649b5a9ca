"""What listeners and clusters refer to by name, read from the messages as Envoy will read them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.trace.v3 import opentelemetry_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.http_11_proxy.v3 import upstream_http_11_connect_pb2
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Names of other resources."""

    clusters: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()

    @classmethod
    def all(cls, each: Iterable["References"]) -> "References":
        """Return those of several resources together."""
        each = tuple(each)
        return cls(
            clusters=frozenset[str]().union(*(one.clusters for one in each)),
            routes=frozenset[str]().union(*(one.routes for one in each)),
            secrets=frozenset[str]().union(*(one.secrets for one in each)),
        )


def of_listener(listener: listener_pb2.Listener) -> References:
    """Return what a listener names: routes, secrets, and the clusters of what it passes through."""
    return References.all(_of_chain(chain) for chain in listener.filter_chains)


def of_cluster(cluster: cluster_pb2.Cluster) -> References:
    """Return what a cluster names: the authorities of its tasks."""
    return References(secrets=frozenset(_of_socket(cluster.transport_socket)))


def _of_chain(chain: listener_components_pb2.FilterChain) -> References:
    clusters: set[str] = set()
    routes: set[str] = set()
    for each in chain.filters:
        manager, proxy = http_connection_manager_pb2.HttpConnectionManager(), tcp_proxy_pb2.TcpProxy()
        if each.typed_config.Unpack(manager):
            routes.update([manager.rds.route_config_name] if manager.HasField("rds") else [])
            clusters.update(_of_tracing(manager.tracing))
        elif each.typed_config.Unpack(proxy):
            clusters.update([one.name for one in proxy.weighted_clusters.clusters] or [proxy.cluster])
    return References(
        clusters=frozenset(clusters),
        routes=frozenset(routes),
        secrets=frozenset(_of_socket(chain.transport_socket)),
    )


def _of_tracing(tracing: http_connection_manager_pb2.HttpConnectionManager.Tracing) -> Iterator[str]:
    config = opentelemetry_pb2.OpenTelemetryConfig()
    if tracing.provider.typed_config.Unpack(config):
        yield config.grpc_service.envoy_grpc.cluster_name


def _of_socket(socket: base_pb2.TransportSocket) -> Iterator[str]:
    config = socket.typed_config
    downstream, upstream = tls_pb2.DownstreamTlsContext(), tls_pb2.UpstreamTlsContext()
    quic = quic_transport_pb2.QuicDownstreamTransport()
    relayed = upstream_http_11_connect_pb2.Http11ProxyUpstreamTransport()
    if config.Unpack(relayed):
        yield from _of_socket(relayed.transport_socket)
    elif config.Unpack(quic):
        yield from _of_context(quic.downstream_tls_context.common_tls_context)
    elif config.Unpack(downstream):
        yield from _of_context(downstream.common_tls_context)
    elif config.Unpack(upstream):
        yield from _of_context(upstream.common_tls_context)


def _of_context(context: tls_pb2.CommonTlsContext) -> Iterator[str]:
    for certificate in context.tls_certificate_sds_secret_configs:
        yield certificate.name
    if context.HasField("validation_context_sds_secret_config"):
        yield context.validation_context_sds_secret_config.name
