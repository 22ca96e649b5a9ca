"""The ``Cluster`` of a gRPC server that is no backend: the control plane, and the collector of spans."""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from swarm_xds.translate.wire import milliseconds, packed

_CONNECT_TIMEOUT = 1_000
# The swarm's resolver gives a time to live of ten minutes, so it is not the measure.
_DNS_REFRESH = 2_000
_KEEPALIVE_INTERVAL = 10_000
_KEEPALIVE_TIMEOUT = 5_000


def grpc_cluster(name: str, host: str, port: int) -> cluster_pb2.Cluster:
    """Return the cluster of all addresses of a host; a lost one is noticed, and left for another."""
    address = address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))
    endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=address))
    localities = [endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[endpoint])]
    http = http_protocol_options_pb2.HttpProtocolOptions()
    http.explicit_http_config.http2_protocol_options.connection_keepalive.CopyFrom(
        protocol_pb2.KeepaliveSettings(
            interval=milliseconds(_KEEPALIVE_INTERVAL), timeout=milliseconds(_KEEPALIVE_TIMEOUT)
        )
    )
    # Each replica is an address of its own.
    names = dns_cluster_pb2.DnsCluster(
        dns_refresh_rate=milliseconds(_DNS_REFRESH),
        dns_lookup_family=dns_pb2.V4_PREFERRED,
        all_addresses_in_single_endpoint=False,
    )
    return cluster_pb2.Cluster(
        name=name,
        cluster_type=cluster_pb2.Cluster.CustomClusterType(name="envoy.cluster.dns", typed_config=packed(names)),
        connect_timeout=milliseconds(_CONNECT_TIMEOUT),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=localities),
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(http),
        },
    )
