"""Whether the networks that relays stand on have addresses enough. Pure.

In: the ``SwarmState`` and the relays that are wanted. Out: problems. The engine says nothing of it beforehand: a task
without an address waits for ever. Of IPv6 there is always enough.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable

from swarm_xds.networks.wanted import RelaySpec
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import Network, SwarmState

#: Of each subnet, the network's own address, the broadcast address and the gateway are nobody's.
_RESERVED = 3
_IPV4 = 4
#: Percent of the addresses in use from which on there is a warning: an update takes some for the time that it takes.
_FULL = 80


def shortages(state: SwarmState, relays: Iterable[RelaySpec]) -> tuple[Problem, ...]:
    """Return a warning for each network of a relay, or of its fleet, that is nearly full."""
    wanted: Counter[str] = Counter()
    for relay in relays:
        wanted.update({relay.network_id: relay.replicas, relay.fleet_network_id: relay.replicas})
    used = _used(state) if wanted else Counter()
    problems = []
    for network in state.networks:
        if network.id not in wanted:
            continue
        # Each node with a task there takes one too, for what it balances itself.
        need, room = used[network.id] + wanted[network.id] + len(state.nodes), _room(network)
        if room and need * 100 >= room * _FULL:
            problems.append(_shortage(network, need, room))
    return tuple(problems)


def _used(state: SwarmState) -> Counter[str]:
    """Return how many IPv4 addresses on each network are known to be taken, but for relays'."""
    used: Counter[str] = Counter()
    for service in state.services:
        taken = (*service.virtual_ips, *(pair for task in service.tasks for pair in task.addresses))
        used.update(network for network, address in taken if ":" not in address)
    return used


def _room(network: Network) -> int:
    """Return how many IPv4 addresses there are; 0 for a network without."""
    subnets = [ipaddress.ip_network(subnet, strict=False) for subnet in network.subnets]
    return sum(max(0, subnet.num_addresses - _RESERVED) for subnet in subnets if subnet.version == _IPV4)


def _shortage(network: Network, need: int, room: int) -> Problem:
    return Problem(
        severity=Severity.WARNING,
        kind=Kind.ADDRESS_POOL,
        reason=f"network {network.name} is nearly full: at least {need} of its {room} addresses are needed",
        cure="make it anew with a larger subnet (docker network create --subnet), before tasks wait for an address",
    )
