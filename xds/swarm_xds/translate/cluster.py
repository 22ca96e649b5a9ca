"""One ``Cluster`` a backend (CDS)."""

from functools import cache, lru_cache

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, protocol_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.transport_sockets.http_11_proxy.v3 import upstream_http_11_connect_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.model import Backend, EdgeOptions, Outlier, UpstreamTls
from swarm_xds.translate.access_log import described
from swarm_xds.translate.endpoint import cluster_load_assignment
from swarm_xds.translate.retry import retry_policy
from swarm_xds.translate.tls import upstream
from swarm_xds.translate.wire import ads, milliseconds, packed

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#: Bytes; Envoy's edge best practices.
BUFFER_LIMIT = 32_768
_GATEWAY_ERRORS = 5
#: Milliseconds. Short, since a task that refuses connections is most often one that has just begun.
_BASE_EJECTION = 2_000
_MAX_EJECTION = 30_000
_DNS_REFRESH = 5_000
_DEFAULT_OUTLIER = Outlier()


def cluster(backend: Backend, options: EdgeOptions) -> cluster_pb2.Cluster:
    """Return a backend's cluster: endpoints by EDS, or by DNS where a stack file names hosts."""
    message = cluster_pb2.Cluster()
    message.CopyFrom(_common(options))
    message.name = backend.name
    if options.described:
        message.metadata.CopyFrom(described(backend))
    if backend.consistent_hash:
        message.lb_policy = cluster_pb2.Cluster.MAGLEV
    if backend.outlier != _DEFAULT_OUTLIER:
        message.outlier_detection.CopyFrom(_outlier_detection(backend.outlier))
    tls = None if backend.tls is None else upstream(backend.name, backend.tls)
    if tls is not None:
        message.transport_socket.CopyFrom(tls)
        message.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(_http_options(options, tls=backend.tls))
    if backend.relayed:
        message.transport_socket.CopyFrom(_through_relay(tls))
    if backend.by_name:
        message.cluster_type.CopyFrom(_by_dns())
        message.load_assignment.CopyFrom(cluster_load_assignment(backend))
    else:
        message.type = cluster_pb2.Cluster.EDS
        message.eds_cluster_config.eds_config.CopyFrom(ads())
    return message


def _through_relay(inner: base_pb2.TransportSocket | None) -> base_pb2.TransportSocket:
    """Return the socket that asks each endpoint's relay for a way through; without one it connects by itself.

    ``inner`` is spoken on that way; None for plain text.
    """
    return base_pb2.TransportSocket(
        name="envoy.transport_sockets.http_11_proxy",
        typed_config=packed(
            upstream_http_11_connect_pb2.Http11ProxyUpstreamTransport(transport_socket=inner or _plain())
        ),
    )


@cache
def _plain() -> base_pb2.TransportSocket:
    return base_pb2.TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=packed(raw_buffer_pb2.RawBuffer())
    )


@cache
def _by_dns() -> cluster_pb2.Cluster.CustomClusterType:
    """Return the kind of cluster whose endpoints are all addresses of some names."""
    by_name = dns_cluster_pb2.DnsCluster(
        dns_lookup_family=dns_pb2.V4_PREFERRED,
        dns_refresh_rate=milliseconds(_DNS_REFRESH),
        respect_dns_ttl=True,
        all_addresses_in_single_endpoint=False,
    )
    return cluster_pb2.Cluster.CustomClusterType(name="envoy.cluster.dns", typed_config=packed(by_name))


@lru_cache(maxsize=8)
def _common(options: EdgeOptions) -> cluster_pb2.Cluster:
    """Return what all clusters have in common; copied, never changed: a copy costs a tenth of making it."""
    return cluster_pb2.Cluster(
        connect_timeout=milliseconds(options.connect_timeout),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_LIMIT),
        lb_policy=cluster_pb2.Cluster.ROUND_ROBIN,
        common_lb_config=cluster_pb2.Cluster.CommonLbConfig(
            # Below one healthy endpoint in ten, ejection says more about the application than about its tasks.
            healthy_panic_threshold=percent_pb2.Percent(value=10)
        ),
        circuit_breakers=_circuit_breakers(options),
        outlier_detection=_outlier_detection(_DEFAULT_OUTLIER),
        typed_extension_protocol_options={_HTTP_OPTIONS: _http_options(options)},
        upstream_connection_options=cluster_pb2.UpstreamConnectionOptions(
            tcp_keepalive=address_pb2.TcpKeepalive(keepalive_time=UInt32Value(value=60))
        ),
    )


def _circuit_breakers(options: EdgeOptions) -> circuit_breaker_pb2.CircuitBreakers:
    limit = UInt32Value(value=options.max_connections)
    # Retries are as many as requests: when a task ends, all its requests are tried elsewhere at once.
    thresholds = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=limit, max_pending_requests=limit, max_requests=limit, max_retries=limit
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[thresholds])


def _outlier_detection(outlier: Outlier) -> outlier_detection_pb2.OutlierDetection:
    """Return passive health: by default only what says that the task is unreachable, asked for also plain 5xx."""
    failures = _GATEWAY_ERRORS if outlier.consecutive is None else outlier.consecutive
    asked = bool(outlier.consecutive)
    return outlier_detection_pb2.OutlierDetection(
        consecutive_5xx=UInt32Value(value=failures or _GATEWAY_ERRORS),
        enforcing_consecutive_5xx=UInt32Value(value=100 if asked else 0),
        consecutive_gateway_failure=UInt32Value(value=failures or _GATEWAY_ERRORS),
        enforcing_consecutive_gateway_failure=UInt32Value(value=100 if failures else 0),
        # By share of successes, one busy task would be judged by its neighbours; nobody asked for that.
        enforcing_success_rate=UInt32Value(value=0),
        base_ejection_time=milliseconds(outlier.base_ejection or _BASE_EJECTION),
        max_ejection_time=milliseconds(max(outlier.base_ejection or 0, _MAX_EJECTION)),
        max_ejection_percent=UInt32Value(value=100),
        # An ejection is over when its time is: looking each second keeps fail_timeout true to a second.
        interval=Duration(seconds=1),
    )


def _http_options(options: EdgeOptions, tls: UpstreamTls | None = None) -> Any:
    message = http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=milliseconds(options.upstream_idle_timeout)
        ),
        retry_policy=retry_policy(),
    )
    message.explicit_http_config.http_protocol_options.SetInParent()
    if tls is not None:
        # The host that the client asked for is the one that the task is asked for, and that its certificate must name.
        message.upstream_http_protocol_options.auto_sni = True
        message.upstream_http_protocol_options.auto_san_validation = tls.verify
    return packed(message)
