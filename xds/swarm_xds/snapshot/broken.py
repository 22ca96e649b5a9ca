"""Which of a fleet's messages break a rule of Envoy's API, and in what part of them.

In: what a snapshot is made of. Out: ``Broken`` values. A message is looked at when it is another object than at the
last build, and not again; of route configurations each virtual host is looked at for itself.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf.message import Message

from swarm_xds.memo import Memo
from swarm_xds.snapshot.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from swarm_xds.snapshot.rules import Violation, violations
from swarm_xds.translate import FleetMessages
from swarm_xds.translate.names import HTTP, HTTPS

_CHAIN = re.compile(r"filter_chains\[(\d+)\]\.(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A resource that Envoy would reject.

    Attributes:
        name: The resource's.
        part: Name of the virtual host or filter chain in it that is to blame; empty if none alone is.
        violation: The rule that is broken; its path begins in the part, if there is one.
    """

    fleet: str
    type_url: str
    name: str
    part: str = ""
    violation: Violation


def broken(messages: FleetMessages, memo: Memo) -> tuple[Broken, ...]:
    """Return each rule that a fleet's messages break, in the order of types."""
    fleet = messages.fleet
    hosts = frozenset(host.name for host in (*messages.virtual_hosts, *messages.secure_virtual_hosts))
    looks: tuple[tuple[str, Sequence[Message], Callable[[Message], tuple[Broken, ...]]], ...] = (
        ("clusters", messages.clusters, partial(_whole, fleet, CLUSTER)),
        ("endpoints", messages.endpoints, partial(_whole, fleet, ENDPOINT)),
        ("secrets", messages.secrets, partial(_whole, fleet, SECRET)),
        ("listeners", messages.listeners, partial(_listener, fleet)),
        ("hosts", messages.virtual_hosts, partial(_host, fleet, HTTP)),
        ("secure hosts", messages.secure_virtual_hosts, partial(_host, fleet, HTTPS)),
        ("routes", messages.routes, partial(_routes, fleet, hosts)),
    )
    found: list[Broken] = []
    for slot, each, look in looks:
        name = attrgetter("cluster_name" if slot == "endpoints" else "name")
        named = ((name(message), message) for message in each)
        for judged in memo.each(("broken", slot, fleet), None, named, look, identical=True):
            found += judged
    return tuple(found)


def _whole(fleet: str, type_url: str, message: Message) -> tuple[Broken, ...]:
    name = attrgetter("cluster_name" if type_url == ENDPOINT else "name")
    return tuple(
        Broken(fleet=fleet, type_url=type_url, name=name(message), violation=each) for each in violations(message)
    )


def _listener(fleet: str, message: listener_pb2.Listener) -> tuple[Broken, ...]:
    return tuple(_of_chain(message, each) for each in _whole(fleet, LISTENER, message))


def _of_chain(message: listener_pb2.Listener, found: Broken) -> Broken:
    match = _CHAIN.fullmatch(found.violation.path)
    name = message.filter_chains[int(match[1])].name if match is not None else ""
    if match is None or not name:
        return found
    return replace(found, part=name, violation=replace(found.violation, path=match[2]))


def _host(fleet: str, table: str, message: route_components_pb2.VirtualHost) -> tuple[Broken, ...]:
    return tuple(
        Broken(fleet=fleet, type_url=ROUTE, name=table, part=message.name, violation=each)
        for each in violations(message)
    )


def _routes(fleet: str, hosts: frozenset[str], message: route_pb2.RouteConfiguration) -> tuple[Broken, ...]:
    """Look at what is in a table beside the hosts that were looked at already."""
    own = (host for host in message.virtual_hosts if host.name not in hosts)
    table = (
        Broken(fleet=fleet, type_url=ROUTE, name=message.name, violation=each)
        for each in violations(message, without=frozenset(("virtual_hosts",)))
    )
    return (*table, *(each for host in own for each in _host(fleet, message.name, host)))
