"""The configuration of a relay: a stock Envoy that passes connections from the fleet on into one network.

It is static: a relay asks nobody for anything. It takes CONNECT, only from the fleet's subnets and only to addresses in
the subnets of the network that it stands in. Anything else is answered 403 and counted; from elsewhere, a connection is
closed without an answer (design.md, "Why the relay").
"""

import ipaddress
import re

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from swarm_xds.model import RELAY_PORT
from swarm_xds.translate.bootstrap import ADMIN_PORT, admin
from swarm_xds.translate.wire import milliseconds, packed

_CONNECT = "CONNECT"
_FORBIDDEN = 403
_CLUSTER = "tasks"
_NAME = "relay"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PORT = r"[1-9]\d{0,4}"
_BUFFER_LIMIT = 65_536
_CONNECTIONS = 100_000


def relay_configuration(fleet_subnets: tuple[str, ...], subnets: tuple[str, ...], connect_timeout: int) -> str:
    """Return what a relay starts with, as JSON; arguments and errors as for ``relay``."""
    return MessageToJson(relay(fleet_subnets, subnets, RELAY_PORT, connect_timeout), sort_keys=True, indent=1)


def relay(
    fleet_subnets: tuple[str, ...], subnets: tuple[str, ...], port: int, connect_timeout: int
) -> bootstrap_pb2.Bootstrap:
    """Return a relay's bootstrap.

    ``fleet_subnets`` and ``subnets`` are in CIDR notation, ``connect_timeout`` is in milliseconds.

    Raises:
        ValueError: A list has no IPv4 subnet, so that the relay would be of no use or open to all.
    """
    targets = _ipv4(subnets)
    return bootstrap_pb2.Bootstrap(
        static_resources=bootstrap_pb2.Bootstrap.StaticResources(
            listeners=[_listener(fleet_subnets, targets, port)], clusters=[_tasks(connect_timeout)]
        ),
        admin=admin(ADMIN_PORT),
    )


def authority_pattern(subnets: tuple[ipaddress.IPv4Network, ...]) -> str:
    """Return the pattern (RE2, whole match) of ``address:port`` for each address in some subnets."""
    return f"(?:{'|'.join(_addresses(subnet) for subnet in subnets)}):{_PORT}"


def _addresses(subnet: ipaddress.IPv4Network) -> str:
    first, last = subnet.network_address.packed, subnet.broadcast_address.packed
    octets = []
    for low, high in zip(first, last, strict=True):
        if (low, high) == (0, 255):
            octets.append(_OCTET)
        elif low == high:
            octets.append(str(low))
        else:
            octets.append(f"(?:{'|'.join(map(str, range(low, high + 1)))})")
    return re.escape(".").join(octets)


def _ipv4(subnets: tuple[str, ...]) -> tuple[ipaddress.IPv4Network, ...]:
    parsed = [ipaddress.ip_network(subnet, strict=False) for subnet in subnets]
    found = tuple(sorted(subnet for subnet in parsed if isinstance(subnet, ipaddress.IPv4Network)))
    if not found:
        raise ValueError(f"no IPv4 subnet among {', '.join(subnets) or 'none'}")
    return found


def subnet_match(fleet_subnets: tuple[str, ...]) -> listener_components_pb2.FilterChainMatch:
    """Return what lets in connections within the fleet's network, and no others.

    The fleet connects to the relay's address in the fleet's network. A task of the stack may know the relay's other
    address; neither where it comes from nor where it goes to matches.

    Raises:
        ValueError: There is no IPv4 subnet.
    """
    ranges = [
        address_pb2.CidrRange(
            address_prefix=str(subnet.network_address), prefix_len=UInt32Value(value=subnet.prefixlen)
        )
        for subnet in _ipv4(fleet_subnets)
    ]
    return listener_components_pb2.FilterChainMatch(source_prefix_ranges=ranges, prefix_ranges=ranges)


def _listener(sources: tuple[str, ...], targets: tuple[ipaddress.IPv4Network, ...], port: int) -> listener_pb2.Listener:
    match = subnet_match(sources)
    network_filter = listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=packed(_connection_manager(targets))
    )
    socket = address_pb2.SocketAddress(address="0.0.0.0", port_value=port)  # noqa: S104 - see the filter chain's match
    return listener_pb2.Listener(
        name=_NAME,
        address=address_pb2.Address(socket_address=socket),
        filter_chains=[listener_components_pb2.FilterChain(filter_chain_match=match, filters=[network_filter])],
        per_connection_buffer_limit_bytes=UInt32Value(value=_BUFFER_LIMIT),
    )


def _connection_manager(targets: tuple[ipaddress.IPv4Network, ...]) -> hcm_pb2.HttpConnectionManager:
    return hcm_pb2.HttpConnectionManager(
        stat_prefix=_NAME,
        codec_type=hcm_pb2.HttpConnectionManager.HTTP1,
        route_config=route_pb2.RouteConfiguration(name=_NAME, virtual_hosts=[_routes(targets)]),
        http_filters=[hcm_pb2.HttpFilter(name="envoy.filters.http.router", typed_config=packed(router_pb2.Router()))],
        upgrade_configs=[hcm_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type=_CONNECT)],
        # What flows inside has its own limits on the edge.
        stream_idle_timeout=Duration(),
        request_headers_timeout=milliseconds(10_000),
        generate_request_id=BoolValue(value=False),
    )


def _routes(targets: tuple[ipaddress.IPv4Network, ...]) -> route_components_pb2.VirtualHost:
    connect = route_components_pb2.RouteMatch.ConnectMatcher()
    authority = route_components_pb2.HeaderMatcher(
        name=":authority",
        string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=authority_pattern(targets))),
    )
    upgrade = route_components_pb2.RouteAction.UpgradeConfig(
        upgrade_type=_CONNECT, connect_config=route_components_pb2.RouteAction.UpgradeConfig.ConnectConfig()
    )
    allowed = route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(connect_matcher=connect, headers=[authority]),
        route=route_components_pb2.RouteAction(cluster=_CLUSTER, timeout=Duration(), upgrade_configs=[upgrade]),
    )
    refused = [
        route_components_pb2.Route(
            match=match, direct_response=route_components_pb2.DirectResponseAction(status=_FORBIDDEN)
        )
        for match in (
            route_components_pb2.RouteMatch(connect_matcher=connect),
            route_components_pb2.RouteMatch(prefix="/"),
        )
    ]
    # Refusals are counted in `http.relay.downstream_rq_4xx`, strangers in `listener.*.no_filter_chain_match`.
    return route_components_pb2.VirtualHost(name=_NAME, domains=["*"], routes=[allowed, *refused])


def _tasks(connect_timeout: int) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster(
        name=_CLUSTER,
        type=cluster_pb2.Cluster.ORIGINAL_DST,
        lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
        connect_timeout=milliseconds(connect_timeout),
        original_dst_lb_config=cluster_pb2.Cluster.OriginalDstLbConfig(
            use_http_header=True, http_header_name=":authority"
        ),
        # The edge limits each service; here the sum of all passes.
        circuit_breakers=circuit_breaker_pb2.CircuitBreakers(
            thresholds=[
                circuit_breaker_pb2.CircuitBreakers.Thresholds(
                    max_connections=UInt32Value(value=_CONNECTIONS),
                    max_pending_requests=UInt32Value(value=_CONNECTIONS),
                    max_requests=UInt32Value(value=_CONNECTIONS),
                )
            ]
        ),
    )
