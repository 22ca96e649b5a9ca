"""The loop of one stream: takes requests, sends what its client may have now, and sleeps.

In: requests from a transport, and wake-ups from the publisher. Out: bytes to the transport, and what happened to the
observer. It must not know gRPC, nor decide anything: ``sotw`` and ``delta`` know the protocol, ``sequence`` the order.

One task per stream. It reads only when it is not writing, and no faster than ``Limits`` say, so a client that sends
without end or never reads costs one request and one response; and it looks at the latest snapshot before each response,
so one that reads slowly skips what it missed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from swarm_xds.server.delta import DeltaSubscription
from swarm_xds.server.gate import (
    Allowance,
    LimitError,
    ProtocolError,
    RefusedError,
    admit,
    check_certificate,
    check_length,
)
from swarm_xds.server.limits import Limits
from swarm_xds.server.observer import Observer, Peer
from swarm_xds.server.publisher import Publisher
from swarm_xds.server.sequence import Merge, Sequence
from swarm_xds.server.sotw import SotwSubscription
from swarm_xds.server.subscription import DELTA_ONLY, FULL_SET, Ack, Event, Nack, Response
from swarm_xds.server.wire import Encoder, Request, Variant, assignment_name, empty_assignment
from swarm_xds.snapshot import ADS_ORDER, CLUSTER, ENDPOINT, Resources, Snapshots


class Transport(Protocol):
    """Where requests come from and responses go to.

    Attributes:
        address: The client's, for logs.
        certified: Whether the client had to show a certificate.
        fleet: The one that its certificate names; ``None`` if it names none.
        expires: When its certificate does, on the stream's clock; ``None`` for never.
    """

    address: str
    certified: bool
    fleet: str | None
    expires: float | None

    async def read(self) -> Request | None:
        """Wait for the next request; ``None`` at the end."""

    async def write(self, data: bytes) -> None:
        """Send one response; returns when the transport takes the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all streams of a server share."""

    publisher: Publisher
    observer: Observer
    encoder: Encoder
    limits: Limits
    join: Merge
    clock: Callable[[], float]


class Stream:
    """One stream.

    Args:
        setting: What it shares with the others.
        number: Unique in this process.
        variant: The form of the protocol.
        type_url: The only type of the stream; ``None`` for an aggregated one.
        token: Makes this stream's nonces unlike any other's, so that one from an earlier stream is known as stale.
    """

    def __init__(self, setting: Setting, *, number: int, variant: Variant, type_url: str | None, token: str) -> None:
        self._setting = setting
        self._number = number
        self._variant = variant
        self._type_url = type_url
        self._token = token
        self._subscriptions: dict[str, SotwSubscription | DeltaSubscription] = {}
        self._sequence = Sequence(self._subscriptions, setting.limits, join=setting.join, alone=type_url is not None)
        self._order: tuple[str, ...] = ADS_ORDER
        self._snapshots: Snapshots | None = None
        self._peer: Peer | None = None
        self._takes_ttl = False
        self._next_heartbeat: float | None = None
        self._opened = False
        self._rewarm: set[str] = set()
        self._settled: str | None = None
        self._closing = False
        self._began = setting.clock()
        self._allowance = Allowance(setting.limits.requests_per_second, setting.limits.requests_at_once, self._began)
        self._wake = asyncio.Event()
        self._watcher = setting.publisher.watch(self._wake.set)

    def close(self) -> None:
        """Have ``run`` return soon, unless its client does not take what is being written."""
        self._closing = True
        self._wake.set()

    async def run(self, transport: Transport) -> None:
        """Serve until the client ends the stream, ``close`` is called, or nothing was published for too long.

        Raises:
            RefusedError: The stream cannot go on.
        """
        read = self._start_reading(transport)
        try:
            while not self._closing:
                check_certificate(transport.expires, self._setting.clock())
                if read.done():
                    request = read.result()
                    if request is None:
                        return
                    self._take(request, transport)
                    read = self._start_reading(transport)
                elif self._vain is not None and self._setting.clock() >= self._vain:
                    return
                elif response := self._next_response() or self._heartbeat():
                    await self._send(response, transport)
                else:
                    self._note_settled()
                    await self._sleep(transport)
        except RefusedError as error:
            self._setting.observer.refused(self._peer or self._peer_of(transport), error.refusal, str(error))
            raise
        finally:
            read.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await read
            self._setting.publisher.leave(self._watcher)
            if self._peer and self._opened:
                self._setting.observer.closed(self._peer)

    def _start_reading(self, transport: Transport) -> "asyncio.Future[Request | None]":
        delay = self._allowance.wait(self._setting.clock())
        read = asyncio.ensure_future(_later(delay, transport) if delay else transport.read())
        read.add_done_callback(lambda _: self._wake.set())
        return read

    async def _sleep(self, transport: Transport) -> None:
        """Return when a request or a snapshot has come, or the sequence has waited long enough."""
        deadline = _soonest(self._sequence.deadline, self._next_heartbeat, transport.expires, self._vain)
        if self._peer is None:
            deadline = self._began + self._setting.limits.first_request
            if self._setting.clock() >= deadline:
                raise LimitError(f"no request within {self._setting.limits.first_request:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - self._setting.clock())):
                await self._wake.wait()
        self._wake.clear()

    @property
    def _vain(self) -> float | None:
        """When the client has waited long enough for something to be published; ``None`` if something was."""
        nothing = self._setting.publisher.latest is None
        return self._began + self._setting.limits.first_snapshot if nothing else None

    def _take(self, request: Request, transport: Transport) -> None:
        check_length(request, self._setting.limits)
        if self._peer is None:
            self._peer = self._peer_of(transport, request.node, request.fleet)
            self._takes_ttl = request.takes_ttl
            admit(self._peer, certified=transport.certified, fleet=transport.fleet)
            self._opened = True
            self._setting.observer.opened(self._peer)
        type_url = self._checked_type(request)
        known = self._subscriptions.get(type_url)
        owed = known.owed if known is not None else 0
        event = self._event(type_url, request)
        added = max(0, self._subscriptions[type_url].owed - owed)
        # An answer to what was sent comes no sooner than that, and by state of the world it has all names each time.
        read = 0 if isinstance(event, (Ack, Nack)) and not added else request.size
        self._allowance.charge(read / self._setting.limits.names_read + added / self._setting.limits.names_answered)
        if sum(each.size for each in self._subscriptions.values()) > self._setting.limits.names_per_stream:
            raise LimitError(f"more than {self._setting.limits.names_per_stream} resource names on one stream")
        if isinstance(event, Ack):
            self._setting.observer.acked(self._peer, type_url, event)
        elif isinstance(event, Nack):
            self._setting.observer.nacked(self._peer, type_url, event)

    def _peer_of(self, transport: Transport, node: str = "", fleet: str = "") -> Peer:
        return Peer(stream=self._number, node=node, fleet=fleet, variant=self._variant, address=transport.address)

    def _checked_type(self, request: Request) -> str:
        type_url = _check_type(self._type_url, request)
        if self._variant is Variant.SOTW and type_url in DELTA_ONLY:
            raise ProtocolError(f"type URL {type_url} is of incremental streams only")
        if type_url not in self._subscriptions and len(self._subscriptions) >= self._setting.limits.types_per_stream:
            raise LimitError(f"more than {self._setting.limits.types_per_stream} type URLs on one stream")
        return type_url

    def _event(self, type_url: str, request: Request) -> Event:
        if type_url not in self._order:
            self._order = (*self._order, type_url)
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            # Unlike those of the stream's other types too: an answer that a client puts down to the wrong one is stale.
            prefix = f"{self._token}{len(self._subscriptions)}-"
            if self._variant is Variant.SOTW:
                subscription = _sotw(type_url, prefix)
            else:
                subscription = DeltaSubscription(type_url, nonce_prefix=prefix, takes_ttl=self._takes_ttl)
            self._subscriptions[type_url] = subscription
        if isinstance(subscription, SotwSubscription):
            return subscription.on_request(
                names=request.names, nonce=request.nonce, version=request.version, error=request.error
            )
        # Envoy says nothing of clusters while one of them warms, for which it needs endpoints that come now, be they as
        # they were when its last stream broke (docs/adr/035).
        warming = type_url == ENDPOINT and self._type_url is None and CLUSTER not in self._subscriptions
        return subscription.on_request(
            subscribe=request.subscribe,
            unsubscribe=request.unsubscribe,
            initial={} if warming else request.initial,
            nonce=request.nonce,
            error=request.error,
        )

    def _next_response(self) -> Response | None:
        """Return the first response due, by the order of types; ``None`` if the client must do or get nothing."""
        if self._peer is None:
            return None
        latest = self._setting.publisher.of(self._peer.node, self._peer.fleet)
        if latest is None:
            return None
        if latest is not self._snapshots:
            self._snapshots = latest
            target = latest.of(self._peer.fleet)
            if self._sequence.target is None or target.version != self._sequence.target.version:
                self._sequence.retarget(target)
        while True:
            for type_url in self._order:
                if response := self._response(type_url):
                    return response
            if not self._sequence.advance(self._setting.clock()):
                return None

    def _response(self, type_url: str) -> Response | None:
        subscription, view = self._subscriptions.get(type_url), self._sequence.view(type_url)
        if subscription is None or view is None:
            return None
        if type_url == ENDPOINT and self._rewarm:
            subscription.force(self._rewarm)
            self._rewarm.clear()
        response = subscription.next_response(view, removals=self._sequence.removals(type_url))
        if response and type_url == CLUSTER:
            # Envoy warms a changed cluster only with endpoints that come after it, be they unchanged; an incremental
            # client does not even ask (go-control-plane#245, #583). Until its first request for endpoints we do not
            # know which it has from an earlier stream, so the names are kept till then.
            self._rewarm.update(filter(None, (assignment_name(view[name]) for name in response.updated)))
        return response

    def _heartbeat(self) -> Response | None:
        """Return the first heartbeat due, after everything else: what is sent starts a lifetime of its own."""
        self._next_heartbeat = None
        now = self._setting.clock()
        for type_url, subscription in self._subscriptions.items():
            view = self._sequence.view(type_url)
            if view is not None and isinstance(subscription, DeltaSubscription):
                if response := subscription.heartbeat(view, now):
                    return response
                self._next_heartbeat = _soonest(self._next_heartbeat, subscription.pulse.at)
        return None

    async def _send(self, response: Response, transport: Transport) -> None:
        data = self._setting.encoder.encode(self._variant, response)
        limit = self._setting.limits.write
        try:
            async with asyncio.timeout(limit):
                await transport.write(data)
        except TimeoutError:
            raise LimitError(f"a response was not taken within {limit:g} s") from None
        if self._peer and not response.heartbeat:
            self._setting.observer.sent(self._peer, response, len(data))

    def _note_settled(self) -> None:
        if self._peer is None or self._snapshots is None or self._sequence.target is None:
            return
        version = self._sequence.target.version if self._sequence.settled() else None
        if version != self._settled:
            self._settled = version
            self._setting.publisher.settle(self._watcher, self._peer.node, self._peer.fleet, version)
            if version:
                self._setting.observer.settled(self._peer, version)
                if self._subscriptions.keys() >= FULL_SET:
                    self._setting.observer.verdict(self._peer, version, self._sequence.rejected())


def _soonest(*times: float | None) -> float | None:
    return min((each for each in times if each is not None), default=None)


async def _later(delay: float, transport: Transport) -> Request | None:
    await asyncio.sleep(delay)
    return await transport.read()


def fetched(type_url: str, request: Request, resources: Resources) -> Response:
    """Return the answer to a single request, which is the whole of what it asks for.

    Raises:
        ProtocolError: It asks for another type.
    """
    _check_type(type_url, request)
    subscription = _sotw(type_url)
    subscription.on_request(names=request.names, nonce="")
    empty = Response(type_url=type_url, version=resources.version, nonce="", resources=())
    return subscription.next_response(resources) or empty


def _sotw(type_url: str, nonce_prefix: str = "") -> SotwSubscription:
    placeholder = empty_assignment if type_url == ENDPOINT else None
    return SotwSubscription(type_url, nonce_prefix=nonce_prefix, placeholder=placeholder)


def _check_type(only: str | None, request: Request) -> str:
    """Return the type of a request on a service of ``only`` one type, or of all."""
    type_url = request.type_url or only or ""
    if not type_url:
        raise ProtocolError("type URL is required for ADS")
    if only and type_url != only:
        raise ProtocolError(f"type URL {type_url} on a stream of {only}")
    return type_url
