"""The HTTPS ``Listener`` of a fleet, and the one of HTTP/3: a filter chain for each host, chosen by SNI.

A chain of its own for each host, so that a change of one drains no connection of another: Envoy takes a listener that
differs in its filter chains only in place, and drains those that changed. A chain names its secret and its routes and
holds neither. There is one more hop for nobody: TLS is ended by the same listener that reads requests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.listener.v3 import (
    listener_components_pb2,
    listener_pb2,
    quic_config_pb2,
    udp_listener_config_pb2,
)
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2 as direct_response_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.type.v3 import hash_policy_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.certs.values import ED25519
from swarm_xds.model import EdgeOptions, Fleet, Passthrough, SecureHost, TlsVersion
from swarm_xds.translate import access_log, names
from swarm_xds.translate.cluster import BUFFER_LIMIT
from swarm_xds.translate.connection_manager import connection_manager
from swarm_xds.translate.listener import address
from swarm_xds.translate.tls import ALPN_CHALLENGE, downstream, downstream_challenge, downstream_quic
from swarm_xds.translate.wire import milliseconds, packed

ANY_HOST = "*"
#: A fatal alert, unrecognized_name (RFC 8446, 6.2), in a record of TLS 1.2, as every version writes it.
_UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
#: Names the statistics, and the routes, of chains that have none.
_CHALLENGE = "challenge"
_CONNECT_ATTEMPTS = 3
_PASSED_IDLE_TIMEOUT = 3_600_000


@dataclass(frozen=True, slots=True)
class Chain:
    """What the filter chain of a host depends on; of its certificate, only whether Envoy takes it over QUIC."""

    host: str
    min_version: TlsVersion | None = None
    client_ca: bool = False
    routes: str = names.HTTPS
    quic: bool = True

    @classmethod
    def of(cls, secure: SecureHost) -> "Chain":
        """Return the chain of a host."""
        tls = secure.tls
        routes = names.own_routes(secure.host) if tls.own_connection else names.HTTPS
        quic = tls.certificate is None or tls.certificate.chain.key_type != ED25519
        return cls(secure.host, tls.min_version, tls.client_ca is not None, routes, quic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """What the HTTPS listener depends on.

    Attributes:
        refused: Hosts that another chain would match, and that it must not answer for.
        challenged: Hosts for which an ACME authority is answered, beside whatever else is done with their connections.
    """

    ended: tuple[Chain, ...]
    passed: tuple[Passthrough, ...]
    refused: tuple[str, ...]
    challenged: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether there are connections over which requests for several hosts may come."""
        return any(each.routes == names.HTTPS for each in self.ended)

    @classmethod
    def of(cls, fleet: Fleet) -> "Chains | None":
        """Return a fleet's chains; None if nothing asks for TLS, so that there need be no listener."""
        ended = [Chain.of(each) for each in fleet.secure_hosts if each.tls.certificate is not None]
        passed = fleet.passthroughs
        hosts = {*(each.host for each in ended), *(each.host for each in passed)}
        if fleet.default is not None:
            ended.append(Chain(ANY_HOST))
            hosts.add(ANY_HOST)
        challenged = tuple(each.host for each in fleet.tls_challenges)
        if not hosts and not fleet.secure_hosts and not challenged:
            return None
        refused = [host for host in sorted(fleet.hosts - hosts) if host != ANY_HOST and covered(host, hosts)]
        return cls(ended=tuple(ended), passed=passed, refused=tuple(refused), challenged=challenged)


def covered(host: str, hosts: Iterable[str]) -> bool:
    """Tell whether a wildcard, or the host for all, among ``hosts`` stands for a host too."""
    among = hosts if isinstance(hosts, set | frozenset) else set(hosts)
    labels = host.removeprefix("*.").split(".")
    first = 0 if host.startswith("*.") else 1
    wildcards = (f"*.{'.'.join(labels[start:])}" for start in range(first, len(labels)))
    return ANY_HOST in among or any(each in among and each != host for each in wildcards)


def https_listener(
    refused: tuple[str, ...], chains: Iterable[listener_components_pb2.FilterChain], options: EdgeOptions
) -> listener_pb2.Listener:
    """Return the HTTPS listener of these chains, which refuses these hosts and whatever no chain matches."""
    message = listener_pb2.Listener(
        name=names.HTTPS,
        address=address(options, options.https_port),
        access_log=access_log.of_refused(options, names.HTTPS),
        listener_filters=[
            listener_components_pb2.ListenerFilter(
                name="envoy.filters.listener.tls_inspector", typed_config=packed(tls_inspector_pb2.TlsInspector())
            )
        ],
        default_filter_chain=_refusing(()),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_LIMIT),
    )
    message.filter_chains.extend(chains)
    if refused:
        message.filter_chains.append(_refusing(refused))
    return message


