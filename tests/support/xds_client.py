"""Resources to serve, clients that speak xDS by hand, and an observer that remembers: what server tests share."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2

from swarm_xds.server import Peer, Refusal, SilentObserver
from swarm_xds.server.subscription import Ack, Nack, Response
from swarm_xds.snapshot import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Resource,
    Resources,
    Snapshot,
    Snapshots,
)

#: Seconds after which a test that waits for a fact has failed.
PATIENCE = 10.0

_ADS = config_source_pb2.ConfigSource(ads=config_source_pb2.AggregatedConfigSource(), resource_api_version="V3")

_NOUNS = {CLUSTER: ("cluster", "Cluster"), ENDPOINT: ("endpoint", "Endpoint"), LISTENER: ("listener", "Listener"),
          ROUTE: ("route", "Route"), SECRET: ("secret", "Secret"), VIRTUAL_HOST: ("route", "VirtualHost")}  # fmt: skip


def resource(name: str, message: Message) -> Resource:
    """Make a resource of a message."""
    return Resource.of(name, message.SerializeToString(deterministic=True))


def packed(message: Message) -> any_pb2.Any:
    """Put a message in an ``Any``."""
    box = any_pb2.Any()
    box.Pack(message)
    return box


def cluster(name: str, *, connect_timeout: float = 1.0) -> Resource:
    """Make an EDS cluster over ADS; a negative timeout is one that Envoy rejects."""
    timeout = duration_pb2.Duration()
    timeout.FromNanoseconds(int(connect_timeout * 1e9))
    return resource(
        name,
        cluster_pb2.Cluster(
            name=name,
            type=cluster_pb2.Cluster.EDS,
            connect_timeout=timeout,
            eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=_ADS),
        ),
    )


def endpoints(name: str, *ports: int) -> Resource:
    """Make the endpoints of a cluster, on loopback."""
    lb_endpoints = [
        endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=_address(port)))
        for port in ports
    ]
    locality = endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=lb_endpoints)
    locality.load_balancing_weight.value = 1
    locality.locality.zone = "lab"
    return resource(name, endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[locality]))


def routes(name: str, prefixes: Mapping[str, str]) -> Resource:
    """Make a route table: cluster by path prefix, first match first."""
    host = route_components_pb2.VirtualHost(name="all", domains=["*"])
    for prefix, target in prefixes.items():
        host.routes.add(match={"prefix": prefix}, route={"cluster": target})
    return resource(name, route_pb2.RouteConfiguration(name=name, virtual_hosts=[host]))


def listener(name: str, port: int, route: str) -> Resource:
    """Make a listener on loopback that takes its routes from RDS."""
    message = listener_pb2.Listener(name=name, address=_address(port))
    network_filter = listener_components_pb2.Filter(name="http", typed_config=packed(_manager(route)))
    message.filter_chains.add(filters=[network_filter])
    return resource(name, message)


def secret(name: str, content: str) -> Resource:
    """Make a secret that is none."""
    value = base_pb2.DataSource(inline_string=content)
    return resource(name, secret_pb2.Secret(name=name, generic_secret=secret_pb2.GenericSecret(secret=value)))


def api_listener(name: str, route: str) -> Resource:
    """Make a listener for a client that is its own proxy, as gRPC is."""
    return resource(
        name,
        listener_pb2.Listener(
            name=name, api_listener=api_listener_pb2.ApiListener(api_listener=packed(_manager(route)))
        ),
    )


def _manager(route: str) -> hcm_pb2.HttpConnectionManager:
    manager = hcm_pb2.HttpConnectionManager(
        stat_prefix="test", rds=hcm_pb2.Rds(config_source=_ADS, route_config_name=route)
    )
    manager.http_filters.add(name="router", typed_config=packed(router_pb2.Router()))
    return manager


def _address(port: int) -> address_pb2.Address:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address="127.0.0.1", port_value=port))


def snapshot(**types: Iterable[Resource]) -> Snapshot:
    """Make a snapshot of ``clusters``, ``endpoints``, ``secrets``, ``listeners`` and ``routes``."""
    urls = {"clusters": CLUSTER, "endpoints": ENDPOINT, "secrets": SECRET, "listeners": LISTENER, "routes": ROUTE}
    return Snapshot({urls[name]: Resources(items) for name, items in types.items()})


def snapshots(every: Snapshot, **fleets: Snapshot) -> Snapshots:
    """Give ``every`` to each fleet that is not among ``fleets``."""
    return Snapshots(fleets=fleets, empty=every, default="")


#: Makes a resource of a type by name, with content that differs by number.
KINDS: Mapping[str, Callable[[str, int], Resource]] = {
    CLUSTER: lambda name, number: cluster(name, connect_timeout=number),
    ENDPOINT: endpoints,
    LISTENER: lambda name, number: listener(name, number, "table"),
    ROUTE: lambda name, number: routes(name, {"/": f"c{number}"}),
    SECRET: lambda name, number: secret(name, str(number)),
}


def only(type_url: str, **numbers: int) -> Snapshot:
    """Make a snapshot of one type: resources by name, with content that differs by number."""
    return Snapshot({type_url: Resources(KINDS[type_url](name, number) for name, number in numbers.items())})


@dataclass(slots=True)
class Recorder(SilentObserver):
    """Remembers what happened on all streams, and lets tests wait for it."""

    peers: list[Peer] = field(default_factory=list)
    closures: list[Peer] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    acks: list[tuple[str, Ack]] = field(default_factory=list)
    nacks: list[tuple[str, Nack]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    refusals: list[tuple[Peer, Refusal, str]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self, peer: Peer) -> None:
        """Remember the client."""
        self._add(self.peers, peer)

    def closed(self, peer: Peer) -> None:
        """Remember the client."""
        self._add(self.closures, peer)

    def sent(self, peer: Peer, response: Response, size: int) -> None:  # noqa: ARG002 # an observer is told more
        """Remember the response."""
        self._add(self.responses, response)

    def acked(self, peer: Peer, type_url: str, ack: Ack) -> None:  # noqa: ARG002 # an observer is told more
        """Remember the answer."""
        self._add(self.acks, (type_url, ack))

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:  # noqa: ARG002 # an observer is told more
        """Remember the answer."""
        self._add(self.nacks, (type_url, nack))

    def settled(self, peer: Peer, version: str) -> None:  # noqa: ARG002 # an observer is told more
        """Remember the version."""
        self._add(self.versions, version)

    def refused(self, peer: Peer, refusal: Refusal, reason: str) -> None:
        """Remember the refusal."""
        self._add(self.refusals, (peer, refusal, reason))

    async def until(self, fact: Callable[["Recorder"], object]) -> None:
        """Wait until ``fact`` holds of what was recorded."""
        async with asyncio.timeout(PATIENCE):
            while not fact(self):
                await self._changed.wait()

    def _add(self, items: list[Any], item: object) -> None:
        items.append(item)
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Received:
    """One response of either variant, as a client sees it.

    Attributes:
        names: Names of the resources in it.
        versions: Version by name; SotW has none.
        ttls: Lifetime in seconds by name, of what has one.
    """

    type_url: str
    nonce: str
    version: str
    names: tuple[str, ...]
    removed: tuple[str, ...]
    values: Mapping[str, bytes]
    versions: Mapping[str, str]
    ttls: Mapping[str, int] = field(default_factory=dict)


class Client(AbstractAsyncContextManager["Client"]):
    """A client that does what the test says and nothing by itself.

    Args:
        port: The server's, on loopback.
        variant: ``sotw`` or ``delta``.
        aggregated: Whether all types share one stream, or each has one with its own service.
        fleet: ``node.cluster``.
        node: ``node.id``; ``None`` for requests without a node.
        credentials: TLS; ``None`` for plain text.
        features: ``node.client_features``.
    """

    def __init__(
        self,
        port: int,
        *,
        variant: str = "sotw",
        aggregated: bool = True,
        fleet: str = "",
        node: str | None = "n1",
        credentials: grpc.ChannelCredentials | None = None,
        features: Iterable[str] = (),
    ) -> None:
        address, options = f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options=options)
        self.variant = variant
        self.aggregated = aggregated
        self._features = tuple(features)
        self._node = None if node is None else {"id": node, "cluster": fleet}
        self._streams: dict[str, Any] = {}
        self._last: dict[str, Received] = {}
        self._names: dict[str, tuple[str, ...]] = {}

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            stream.cancel()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    def stream(self, type_url: str) -> Any:  # grpc.aio's calls have no usable types
        """The call that carries a type; opened on its first use."""
        key = "" if self.aggregated else type_url
        if key not in self._streams:
            kind = "Stream" if self.variant == "sotw" else "Delta"
            if self.aggregated:
                method = f"/envoy.service.discovery.v3.AggregatedDiscoveryService/{kind}AggregatedResources"
            else:
                package, noun = _NOUNS[type_url]
                method = f"/envoy.service.{package}.v3.{noun}DiscoveryService/{kind}{noun}s"
            self._streams[key] = self._channel.stream_stream(method)()
        return self._streams[key]

    async def send(self, type_url: str, **fields: Any) -> None:  # what protobuf takes
        """Send a request with exactly these fields; the node goes with a stream's first."""
        sotw = self.variant == "sotw"
        message = (discovery_pb2.DiscoveryRequest if sotw else discovery_pb2.DeltaDiscoveryRequest)(
            type_url=type_url, **fields
        )
        fresh = ("" if self.aggregated else type_url) not in self._streams
        if fresh and self._node is not None:
            message.node.id = self._node["id"]
            message.node.cluster = self._node["cluster"]
            message.node.client_features.extend(self._features)
        # Where there is no connection, the end of the stream says so.
        with suppress(grpc.aio.AioRpcError):
            await self.stream(type_url).write(message.SerializeToString())

    async def subscribe(self, type_url: str, *names: str, initial: Mapping[str, str] | None = None) -> None:
        """Ask for names beside those already asked for; for none, in the first request, to have everything."""
        self._names[type_url] = tuple(dict.fromkeys((*self._names.get(type_url, ()), *names)))
        if self.variant == "sotw":
            await self._names_as_they_are(type_url)
        else:
            await self.send(type_url, resource_names_subscribe=names, initial_resource_versions=initial or {})

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        """Ask no longer for names."""
        self._names[type_url] = tuple(name for name in self._names[type_url] if name not in names)
        if self.variant == "sotw":
            await self._names_as_they_are(type_url)
        else:
            await self.send(type_url, resource_names_unsubscribe=names)

    async def receive(self, type_url: str) -> Received:
        """Wait for the next response on the type's stream, which must be of that type."""
        async with asyncio.timeout(PATIENCE):
            data = await self.stream(type_url).read()
        assert isinstance(data, bytes), f"the stream ended: {await self.stream(type_url).code()}"
        received = _sotw(data) if self.variant == "sotw" else _delta(data)
        assert received.type_url == type_url
        self._last[type_url] = received
        return received

    async def next(self) -> Received:
        """Wait, for as long as it takes, for the next response of any type on the stream that all types share.

        Raises:
            ConnectionError: The stream has ended.
        """
        try:
            data = await self.stream("").read()
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(error.details()) from error
        if not isinstance(data, bytes):
            raise ConnectionError("the server has ended the stream")
        received = _sotw(data) if self.variant == "sotw" else _delta(data)
        self._last[received.type_url] = received
        return received

    async def ack(self, type_url: str, *, nonce: str | None = None) -> None:
        """Accept the last response of a type, or pretend to answer another."""
        await self._answer(type_url, nonce)

    async def nack(self, type_url: str, message: str) -> None:
        """Reject the last response of a type."""
        await self._answer(type_url, None, error_detail=status_pb2.Status(code=3, message=message))

    async def have(self, type_url: str, *names: str) -> Received:
        """Ask for names (none: everything), take the answer and accept it."""
        await self.subscribe(type_url, *names)
        return await self.take(type_url)

    async def take(self, type_url: str) -> Received:
        """Take the next response and accept it."""
        received = await self.receive(type_url)
        await self.ack(type_url)
        return received

    async def end(self, type_url: str) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the type's stream, on which nothing may come any more, and return how it ended."""
        stream = self.stream(type_url)
        async with asyncio.timeout(PATIENCE):
            with suppress(grpc.aio.AioRpcError):
                assert await stream.read() is grpc.aio.EOF
            return await stream.code(), await stream.details()

    async def _names_as_they_are(self, type_url: str) -> None:
        last = self._last.get(type_url)
        await self.send(
            type_url,
            resource_names=self._names[type_url],
            response_nonce=last.nonce if last else "",
            version_info=last.version if last else "",
        )

    async def _answer(self, type_url: str, nonce: str | None, **fields: Any) -> None:  # what protobuf takes
        last = self._last[type_url]
        nonce = last.nonce if nonce is None else nonce
        if self.variant == "sotw":
            fields |= {"resource_names": self._names.get(type_url, ()), "version_info": last.version}
        await self.send(type_url, response_nonce=nonce, **fields)


