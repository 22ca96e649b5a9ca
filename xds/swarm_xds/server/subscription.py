"""The values of the xDS protocol: what a request meant, what a response carries, how a client stands to a set.

``sotw`` and ``delta`` keep the state of one type on one stream in these terms. Pure: no gRPC, no protobuf, no clock,
no logger. It must not know in what order types are sent; that is ``sequence``'s.

The rules are those of https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol; comments name the
section where the code looks odd.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from swarm_xds.snapshot import CLUSTER, LISTENER, VIRTUAL_HOST, Resource, Resources

WILDCARD = "*"

#: Types whose SotW response is always the whole set, so that absence means deletion, and whose first empty request
#: means everything ("How the client specifies what resources to return").
FULL_SET = frozenset((CLUSTER, LISTENER))

#: Types without a SotW form ("Virtual Host Discovery Service").
DELTA_ONLY = frozenset((VIRTUAL_HOST,))


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The request is the first of its type, or changes only what the client asks for, or changes nothing."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The request answers a response that is no longer the latest; in SotW it is ignored whole."""

    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The client accepted the response with this nonce and version."""

    nonce: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """The client rejected the response with this nonce and version, and keeps what it had.

    Attributes:
        message: The client's reason, as it gave it.
        names: The resources that the response carried; the client does not say which of them is bad.
    """

    nonce: str
    version: str
    message: str
    names: tuple[str, ...]


Event = Subscribed | Stale | Ack | Nack


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response, before it becomes bytes.

    Attributes:
        removed: Names that the client is to forget; incremental only.
        updated: Names in ``resources`` that the client did not have in this version before.
    """

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()


class Answer(Enum):
    """How a client stands to a set of resources that it is to have."""

    WAITING = "waiting"
    """Something is still to be sent, or was sent and is not answered."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Everything is answered, and something the client was sent last is not in use."""


class Subscription(Protocol):
    """What ``sequence`` and ``stream`` need of either variant."""

    @property
    def sent(self) -> Mapping[str, str]:
        """Version by name of what the client has been sent and not told to forget."""

    @property
    def resumed(self) -> bool:
        """Whether the client brought resources from an earlier stream and said which."""

    def force(self, names: Iterable[str]) -> None:
        """Have those of ``names`` that the client has sent again with the next response."""

    def next_response(self, resources: Resources, *, removals: bool = True) -> Response | None:
        """Return what the client must be sent to have ``resources``, and take it as sent; ``None`` if nothing.

        Args:
            resources: All resources of the type that the client may have now.
            removals: Whether an incremental client may be told to forget what is not in ``resources``.
        """

    def answered(self, resources: Resources, *, removals: bool = True) -> Answer:
        """Say how the client stands to ``resources``, which ``next_response`` was last asked for."""
