"""The swarm's objects as frozen values, only with the fields that a later stage reads.

All collections are tuples in the order of their sort key, so that equal swarms compare equal.
Field meanings follow the Docker Engine API (v1.41: Service, Task, Network, Node).
"""

from dataclasses import dataclass
from enum import StrEnum


class PublishMode(StrEnum):
    """How a port is published: on the task's own node, or through the routing mesh."""

    HOST = "host"
    INGRESS = "ingress"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PublishedPort:
    """A published TCP port. ``published`` is 0 while the engine has not chosen one."""

    target: int
    published: int
    mode: PublishMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that services may attach to.

    Attributes:
        subnets: In CIDR notation, sorted.
        stack: The stack it belongs to (label ``com.docker.stack.namespace``), or empty.
        internal: It has no way to the outside.
        encrypted: Its packets are encrypted between nodes.
    """

    id: str
    name: str
    stack: str = ""
    ingress: bool = False
    internal: bool = False
    encrypted: bool = False
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the swarm; ``address`` is its IP address as the managers see it, without a port; empty if unknown."""

    id: str
    hostname: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task that may take traffic.

    A source reports each task of a routed service whose state is ``running``; all others it leaves out.

    Attributes:
        serving: Desired state is ``running`` too. False from the moment the swarm wants it gone.
        addresses: ``(network id, address)``, sorted; address is an IP address, or a DNS name from a stack file.
        port: Port that replaces the label's, from a stack file's ``address:port``; 0 if none.
        host_ports: Ports published in host mode as the engine reports them for this task.
    """

    id: str
    node_id: str = ""
    serving: bool = True
    addresses: tuple[tuple[str, str], ...] = ()
    port: int = 0
    host_ports: tuple[PublishedPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of the swarm with its labels and its running tasks.

    Attributes:
        created: When it was created: nanoseconds since the epoch; 0 from a stack file.
        labels: ``(key, value)`` sorted by key; keys are unique.
        network_ids: Networks in its specification, sorted.
        virtual_ips: ``(network id, address)`` sorted; empty in endpoint mode ``dnsrr``.
        ports: Ports in its specification.
        tasks: Sorted by id.
        source: File it was read from; empty for a swarm.
    """

    id: str
    name: str
    stack: str = ""
    created: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    network_ids: tuple[str, ...] = ()
    virtual_ips: tuple[tuple[str, str], ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    tasks: tuple[Task, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetService:
    """A service of the swarm whose tasks are a fleet's proxies (label ``swarm-xds.fleet``).

    Attributes:
        image: As its specification has it.
        network_ids: Networks in its specification but the ingress network, sorted.
        attached: Those networks that this control plane has attached it to, not its owner; sorted.
        host_ports: It publishes a port of the node itself, so that no proxy can start beside the one it replaces.
        tasks: The proxies that run, sorted by id.
    """

    id: str
    name: str
    fleet: str
    image: str = ""
    network_ids: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    host_ports: bool = False
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Secret:
    """A Docker secret, of which the engine tells everything but its content.

    Attributes:
        stack: The stack it belongs to (label ``com.docker.stack.namespace``), or empty.
        pki: For one of our own certificates, the fingerprint of the set that it belongs to (label ``swarm-xds.pki``).
    """

    id: str
    name: str
    stack: str = ""
    pki: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmState:
    """One complete reading.

    Attributes:
        services: Sorted by id; a source may leave out services without any label of ours.
        fleet_networks: ``(fleet, network ids)`` sorted by fleet: the networks each fleet's proxies stand in.
            None if every network is reachable (stack files).
        fleet_services: Sorted by id.
        relays: Services that this control plane has put into stacks (label ``swarm-xds.relay``), readers of secrets
            among them, with their running tasks, sorted by id. They are not among ``services``.
        secrets: Sorted by id; from stack files those that they declare, with their name for an id.
    """

    services: tuple[Service, ...] = ()
    networks: tuple[Network, ...] = ()
    nodes: tuple[Node, ...] = ()
    fleet_networks: tuple[tuple[str, tuple[str, ...]], ...] | None = None
    fleet_services: tuple[FleetService, ...] = ()
    relays: tuple[Service, ...] = ()
    secrets: tuple[Secret, ...] = ()
