"""What happens on streams, told to whoever wants to know: logs, metrics, the demo.

In: calls from the stream loop. Out: whatever an observer makes of them. It must not change what happens; an observer
returns at once and does not raise.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from swarm_xds.server.subscription import Ack, Nack, Response

#: Rejections, and refusals, remembered so that each is logged once.
_REMEMBERED = 1024


class Refusal(StrEnum):
    """Why the server ended a stream."""

    PROTOCOL = "protocol"
    """The client broke the protocol."""
    FORBIDDEN = "forbidden"
    """The client's certificate does not name the fleet that it asks for."""
    LIMIT = "limit"
    """The client wants more than one may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The client of one stream.

    Attributes:
        stream: Number of the stream, unique in this process.
        node: ``node.id`` of the stream's first request.
        fleet: ``node.cluster`` of the same; empty if the client gave none.
        variant: ``sotw`` or ``delta``.
        address: As gRPC gives it, e.g. ``ipv4:10.0.0.7:43210``.
    """

    stream: int
    node: str
    fleet: str
    variant: str
    address: str


class Observer(Protocol):
    """Is told of everything that happens on streams, on the event loop."""

    def opened(self, peer: Peer) -> None:
        """A client has sent its first request."""

    def closed(self, peer: Peer) -> None:
        """A stream that was opened has ended, for whatever reason."""

    def sent(self, peer: Peer, response: Response, size: int) -> None:
        """A response of ``size`` bytes has been handed to the transport."""

    def acked(self, peer: Peer, type_url: str, ack: Ack) -> None:
        """The client has accepted a response."""

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """The client has rejected a response, and keeps what it had."""

    def settled(self, peer: Peer, version: str) -> None:
        """The client has answered all of the snapshot of this version, and nothing is left to be removed."""

    def verdict(self, peer: Peer, version: str, rejected: frozenset[str]) -> None:
        """Follows ``settled``: the types of which the client has rejected something that it was sent last.

        Only of a stream on which the client asks for listeners and clusters, and so for everything.
        """

    def refused(self, peer: Peer, refusal: Refusal, reason: str) -> None:
        """The server ends a stream for what its client is or did; it may not have been opened."""


class SilentObserver:
    """Does nothing; a base for observers that want to know a part."""

    def opened(self, peer: Peer) -> None:
        """Do nothing."""

    def closed(self, peer: Peer) -> None:
        """Do nothing."""

    def sent(self, peer: Peer, response: Response, size: int) -> None:
        """Do nothing."""

    def acked(self, peer: Peer, type_url: str, ack: Ack) -> None:
        """Do nothing."""

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """Do nothing."""

    def settled(self, peer: Peer, version: str) -> None:
        """Do nothing."""

    def verdict(self, peer: Peer, version: str, rejected: frozenset[str]) -> None:
        """Do nothing."""

    def refused(self, peer: Peer, refusal: Refusal, reason: str) -> None:
        """Do nothing."""


class Observers:
    """Tells several observers, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def opened(self, peer: Peer) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.opened(peer)

    def closed(self, peer: Peer) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.closed(peer)

    def sent(self, peer: Peer, response: Response, size: int) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.sent(peer, response, size)

    def acked(self, peer: Peer, type_url: str, ack: Ack) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.acked(peer, type_url, ack)

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.nacked(peer, type_url, nack)

    def settled(self, peer: Peer, version: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.settled(peer, version)

    def verdict(self, peer: Peer, version: str, rejected: frozenset[str]) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.verdict(peer, version, rejected)

    def refused(self, peer: Peer, refusal: Refusal, reason: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.refused(peer, refusal, reason)


class LogObserver:
    """Logs: each new rejection and each new refusal once, the rest for debugging.

    Args:
        logger: A structlog logger.
    """

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self._logger = logger
        self._rejections = Said()
        self._refusals = Said()

    def opened(self, peer: Peer) -> None:
        """Log ``xds.opened``."""
        self._log(peer).debug("xds.opened", variant=peer.variant, address=peer.address)

    def closed(self, peer: Peer) -> None:
        """Log ``xds.closed``."""
        self._log(peer).debug("xds.closed", variant=peer.variant, address=peer.address)

    def sent(self, peer: Peer, response: Response, size: int) -> None:
        """Log ``xds.sent`` with the counts; names would flood the log."""
        self._log(peer).debug(
            "xds.sent",
            type_url=response.type_url,
            version=response.version,
            resources=len(response.resources),
            removed=len(response.removed),
            bytes=size,
        )

    def acked(self, peer: Peer, type_url: str, ack: Ack) -> None:
        """Log ``xds.ack``."""
        self._log(peer).debug("xds.ack", type_url=type_url, version=ack.version)

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """Log ``xds.nack``, as an error unless this node's last rejection of this type said the same."""
        known = self._rejections.again((peer.node, peer.fleet, type_url), nack.message)
        log = self._log(peer).debug if known else self._log(peer).error
        log("xds.nack", type_url=type_url, version=nack.version, message=nack.message, resources=nack.names[:20])

    def settled(self, peer: Peer, version: str) -> None:
        """Log ``xds.settled``."""
        self._log(peer).debug("xds.settled", version=version)

    def verdict(self, peer: Peer, version: str, rejected: frozenset[str]) -> None:
        """Log ``xds.verdict``."""
        self._log(peer).debug("xds.verdict", version=version, rejected=sorted(rejected))

    def refused(self, peer: Peer, refusal: Refusal, reason: str) -> None:
        """Log ``xds.refused``, as a warning unless the last of this node's refusals said the same."""
        known = self._refusals.again((peer.node, peer.fleet), reason)
        log = self._log(peer).debug if known else self._log(peer).warning
        log("xds.refused", refusal=str(refusal), reason=reason, address=peer.address)

    def _log(self, peer: Peer) -> FilteringBoundLogger:
        return self._logger.bind(node=peer.node, fleet=peer.fleet)


class Said:
    """Knows what was said last of each of the latest things."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def again(self, key: tuple[str, ...], text: str) -> bool:
        """Remember the text, and return whether it is the one from before."""
        known = self._last.get(key) == text
        self._last[key] = text
        self._last.move_to_end(key)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return known
