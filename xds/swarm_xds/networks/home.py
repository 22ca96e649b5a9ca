"""Where relays and readers of a fleet stand beside the fleet, and what they run. Pure.

In: the ``SwarmState`` and the ``RelayOptions``. Out: a network, an image. It must not know labels.
"""

import ipaddress
from dataclasses import dataclass

from swarm_xds.swarm import Network, SwarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """The operator's choices for relays.

    Attributes:
        network: Name of the fleet's network that relays stand on; empty for the first that is not internal.
        image: Empty for the image of the fleet's own service.
        replicas: How many of each; two survive the loss of a node.
        memory: Limit of each, in bytes.
        constraints: Placement constraints, as Docker has them.
        pauses: How many configs that do nothing stand in a stack beside each relay's own.
    """

    network: str = ""
    image: str = ""
    replicas: int = 2
    memory: int = 128 * 1024 * 1024
    constraints: tuple[str, ...] = ()
    pauses: int = 8


def image(fleet: str, state: SwarmState, options: RelayOptions) -> str:
    """Return the image of a fleet's relays.

    Raises:
        ValueError: There is none.
    """
    members = [service for service in state.fleet_services if service.fleet == fleet]
    found = options.image or next((member.image for member in members if member.image), "")
    if not found:
        raise ValueError(f"no image for a relay: no service is labelled as fleet {fleet}, and none is set")
    return found


def home(fleet: str, state: SwarmState, options: RelayOptions) -> Network:
    """Return the fleet's network that its relays stand on.

    Raises:
        ValueError: There is none.
    """
    attached = {network for service in state.fleet_services for network in service.attached}
    ids = set(dict(state.fleet_networks or ()).get(fleet, ())) - attached
    usable = sorted(
        (network for network in state.networks if network.id in ids and not network.internal),
        key=lambda network: network.name,
    )
    named = [network for network in usable if options.network in {"", network.name}]
    if not named:
        which = f"network {options.network}" if options.network else "any network that is not internal"
        raise ValueError(f"fleet {fleet} does not stand on {which}, so that no relay can meet it")
    return named[0]


def overlap(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Tell whether two lists of subnets have an address in common."""
    nets, rest = ([ipaddress.ip_network(each, strict=False) for each in side] for side in (some, others))
    return any(net.overlaps(other) for net in nets for other in rest)
