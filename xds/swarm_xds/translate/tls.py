"""TLS contexts: what the edge offers clients, and how it speaks to tasks."""

from functools import cache

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from swarm_xds.model import TlsVersion, UpstreamTls
from swarm_xds.translate import names
from swarm_xds.translate.wire import ads, packed

_ALPN = ("h2", "http/1.1")
_ALPN_HTTP3 = ("h3",)
#: RFC 8737, 6.2.
ALPN_CHALLENGE = "acme-tls/1"
#: Of TLS 1.2, only what has forward secrecy and authenticated encryption; TLS 1.3 has nothing else. Ciphers that stand
#: together are as good as each other: the client's own order holds, since some have no hardware for AES.
_CIPHERS = (
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
#: The first is safe also from whoever records today and has a quantum computer one day.
_CURVES = ("X25519MLKEM768", "X25519", "P-256", "P-384")
_VERSIONS = {
    TlsVersion.TLS_1_2: common_pb2.TlsParameters.TLSv1_2,
    TlsVersion.TLS_1_3: common_pb2.TlsParameters.TLSv1_3,
}


def downstream(host: str, min_version: TlsVersion | None, *, client_ca: bool) -> base_pb2.TransportSocket:
    """Return the socket that ends the TLS of a host's clients."""
    context = _downstream(names.certificate(host), min_version, _ALPN)
    if client_ca:
        context.common_tls_context.validation_context_sds_secret_config.CopyFrom(_secret(names.client_ca(host)))
        context.require_client_certificate.value = True
        # Whoever resumes a session is not asked for its certificate again, also when that has expired meanwhile.
        context.disable_stateless_session_resumption = True
        context.disable_stateful_session_resumption = True
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def downstream_challenge(host: str) -> base_pb2.TransportSocket:
    """Return the socket that answers an ACME authority's handshake for a host."""
    context = _downstream(names.challenge(host), None, (ALPN_CHALLENGE,))
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def downstream_quic(host: str, min_version: TlsVersion | None) -> base_pb2.TransportSocket:
    """Return the socket that ends the TLS of a host's clients inside QUIC."""
    context = quic_transport_pb2.QuicDownstreamTransport(
        downstream_tls_context=_downstream(names.certificate(host), min_version, _ALPN_HTTP3),
        # Early data can be replayed by whoever has recorded it.
        enable_early_data=BoolValue(value=False),
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.quic", typed_config=packed(context))


def upstream(backend: str, tls: UpstreamTls) -> base_pb2.TransportSocket:
    """Return the socket that speaks TLS to tasks; the name that it asks for follows from the request (``auto_sni``)."""
    common = tls_pb2.CommonTlsContext()
    if tls.verify and tls.authorities is None:
        common.validation_context.system_root_certs.SetInParent()
    elif tls.verify:
        common.validation_context_sds_secret_config.CopyFrom(_secret(names.backend_ca(backend)))
    context = tls_pb2.UpstreamTlsContext(common_tls_context=common)
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _downstream(
    certificate: str, min_version: TlsVersion | None, alpn: tuple[str, ...]
) -> tls_pb2.DownstreamTlsContext:
    common = tls_pb2.CommonTlsContext(
        tls_params=_parameters(min_version),
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[_secret(certificate)],
    )
    return tls_pb2.DownstreamTlsContext(common_tls_context=common)


@cache
def _parameters(min_version: TlsVersion | None) -> common_pb2.TlsParameters:
    return common_pb2.TlsParameters(
        tls_minimum_protocol_version=_VERSIONS[min_version or TlsVersion.TLS_1_2],
        tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
        cipher_suites=_CIPHERS,
        ecdh_curves=_CURVES,
    )


def _secret(name: str) -> secret_pb2.SdsSecretConfig:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=ads())
