"""The bootstrap of a fleet member: who it is, where its control plane is, and how much it may take.

With TLS to the control plane, two more files belong to it, by which Envoy follows certificates as they are renewed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import (
    address_pb2,
    base_pb2,
    config_source_pb2,
    grpc_service_pb2,
)
from envoy.config.overload.v3 import overload_pb2
from envoy.extensions.resource_monitors.downstream_connections.v3 import downstream_connections_pb2
from envoy.extensions.resource_monitors.fixed_heap.v3 import fixed_heap_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from swarm_xds.translate.grpc_cluster import grpc_cluster
from swarm_xds.translate.names import CONTROL_PLANE
from swarm_xds.translate.wire import ads, milliseconds, packed

_HEAP_CHECK = 250
_SHRINK_HEAP = 0.95
#: Port of the admin interface of relays and readers, on loopback inside their containers.
ADMIN_PORT = 9901
#: Who may say what is served: `swarm_xds.pki` issues it.
CONTROL_PLANE_URI = "spiffe://swarm-xds/control-plane"
#: That this Envoy drops a resource at the end of its lifetime, if it is given one (docs/adr/034).
_TAKES_TTL = "xds.config.supports-resource-ttl"
_CERTIFICATE, _AUTHORITIES = "xds_certificate", "xds_authorities"
_STOP_ACCEPTING_REQUESTS = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsTls:
    """Paths, as Envoy sees them, for TLS with the control plane.

    Attributes:
        authorities: Whom to trust.
        certificate, key: The fleet member's own.
        folder: Where the files of ``secret_files`` are.
    """

    authorities: str
    certificate: str
    key: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapOptions:
    """What differs between fleet members.

    Attributes:
        node: Envoy's ``node.id``, unique among the members.
        fleet: Envoy's ``node.cluster``.
        host, port: The control plane; a name that resolves to several replicas uses them all.
        tls: For TLS with the control plane; None: nothing is encrypted.
        incremental: Delta xDS rather than the state of the world.
        admin_port: On loopback only.
        max_heap: Bytes of heap beyond which requests are refused.
        max_connections: Downstream connections beyond which new ones are refused.
    """

    node: str
    fleet: str
    host: str
    port: int
    tls: XdsTls | None = None
    incremental: bool = True
    admin_port: int = 9901
    max_heap: int = 1_073_741_824
    max_connections: int = 50_000


def bootstrap(options: BootstrapOptions) -> bootstrap_pb2.Bootstrap:
    """Return the bootstrap: everything dynamic comes over one aggregated stream."""
    kinds = config_source_pb2.ApiConfigSource
    stream = config_source_pb2.ApiConfigSource(
        api_type=kinds.DELTA_GRPC if options.incremental else kinds.GRPC,
        transport_api_version=config_source_pb2.V3,
        grpc_services=[
            grpc_service_pb2.GrpcService(envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=CONTROL_PLANE))
        ],
        set_node_on_first_message_only=True,
    )
    return bootstrap_pb2.Bootstrap(
        node=base_pb2.Node(id=options.node, cluster=options.fleet, client_features=[_TAKES_TTL]),
        admin=admin(options.admin_port),
        dynamic_resources=bootstrap_pb2.Bootstrap.DynamicResources(
            lds_config=ads(), cds_config=ads(), ads_config=stream
        ),
        static_resources=bootstrap_pb2.Bootstrap.StaticResources(clusters=[_control_plane(options)]),
        overload_manager=_overload_manager(options),
        layered_runtime=_runtime(),
    )


def secret_files(tls: XdsTls) -> Mapping[str, discovery_pb2.DiscoveryResponse]:
    """Return what the bootstrap's TLS reads from ``folder``, by file name."""
    certificate = common_pb2.TlsCertificate(
        certificate_chain=base_pb2.DataSource(filename=tls.certificate),
        private_key=base_pb2.DataSource(filename=tls.key),
        watched_directory=_folder_of(tls.certificate),
    )
    authorities = common_pb2.CertificateValidationContext(
        trusted_ca=base_pb2.DataSource(filename=tls.authorities), watched_directory=_folder_of(tls.authorities)
    )
    secrets = (
        secret_pb2.Secret(name=_CERTIFICATE, tls_certificate=certificate),
        secret_pb2.Secret(name=_AUTHORITIES, validation_context=authorities),
    )
    return {f"{each.name}.yaml": discovery_pb2.DiscoveryResponse(resources=[packed(each)]) for each in secrets}


