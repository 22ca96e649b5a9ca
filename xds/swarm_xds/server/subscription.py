"""The values of the xDS protocol: what a request meant, what a response carries, how a client stands to a set.

``sotw`` and ``delta`` keep the state of one type on one stream in these terms. Pure: no gRPC, no protobuf, no clock,
no logger. It must not know in what order types are sent; that is ``sequence``'s.

The rules are those of https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol; comments name the
section where the code looks odd.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from swarm_xds.snapshot import CLUSTER, LISTENER, SECRET, VIRTUAL_HOST, Resource, Resources

WILDCARD = "*"

#: Types whose SotW response is always the whole set, so that absence means deletion, and whose first empty request
#: means everything ("How the client specifies what resources to return").
FULL_SET = frozenset((CLUSTER, LISTENER))

#: Types without a SotW form ("Virtual Host Discovery Service").
DELTA_ONLY = frozenset((VIRTUAL_HOST,))
#: Types of which a response has one resource: Envoy says of a certificate that it is bad and not which one that is, and
#: accepts it unread when it is sent again.
ONE_BY_ONE = frozenset((SECRET,))


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
        suspects: Those of them that it had not accepted before, one of which must be to blame.
    """

    nonce: str
    version: str
    message: str
    names: tuple[str, ...]
    suspects: tuple["Suspect", ...] = ()


@dataclass(frozen=True, slots=True)
class Suspect:
    """A resource in a response that was rejected.

    Attributes:
        version: The one that was rejected.
        accepted: The one that the client accepted last, and still has; empty if none.
    """

    name: str
    version: str
    accepted: str


Event = Subscribed | Stale | Ack | Nack


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response, before it becomes bytes.

    Attributes:
        removed: Names that the client is to forget; incremental only.
        updated: Names in ``resources`` that the client did not have in this version before.
        partial: Whether it is a part of a type whose responses are else the whole: by state of the world, by name.
        heartbeat: Whether the client has all of it, and is only to keep it for another lifetime.
    """

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    partial: bool = False
    heartbeat: bool = False


class Answer(Enum):
    """How a client stands to a set of resources that it is to have."""

    WAITING = "waiting"
    """Something is still to be sent, or was sent and is not answered."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Everything is answered, and something the client was sent last is not in use."""


class Doubts:
    """What a client was sent and has not accepted, or has rejected: names with the version that it accepted last."""

    __slots__ = ("_accepted", "_rejected")

    def __init__(self) -> None:
        self._accepted: dict[str, str] = {}
        self._rejected: dict[str, Mapping[str, str]] = {}

    @property
    def rejected(self) -> bool:
        """Whether the client rejected something that it was sent last."""
        return bool(self._rejected)

    def sent(self, name: str, version: str, before: str) -> None:
        """Note that a resource is on its way to a client that was last sent the version ``before``; empty if none."""
        self._rejected.pop(name, None)
        if self._accepted.get(name, before) == version:
            self._accepted.pop(name, None)
        else:
            self._accepted.setdefault(name, before)

    def forget(self, names: Iterable[str]) -> None:
        """Note that the client no longer asks for these, or was told that they are gone."""
        for name in names:
            self._accepted.pop(name, None)
            self._rejected.pop(name, None)

    def accept(self, carried: Mapping[str, str], sent: Mapping[str, str]) -> None:
        """Note that the client accepted a response; what it was sent since is in doubt still."""
        for name, version in carried.items():
            if sent.get(name) == version:
                self._accepted.pop(name, None)

    def reject(self, carried: Mapping[str, str], sent: Mapping[str, str]) -> tuple[Suspect, ...]:
        """Note that the client rejected a response, and return what in it may be to blame, by name."""
        current = [(name, version) for name, version in carried.items() if sent.get(name, "") == version]
        self._rejected.update((name, carried) for name, _ in current)
        return tuple(
            Suspect(name, version, self._accepted[name]) for name, version in sorted(current) if name in self._accepted
        )

    def held(self, name: str, sent: str) -> str:
        """Return the version that the client has of what it was last sent in ``sent``.

        Empty if it has none, or has not said yet whether it takes that.
        """
        if name in self._accepted:
            return self._accepted[name] if name in self._rejected else ""
        return sent

    def again(self, resources: Resources) -> set[str]:
        """Return what was rejected together with something that is now another, or gone: by itself it may be good."""
        return {
            name
            for name, carried in self._rejected.items()
            if any((resources[each].version if each in resources else "") != carried[each] for each in carried)
        }


class Pulse:
    """When the next heartbeat is due: three to a lifetime, so that two may be late."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        #: When, on the clock of ``due``; ``None`` while nothing has a lifetime.
        self.at: float | None = None

    def hurry(self) -> None:
        """Have the next one at once: nobody knows how much of a lifetime is left."""
        self.at = -math.inf

    def late(self, ttl: int, now: float) -> bool:
        """Say whether it is so long since the last one that a lifetime may have ended."""
        return self.at is not None and not math.isinf(self.at) and now - self.at >= ttl * 2 / 3

    def due(self, ttl: int, now: float) -> bool:
        """Say whether one is due, and take it as given; the first is so after a third of the lifetime.

        Args:
            ttl: The shortest lifetime in seconds; 0 if nothing has one.
            now: Seconds on any clock that does not jump.
        """
        if not ttl:
            self.at = None
            return False
        due = self.at is not None and now >= self.at
        if due or self.at is None:
            self.at = now + ttl / 3
        return due


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
