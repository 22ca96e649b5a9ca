"""Between values and protobuf bytes: requests in, responses out, and the two places that must look into a resource.

In: ``Response`` values and request messages. Out: bytes for the socket, and the fields of a request. It must not know
streams, subscriptions' state or the order of types.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2

from swarm_xds.server.subscription import Response
from swarm_xds.snapshot import Resource

#: Bodies kept for streams that are sent the same; streams that are woken together need a handful.
_BODIES = 32

#: Field 5, length-delimited: ``nonce`` of both kinds of response.
_NONCE_TAG = b"\x2a"


#: Follows the version of responses that are a part of the whole.
_PART = "-part"

#: How a client says that it knows of ``Resource.ttl`` (xDS protocol, "TTL").
_TTL_FEATURE = "xds.config.supports-resource-ttl"


class Variant(StrEnum):
    """The two forms of the protocol."""

    SOTW = "sotw"
    DELTA = "delta"


#: Characters kept of a client's words: enough to see what is meant, whatever it sends.
_WORDS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of either variant.

    Attributes:
        node: ``node.id``; empty if the request has none, as is usual after a stream's first.
        fleet: ``node.cluster``; empty likewise.
        takes_ttl: Whether the node says that it drops resources at the end of their lifetime.
        version: SotW: what was accepted last.
        error: The message of ``error_detail``; ``None`` if the request is no NACK.
        names: SotW: all names wanted.
        subscribe: Incremental: names to add.
        unsubscribe: Incremental: names to drop.
        initial: Incremental: version by name of what an earlier stream left behind.
    """

    type_url: str
    node: str = ""
    fleet: str = ""
    takes_ttl: bool = False
    nonce: str = ""
    version: str = ""
    error: str | None = None
    names: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many names are in it."""
        return len(self.names) + len(self.subscribe) + len(self.unsubscribe) + len(self.initial)

    @property
    def longest(self) -> int:
        """Characters of the longest text in it that is remembered."""
        texts = (
            self.type_url,
            self.node,
            self.fleet,
            self.nonce,
            self.version,
            *self.names,
            *self.subscribe,
            *self.unsubscribe,
        )
        return max(map(len, (*texts, *self.initial, *self.initial.values())))


def sotw_request(data: bytes) -> Request:
    """Read a ``DiscoveryRequest``.

    Raises:
        google.protobuf.message.DecodeError: The bytes are not one.
    """
    message = discovery_pb2.DiscoveryRequest.FromString(data)
    return Request(
        type_url=message.type_url,
        node=message.node.id,
        fleet=message.node.cluster,
        nonce=message.response_nonce,
        version=message.version_info,
        error=message.error_detail.message[:_WORDS] if message.HasField("error_detail") else None,
        names=tuple(message.resource_names),
    )


def delta_request(data: bytes) -> Request:
    """Read a ``DeltaDiscoveryRequest``.

    Raises:
        google.protobuf.message.DecodeError: The bytes are not one.
    """
    message = discovery_pb2.DeltaDiscoveryRequest.FromString(data)
    return Request(
        type_url=message.type_url,
        node=message.node.id,
        fleet=message.node.cluster,
        takes_ttl=_TTL_FEATURE in message.node.client_features,
        nonce=message.response_nonce,
        error=message.error_detail.message[:_WORDS] if message.HasField("error_detail") else None,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial=dict(message.initial_resource_versions),
    )


class Encoder:
    """Makes the bytes of responses, once for all streams that are sent the same.

    Only the nonce is a stream's own; it is appended, since protobuf's fields may come in any order.
    """

    __slots__ = ("_bodies", "_identifier")

    def __init__(self, identifier: str = "") -> None:
        self._identifier = identifier
        self._bodies: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    def encode(self, variant: Variant, response: Response) -> bytes:
        """Return the message of ``variant`` that carries ``response``."""
        carried = tuple((resource.name, resource.version, resource.ttl) for resource in response.resources)
        key = (
            variant,
            response.type_url,
            response.version,
            response.removed,
            carried,
            response.partial,
            response.heartbeat,
        )
        body = self._bodies.get(key)
        if body is None:
            body = self._sotw(response) if variant is Variant.SOTW else self._delta(response)
            self._bodies[key] = body
            if len(self._bodies) > _BODIES:
                self._bodies.popitem(last=False)
        else:
            self._bodies.move_to_end(key)
        nonce = response.nonce.encode()
        return b"%b%b%c%b" % (body, _NONCE_TAG, len(nonce), nonce)

    def _sotw(self, response: Response) -> bytes:
        message = discovery_pb2.DiscoveryResponse(
            type_url=response.type_url,
            # A client that brings this version to another stream has not got all that the plain one stands for.
            version_info=f"{response.version}{_PART if response.partial else ''}",
            control_plane=self._control_plane(),
        )
        for resource in response.resources:
            message.resources.add(type_url=response.type_url, value=resource.value)
        return bytes(message.SerializeToString(deterministic=True))

    def _delta(self, response: Response) -> bytes:
        message = discovery_pb2.DeltaDiscoveryResponse(
            type_url=response.type_url,
            system_version_info=response.version,
            removed_resources=response.removed,
            control_plane=self._control_plane(),
        )
        for resource in response.resources:
            entry = message.resources.add(name=resource.name, version=resource.version)
            if resource.ttl:
                entry.ttl.seconds = resource.ttl
            if not response.heartbeat:
                entry.resource.type_url = response.type_url
                entry.resource.value = resource.value
        return bytes(message.SerializeToString(deterministic=True))

    def _control_plane(self) -> base_pb2.ControlPlane | None:
        return base_pb2.ControlPlane(identifier=self._identifier) if self._identifier else None


@lru_cache(maxsize=4096)
def assignment_name(cluster: Resource) -> str:
    """Return the name under which a client of this cluster asks for its endpoints; empty if it asks for none."""
    message = cluster_pb2.Cluster.FromString(cluster.value)
    if message.type != cluster_pb2.Cluster.EDS:
        return ""
    return str(message.eds_cluster_config.service_name or message.name)


@lru_cache(maxsize=4096)
def empty_assignment(name: str) -> Resource:
    """Return endpoints for a cluster that does not exist: none.

    A SotW client that asks for the endpoints of a cluster which only it still has would otherwise warm it in vain for
    15 s, and hold everything up meanwhile (envoy#9934).
    """
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    return Resource.of(name, message.SerializeToString(deterministic=True))
