"""Translators that spoil the resources of what has a certain host, so that Envoy or a rule of its API rejects them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.translate import FleetMessages, translate

#: Hosts that begin so make Envoy reject something.
SPOILT = "spoilt"


def spoil_cluster(message: cluster_pb2.Cluster) -> None:
    """Make Envoy reject it when it reads it, and with it all that comes in the same response."""
    message.transport_socket.name = "none"
    message.transport_socket.typed_config.Pack(struct_pb2.Struct())


def spoil_cluster_by_rule(message: cluster_pb2.Cluster) -> None:
    """Break a rule of the API."""
    message.connect_timeout.seconds = -1


def spoil_cluster_alone(message: cluster_pb2.Cluster) -> None:
    """Make Envoy reject it when it makes it, where Envoy takes what else is in the response."""
    message.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED


def spoil_endpoints(message: endpoint_pb2.ClusterLoadAssignment) -> None:
    """Give it a name where there must be an address."""
    message.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address = "nowhere"


def spoil_routes(message: route_pb2.RouteConfiguration) -> None:
    """Give its routes a pattern that is none, of which Envoy does not say where it stands."""
    for host in message.virtual_hosts:
        if host.name.startswith(SPOILT):
            host.routes[0].match.ClearField("prefix")
            host.routes[0].match.safe_regex.regex = "("


def spoil_routes_by_rule(message: route_pb2.RouteConfiguration) -> None:
    """Break a rule of the API in one of them."""
    for host in message.virtual_hosts:
        spoil_host_by_rule(host)


def spoil_host_by_rule(host: route_components_pb2.VirtualHost) -> None:
    """Break a rule of the API in its first route."""
    if host.name.startswith(SPOILT):
        host.routes[0].route.cluster_not_found_response_code = 77


def spoilt(message: Message, spoil: Callable[..., None]) -> Any:
    """Return a copy that is spoilt."""
    copy = type(message)()
    copy.CopyFrom(message)
    spoil(copy)
    return copy


def spoiling(type_name: str, spoil: Callable[..., None]) -> Callable[[Fleet, EdgeOptions, Memo], FleetMessages]:
    """Return a translator that spoils the resources of one type of those who have a spoilt host."""

    def translator(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
        messages = translate(fleet, options, memo)
        hosts = [host for host in fleet.virtual_hosts if host.host.startswith(SPOILT)]
        if not hosts:
            return messages
        services = {name for host in hosts for route in host.routes for name in route.services}
        guilty = {backend.name for backend in fleet.backends if backend.service in services}
        changed = []
        for message in getattr(messages, type_name):
            name = message.cluster_name if type_name == "endpoints" else message.name
            changed.append(spoilt(message, spoil) if name in guilty or type_name == "routes" else message)
        if spoil is spoil_routes_by_rule:
            hosts_spoilt = tuple(spoilt(host, spoil_host_by_rule) for host in messages.virtual_hosts)
            messages = replace(messages, virtual_hosts=hosts_spoilt)
        if type_name == "listeners":
            changed.append(listener_pb2.Listener(name="spoilt"))
        return replace(messages, **{type_name: tuple(changed)})

    return translator
