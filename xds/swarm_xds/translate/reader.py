"""The configuration of a reader: a stock Envoy that hands the Docker secrets that it mounts to control planes.

It is static and names files only: no secret is ever in a configuration. Whoever asks has to be a control plane by the
certificate that it shows, over TLS 1.3 and on the fleet's network; an edge, a relay and a stranger get no handshake.
``GET /<id>`` is answered with a secret's content, anything else with 404.
"""

from collections.abc import Mapping

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.json_format import MessageToJson
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from swarm_xds.model import READER_PORT
from swarm_xds.translate.bootstrap import ADMIN_PORT, CONTROL_PLANE_URI, admin
from swarm_xds.translate.relay import subnet_match
from swarm_xds.translate.wire import milliseconds, packed

_NAME = "reader"
_OK, _NOT_FOUND = 200, 404
#: What Docker takes for a secret, and more.
_MAX_SECRET = 1024 * 1024
_PATIENCE = 10_000
_TLS_1_3 = common_pb2.TlsParameters.TLSv1_3


def reader_configuration(
    fleet_subnets: tuple[str, ...], identity: tuple[str, str, str], secrets: Mapping[str, str]
) -> str:
    """Return what a reader starts with, as JSON; arguments and errors as for ``reader``."""
    return MessageToJson(reader(fleet_subnets, identity, secrets, READER_PORT), sort_keys=True, indent=1)


def reader(
    fleet_subnets: tuple[str, ...], identity: tuple[str, str, str], secrets: Mapping[str, str], port: int
) -> bootstrap_pb2.Bootstrap:
    """Return a reader's bootstrap.

    ``fleet_subnets`` are in CIDR notation, ``identity`` is the paths of authorities, certificate and key, and
    ``secrets`` is each secret's path by its id.

    Raises:
        ValueError: There is no IPv4 subnet, so that the reader would be open to all networks of its node.
    """
    listener = listener_pb2.Listener(
        name=_NAME,
        address=address_pb2.Address(
            socket_address=address_pb2.SocketAddress(address="0.0.0.0", port_value=port)  # noqa: S104 - see the match
        ),
        filter_chains=[
            listener_components_pb2.FilterChain(
                filter_chain_match=subnet_match(fleet_subnets),
                transport_socket=_tls(*identity),
                filters=[
                    listener_components_pb2.Filter(
                        name="envoy.filters.network.http_connection_manager",
                        typed_config=packed(_connection_manager(secrets)),
                    )
                ],
            )
        ],
    )
    return bootstrap_pb2.Bootstrap(
        static_resources=bootstrap_pb2.Bootstrap.StaticResources(listeners=[listener]), admin=admin(ADMIN_PORT)
    )


def _tls(authorities: str, certificate: str, key: str) -> base_pb2.TransportSocket:
    control_plane = common_pb2.SubjectAltNameMatcher(
        san_type=common_pb2.SubjectAltNameMatcher.URI, matcher=string_pb2.StringMatcher(exact=CONTROL_PLANE_URI)
    )
    context = tls_pb2.DownstreamTlsContext(
        require_client_certificate=BoolValue(value=True),
        common_tls_context=tls_pb2.CommonTlsContext(
            tls_params=common_pb2.TlsParameters(
                tls_minimum_protocol_version=_TLS_1_3, tls_maximum_protocol_version=_TLS_1_3
            ),
            tls_certificates=[common_pb2.TlsCertificate(certificate_chain=_file(certificate), private_key=_file(key))],
            validation_context=common_pb2.CertificateValidationContext(
                trusted_ca=_file(authorities), match_typed_subject_alt_names=[control_plane]
            ),
        ),
        # Whoever resumes a session is not asked for its certificate again.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _connection_manager(secrets: Mapping[str, str]) -> hcm_pb2.HttpConnectionManager:
    served = [
        route_components_pb2.Route(
            match=route_components_pb2.RouteMatch(path=f"/{identifier}"),
            direct_response=route_components_pb2.DirectResponseAction(status=_OK, body=_file(path)),
        )
        for identifier, path in sorted(secrets.items())
    ]
    refused = route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(prefix="/"),
        direct_response=route_components_pb2.DirectResponseAction(status=_NOT_FOUND),
    )
    return hcm_pb2.HttpConnectionManager(
        stat_prefix=_NAME,
        codec_type=hcm_pb2.HttpConnectionManager.HTTP1,
        route_config=route_pb2.RouteConfiguration(
            name=_NAME,
            virtual_hosts=[route_components_pb2.VirtualHost(name=_NAME, domains=["*"], routes=[*served, refused])],
            max_direct_response_body_size_bytes=UInt32Value(value=_MAX_SECRET),
        ),
        http_filters=[hcm_pb2.HttpFilter(name="envoy.filters.http.router", typed_config=packed(router_pb2.Router()))],
        request_headers_timeout=milliseconds(_PATIENCE),
        stream_idle_timeout=milliseconds(_PATIENCE),
        generate_request_id=BoolValue(value=False),
    )


def _file(path: str) -> base_pb2.DataSource:
    return base_pb2.DataSource(filename=path)
