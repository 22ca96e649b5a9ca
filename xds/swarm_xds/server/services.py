"""The gRPC methods: which exist, and how a call becomes a ``Stream``.

In: calls of the aggregated discovery service and of those of single types, in both variants. Out: streams run over
them, and the answers of ``Fetch*``. It must not know the protocol on the streams.
"""

import asyncio
import itertools
import secrets
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn

import grpc
from envoy.service.cluster.v3 import cds_pb2
from envoy.service.discovery.v3 import ads_pb2
from envoy.service.endpoint.v3 import eds_pb2
from envoy.service.listener.v3 import lds_pb2
from envoy.service.route.v3 import rds_pb2
from envoy.service.secret.v3 import sds_pb2
from google.protobuf.message import DecodeError

from swarm_xds.server.certificates import certified_fleet, expiry
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
from swarm_xds.server.observer import Observer, Peer, Refusal
from swarm_xds.server.publisher import Publisher
from swarm_xds.server.sequence import merge
from swarm_xds.server.stream import Setting, Stream, fetched
from swarm_xds.server.subscription import DELTA_ONLY
from swarm_xds.server.wire import Encoder, Request, Variant, delta_request, sotw_request
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, VIRTUAL_HOST, Resource, Resources, Snapshots

#: Each service's name and its only type; the aggregated one has none.
SERVICES: dict[str, str | None] = {
    ads_pb2.DESCRIPTOR.services_by_name["AggregatedDiscoveryService"].full_name: None,
    cds_pb2.DESCRIPTOR.services_by_name["ClusterDiscoveryService"].full_name: CLUSTER,
    eds_pb2.DESCRIPTOR.services_by_name["EndpointDiscoveryService"].full_name: ENDPOINT,
    lds_pb2.DESCRIPTOR.services_by_name["ListenerDiscoveryService"].full_name: LISTENER,
    rds_pb2.DESCRIPTOR.services_by_name["RouteDiscoveryService"].full_name: ROUTE,
    rds_pb2.DESCRIPTOR.services_by_name["VirtualHostDiscoveryService"].full_name: VIRTUAL_HOST,
    sds_pb2.DESCRIPTOR.services_by_name["SecretDiscoveryService"].full_name: SECRET,
}

#: What follows ``Stream``, ``Delta`` and ``Fetch`` in the names of a service's methods.
_NOUNS = {None: "AggregatedResources", CLUSTER: "Clusters", ENDPOINT: "Endpoints", LISTENER: "Listeners",
          ROUTE: "Routes", VIRTUAL_HOST: "VirtualHosts", SECRET: "Secrets"}  # fmt: skip

