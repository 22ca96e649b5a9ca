"""Spans of requests, sent by OTLP over gRPC: how a request is traced, and the ``Cluster`` of the collector.

Stage: translation. In: the operator's choices. Out: the part of a connection manager, and a cluster. It must not know
hosts or services. A proxy sends spans beside its requests and from a buffer of its own: a collector that is away costs
spans, never a request. What a client says by ``traceparent`` (W3C Trace Context) is taken up and passed on.
"""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import grpc_service_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.model import EdgeOptions, Tracing
from swarm_xds.translate.grpc_cluster import grpc_cluster
from swarm_xds.translate.names import COLLECTOR
from swarm_xds.translate.wire import milliseconds, packed

_SEND_TIMEOUT = 1_000
_SEND_TIMEOUT = 1_000
#: Spans that wait to be sent; further ones are dropped.
_WAITING_SPANS = 1_024


def tracing(options: EdgeOptions) -> hcm_pb2.HttpConnectionManager.Tracing | None:
    """Return how a connection manager traces requests; None for not at all."""
    chosen = options.tracing
    if chosen is None:
        return None
    to = grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=COLLECTOR)
    config = opentelemetry_pb2.OpenTelemetryConfig(
        grpc_service=grpc_service_pb2.GrpcService(envoy_grpc=to, timeout=milliseconds(_SEND_TIMEOUT)),
        service_name=chosen.service_name,
        max_cache_size=UInt32Value(value=_WAITING_SPANS),
    )
    return hcm_pb2.HttpConnectionManager.Tracing(
        random_sampling=percent_pb2.Percent(value=chosen.percent),
        # Else a header that any client may send would trace all of its requests.
        client_sampling=percent_pb2.Percent(value=0),
        custom_tags=[*_url(options), _of_cluster("service"), _of_cluster("stack")],
        provider=http_tracer_pb2.Tracing.Http(name="envoy.tracers.opentelemetry", typed_config=packed(config)),
    )


def _url(options: EdgeOptions) -> list[custom_tag_pb2.CustomTag]:
    """Return a tag in the place of Envoy's own, which has the query; nothing if that is wanted."""
    if options.log_query:
        return []
    return [custom_tag_pb2.CustomTag(tag="http.url", value="%REQ(:SCHEME)%://%REQ(:AUTHORITY)%%PATH(NQ:PATH):256%")]


def collector(chosen: Tracing) -> cluster_pb2.Cluster:
    """Return the collector's cluster; nothing waits for its name to resolve."""
    cluster = grpc_cluster(COLLECTOR, chosen.host, chosen.port)
    cluster.wait_for_warm_on_init.value = False
    return cluster


def _of_cluster(name: str) -> custom_tag_pb2.CustomTag:
    """Return a tag from the metadata of the cluster that answered (``access_log.described``)."""
    key = metadata_pb2.MetadataKey(key="swarm_xds", path=[metadata_pb2.MetadataKey.PathSegment(key=name)])
    kind = metadata_pb2.MetadataKind(cluster=metadata_pb2.MetadataKind.Cluster())
    return custom_tag_pb2.CustomTag(
        tag=f"swarm.{name}", metadata=custom_tag_pb2.CustomTag.Metadata(kind=kind, metadata_key=key)
    )