def _folder_of(path: str) -> base_pb2.WatchedDirectory:
    return base_pb2.WatchedDirectory(path=path.rpartition("/")[0] or "/")


def admin(port: int) -> bootstrap_pb2.Admin:
    """Return the admin interface, on loopback; a full house must not shut out health checks."""
    return bootstrap_pb2.Admin(address=_address("127.0.0.1", port), ignore_global_conn_limit=True)


def _control_plane(options: BootstrapOptions) -> cluster_pb2.Cluster:
    cluster = grpc_cluster(CONTROL_PLANE, options.host, options.port)
    if options.tls is not None:
        cluster.transport_socket.CopyFrom(_mutual_tls(options.tls))
    return cluster


def _mutual_tls(tls: XdsTls) -> base_pb2.TransportSocket:
    """Return TLS by which both sides show who they are; whatever its address, the other has to be a control plane."""
    matcher = common_pb2.SubjectAltNameMatcher(
        san_type=common_pb2.SubjectAltNameMatcher.URI, matcher=string_pb2.StringMatcher(exact=CONTROL_PLANE_URI)
    )
    validation = tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(match_typed_subject_alt_names=[matcher]),
        validation_context_sds_secret_config=_secret(tls, _AUTHORITIES),
    )
    newest = common_pb2.TlsParameters.TLSv1_3
    context = tls_pb2.UpstreamTlsContext(
        common_tls_context=tls_pb2.CommonTlsContext(
            alpn_protocols=["h2"],
            tls_params=common_pb2.TlsParameters(
                tls_minimum_protocol_version=newest, tls_maximum_protocol_version=newest
            ),
            tls_certificate_sds_secret_configs=[_secret(tls, _CERTIFICATE)],
            combined_validation_context=validation,
        )
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _secret(tls: XdsTls, name: str) -> secret_pb2.SdsSecretConfig:
    path = f"{tls.folder}/{name}.yaml"
    source = config_source_pb2.ConfigSource(path_config_source=config_source_pb2.PathConfigSource(path=path))
    return secret_pb2.SdsSecretConfig(name=name, sds_config=source)


def _overload_manager(options: BootstrapOptions) -> overload_pb2.OverloadManager:
    """Return limits as Envoy's edge best practices have them: shed load before the kernel ends the process."""
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    return overload_pb2.OverloadManager(
        refresh_interval=milliseconds(_HEAP_CHECK),
        resource_monitors=[
            _monitor(heap, fixed_heap_pb2.FixedHeapConfig(max_heap_size_bytes=options.max_heap)),
            _monitor(
                connections,
                downstream_connections_pb2.DownstreamConnectionsConfig(
                    max_active_downstream_connections=options.max_connections
                ),
            ),
        ],
        actions=[
            _action("envoy.overload_actions.shrink_heap", heap, _SHRINK_HEAP),
            _action("envoy.overload_actions.stop_accepting_requests", heap, _STOP_ACCEPTING_REQUESTS),
        ],
    )


def _runtime() -> bootstrap_pb2.LayeredRuntime:
    """Return the one switch of Envoy's edge best practices that is no field: against rapid resets."""
    values = Struct()
    values["http.max_requests_per_io_cycle"] = 1
    return bootstrap_pb2.LayeredRuntime(layers=[bootstrap_pb2.RuntimeLayer(name="edge", static_layer=values)])


def _monitor(name: str, message: Message) -> overload_pb2.ResourceMonitor:
    return overload_pb2.ResourceMonitor(name=name, typed_config=packed(message))


def _action(name: str, monitor: str, threshold: float) -> overload_pb2.OverloadAction:
    trigger = overload_pb2.Trigger(name=monitor, threshold=overload_pb2.ThresholdTrigger(value=threshold))
    return overload_pb2.OverloadAction(name=name, triggers=[trigger])


def _address(host: str, port: int) -> address_pb2.Address:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))