_STATUS = {
    Refusal.PROTOCOL: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Refusal.LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

#: Unions of new and stale resources kept for streams that change together.
_UNIONS = 16


class _Merged:
    """Remembers what was put together last: streams that are sent the same need the same unions."""

    def __init__(self) -> None:
        self._unions: OrderedDict[tuple[object, ...], Resources] = OrderedDict()

    def __call__(self, fresh: Resources, stale: tuple[Resource, ...]) -> Resources:
        key = (fresh.version, *((resource.name, resource.version) for resource in stale))
        if key not in self._unions:
            self._unions[key] = merge(fresh, stale)
            if len(self._unions) > _UNIONS:
                self._unions.popitem(last=False)
        return self._unions[key]


class _Call:
    """A gRPC call as a stream's transport."""

    def __init__(
        self, context: "grpc.aio.ServicerContext[Any, Any]", variant: Variant, now: float, *, certified: bool
    ) -> None:
        self._context = context
        self._parse = sotw_request if variant is Variant.SOTW else delta_request
        self.address = str(context.peer())
        #: Without the port, which is another one for each connection.
        self.host = self.address.rpartition(":")[0]
        self.certified = certified
        self.fleet: str | None = None
        self.expires: float | None = None
        if certified:
            authentication = context.auth_context()
            self.fleet = certified_fleet(authentication)
            end = expiry(authentication)
            self.expires = None if end is None else now + (end - datetime.now(UTC)).total_seconds()

    async def read(self) -> Request | None:
        data = await self._context.read()
        return self.parse(data) if isinstance(data, bytes) else None

    def parse(self, data: bytes) -> Request:
        try:
            return self._parse(data)
        except DecodeError as error:
            raise ProtocolError("not a discovery request") from error

    async def write(self, data: bytes) -> None:
        await self._context.write(data)


async def _abort(context: "grpc.aio.ServicerContext[Any, Any]", error: RefusedError) -> NoReturn:
    await context.abort(_STATUS[error.refusal], str(error))


class Services:
    """All discovery services over one publisher.

    Args:
        certified: Whether clients have to show a certificate, which then says whose configuration they may have.
    """

    def __init__(
        self,
        publisher: Publisher,
        observer: Observer,
        limits: Limits,
        *,
        clock: Callable[[], float],
        identifier: str,
        certified: bool,
    ) -> None:
        self._setting = Setting(
            publisher=publisher,
            observer=observer,
            encoder=Encoder(identifier),
            limits=limits,
            join=_Merged(),
            clock=clock,
        )
        self._certified = certified
        self._numbers = itertools.count(1)
        self._streams: dict[Stream, None] = {}
        self._clients: Counter[str] = Counter()
        #: How soon each address may fetch again, the longest silent first.
        self._fetches: OrderedDict[str, Allowance] = OrderedDict()
        self._closing = False

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """Return what ``grpc.aio.Server.add_generic_rpc_handlers`` takes."""
        return tuple(
            grpc.method_handlers_generic_handler(service, self._methods(type_url))
            for service, type_url in SERVICES.items()
        )

    async def close(self) -> None:
        """End each stream that still comes, and one after the other all there are; clients look for another server."""
        self._closing = True
        await self.end_streams()

    async def end_streams(self) -> None:
        """End those that there are now, one after the other."""
        streams = list(self._streams)
        limits = self._setting.limits
        pause = min(limits.drain_interval, limits.drain / max(len(streams), 1))
        for number, stream in enumerate(streams):
            if number:
                await asyncio.sleep(pause)
            stream.close()

    def _methods(self, type_url: str | None) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
        """Return a service's methods; those that its definition lacks are answered by gRPC, with UNIMPLEMENTED."""
        noun = _NOUNS[type_url]
        methods = {f"Delta{noun}": self._method(Variant.DELTA, type_url)}
        if type_url not in DELTA_ONLY:
            methods[f"Stream{noun}"] = self._method(Variant.SOTW, type_url)
            if type_url is not None:
                methods[f"Fetch{noun}"] = self._fetch(type_url)
        return methods

    def _fetch(self, type_url: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def fetch(data: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            call = self._call(context, Variant.SOTW)
            try:
                with self._counted(call.host):
                    await asyncio.sleep(self._wait_to_fetch(call.host))
                    snapshots = self._setting.publisher.latest
                    if snapshots is None or self._closing:
                        reason = "ending" if self._closing else "nothing to serve yet"
                        await context.abort(grpc.StatusCode.UNAVAILABLE, reason)
                    return self._fetched(type_url, call, data, snapshots)
            except RefusedError as error:
                await _abort(context, error)

        return grpc.unary_unary_rpc_method_handler(fetch)

    def _wait_to_fetch(self, host: str) -> float:
        """Return for how many seconds a client has to wait for its answer; its stream would read no faster."""
        limits, now = self._setting.limits, self._setting.clock()
        allowance = self._fetches.pop(host, None) or Allowance(limits.requests_per_second, limits.requests_at_once, now)
        self._fetches[host] = allowance
        if len(self._fetches) > limits.streams:
            self._fetches.popitem(last=False)
        return allowance.wait(now)

    def _fetched(self, type_url: str, call: _Call, data: bytes, snapshots: Snapshots) -> bytes:
        """Return the answer to a single request.

        Raises:
            RefusedError: There is none.
        """
        peer = Peer(stream=next(self._numbers), node="", fleet="", variant="fetch", address=call.address)
        try:
            check_certificate(call.expires, self._setting.clock())
            request = call.parse(data)
            peer = replace(peer, node=request.node, fleet=request.fleet)
            check_length(request, self._setting.limits)
            if (allowance := self._fetches.get(call.host)) is not None:
                allowance.charge(request.size / self._setting.limits.names_answered)
            admit(peer, certified=call.certified, fleet=call.fleet)
            own = self._setting.publisher.of(request.node, request.fleet) or snapshots
            response = fetched(type_url, request, own.of(request.fleet).of(type_url))
        except RefusedError as error:
            self._setting.observer.refused(peer, error.refusal, str(error))
            raise
        return self._setting.encoder.encode(Variant.SOTW, response)

    def _method(self, variant: Variant, type_url: str | None) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def serve(_: AsyncIterator[bytes], context: "grpc.aio.ServicerContext[Any, Any]") -> None:
            call = self._call(context, variant)
            try:
                with self._counted(call.host):
                    try:
                        await self._run(call, variant, type_url)
                    except RefusedError as error:
                        # A client that takes nothing does not take this either, and counts until it does.
                        await _abort(context, error)
            except RefusedError as error:
                await _abort(context, error)

        # Bytes in and out: requests are parsed where errors can be answered, responses are encoded once for many.
        return grpc.stream_stream_rpc_method_handler(serve)

    def _call(self, context: "grpc.aio.ServicerContext[Any, Any]", variant: Variant) -> _Call:
        return _Call(context, variant, self._setting.clock(), certified=self._certified)

    @contextmanager
    def _counted(self, host: str) -> Iterator[None]:
        """Count a stream while it lasts.

        Raises:
            LimitError: There are as many as there may be.
        """
        limits = self._setting.limits
        if self._clients.total() >= limits.streams:
            raise self._too_many(host, f"more than {limits.streams} streams")
        if self._clients[host] >= limits.streams_per_client:
            raise self._too_many(host, f"more than {limits.streams_per_client} streams from {host}")
        self._clients[host] += 1
        try:
            yield
        finally:
            self._clients[host] -= 1
            if not self._clients[host]:
                del self._clients[host]

    def _too_many(self, host: str, reason: str) -> LimitError:
        peer = Peer(stream=next(self._numbers), node="", fleet="", variant="", address=host)
        self._setting.observer.refused(peer, Refusal.LIMIT, reason)
        return LimitError(reason)

    async def _run(self, call: _Call, variant: Variant, type_url: str | None) -> None:
        stream = Stream(
            self._setting,
            number=next(self._numbers),
            variant=variant,
            type_url=type_url,
            token=f"{secrets.token_hex(3)}-",
        )
        self._streams[stream] = None
        if self._closing:
            stream.close()
        try:
            await stream.run(call)
        finally:
            del self._streams[stream]