def http3_listener(chains: Chains, options: EdgeOptions) -> listener_pb2.Listener | None:
    """Return the listener of HTTP/3, for the hosts whose connections need nothing of their own; None without any."""
    hosts = [each for each in chains.ended if each.quic and each.routes == names.HTTPS and each.host != ANY_HOST]
    if not options.http3 or not hosts:
        return None
    manager = connection_manager(options, names.HTTP3, names.HTTPS)
    udp = address_pb2.SocketAddress(
        address=options.address, port_value=options.https_port, protocol=address_pb2.SocketAddress.UDP
    )
    return listener_pb2.Listener(
        name=names.HTTP3,
        address=address_pb2.Address(socket_address=udp),
        udp_listener_config=udp_listener_config_pb2.UdpListenerConfig(
            quic_options=quic_config_pb2.QuicProtocolOptions()
        ),
        filter_chains=[
            listener_components_pb2.FilterChain(
                name=each.host,
                filter_chain_match=_match(each.host),
                filters=[manager],
                transport_socket=downstream_quic(each.host, each.min_version),
            )
            for each in hosts
        ],
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_LIMIT),
    )


def ending_to(options: EdgeOptions) -> Callable[[Chain], listener_components_pb2.FilterChain]:
    """Return what makes the chain of a host whose TLS is ended here."""
    return partial(_ending, options=options)


def _ending(chain: Chain, *, options: EdgeOptions) -> listener_components_pb2.FilterChain:
    return listener_components_pb2.FilterChain(
        name=chain.host,
        filter_chain_match=_match(chain.host),
        filters=[connection_manager(options, names.HTTPS, chain.routes, client_certificates=chain.client_ca)],
        transport_socket=downstream(chain.host, chain.min_version, client_ca=chain.client_ca),
    )


def challenging_to(options: EdgeOptions) -> Callable[[str], listener_components_pb2.FilterChain]:
    """Return what makes the chain of a host that answers an ACME authority (RFC 8737)."""
    return partial(_challenging, options=options)


def _challenging(host: str, *, options: EdgeOptions) -> listener_components_pb2.FilterChain:
    # Envoy looks for a host's name first and then, among the chains of that name, for the protocol: a client that does
    # not offer this one finds the chain that it would find without.
    match = _match(host)
    match.application_protocols.append(ALPN_CHALLENGE)
    return listener_components_pb2.FilterChain(
        name=names.challenge(host),
        filter_chain_match=match,
        # All is said in the handshake. A connection without a filter would be closed before it.
        filters=[connection_manager(options, _CHALLENGE, route_pb2.RouteConfiguration(name=_CHALLENGE))],
        transport_socket=downstream_challenge(host),
    )


def passing(host: Passthrough, options: EdgeOptions) -> listener_components_pb2.FilterChain:
    """Return the chain of a host whose TLS goes to its tasks."""
    proxy = tcp_proxy_pb2.TcpProxy(
        stat_prefix="passthrough",
        access_log=access_log.of_passed(options, names.HTTPS),
        idle_timeout=milliseconds(_PASSED_IDLE_TIMEOUT),
        # A task that refuses is one that has just begun or ended.
        max_connect_attempts=UInt32Value(value=_CONNECT_ATTEMPTS),
    )
    if len(host.backends) == 1:
        proxy.cluster = host.backends[0].backend
    else:
        for share in host.backends:
            proxy.weighted_clusters.clusters.add(name=share.backend, weight=share.weight)
    if host.hash_by is not None:
        proxy.hash_policy.append(hash_policy_pb2.HashPolicy(source_ip=hash_policy_pb2.HashPolicy.SourceIp()))
    return listener_components_pb2.FilterChain(
        name=host.host,
        filter_chain_match=_match(host.host),
        filters=[listener_components_pb2.Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))],
    )


def _refusing(hosts: Iterable[str]) -> listener_components_pb2.FilterChain:
    """Return the chain that ends a handshake by the alert for a name that nobody answers to."""
    answer = direct_response_pb2.Config(response=base_pb2.DataSource(inline_bytes=_UNRECOGNIZED_NAME))
    chain = listener_components_pb2.FilterChain(
        name=access_log.REFUSED if hosts else access_log.UNKNOWN,
        filters=[
            listener_components_pb2.Filter(name="envoy.filters.network.direct_response", typed_config=packed(answer))
        ],
    )
    if hosts:
        chain.filter_chain_match.server_names.extend(hosts)
    return chain


def _match(host: str) -> listener_components_pb2.FilterChainMatch:
    if host == ANY_HOST:
        return listener_components_pb2.FilterChainMatch(transport_protocol="tls")
    return listener_components_pb2.FilterChainMatch(server_names=[host])