def _sotw(data: bytes) -> Received:
    message = discovery_pb2.DiscoveryResponse.FromString(data)
    values = {_name(message.type_url, entry.value): entry.value for entry in message.resources}
    assert {entry.type_url for entry in message.resources} <= {message.type_url}
    return Received(message.type_url, message.nonce, message.version_info, tuple(values), (), values, {})


def _delta(data: bytes) -> Received:
    message = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
    # A heartbeat has no resource.
    assert {entry.resource.type_url for entry in message.resources} <= {message.type_url, ""}
    return Received(
        message.type_url,
        message.nonce,
        message.system_version_info,
        tuple(entry.name for entry in message.resources),
        tuple(message.removed_resources),
        {entry.name: entry.resource.value for entry in message.resources},
        {entry.name: entry.version for entry in message.resources},
        {entry.name: entry.ttl.seconds for entry in message.resources if entry.HasField("ttl")},
    )


def _name(type_url: str, value: bytes) -> str:
    if type_url == ENDPOINT:
        return str(endpoint_pb2.ClusterLoadAssignment.FromString(value).cluster_name)
    kinds: Mapping[str, Any] = {
        CLUSTER: cluster_pb2.Cluster,
        LISTENER: listener_pb2.Listener,
        ROUTE: route_pb2.RouteConfiguration,
        SECRET: secret_pb2.Secret,
    }
    return str(kinds[type_url].FromString(value).name)
