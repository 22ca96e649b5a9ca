"""A client that holds every response against what may never be missing: no fault may send it less.

async with witnesses(port, {"shop"}):
    ...  # break things
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from support.xds_client import Client, Received
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE


class Witness:
    """Asks as an Envoy does, over one aggregated stream after the other, and remembers what it has.

    Args:
        port: The server's; it may be away for a while.
        variant: ``sotw`` or ``delta``.
        services: Names of services that always have a route, a cluster and a task.

    Attributes:
        broken: What was sent that should not have been.
        responses: How many responses came.
        streams: How many streams brought one.
    """

    def __init__(self, port: int, variant: str, services: Iterable[str]) -> None:
        self.broken: list[str] = []
        self.responses = 0
        self.streams = 0
        self._port = port
        self._variant = variant
        self._services = frozenset(services)
        self._has: dict[str, dict[str, bytes]] = {CLUSTER: {}, LISTENER: {}, ROUTE: {}, ENDPOINT: {}}
        self._versions: dict[str, dict[str, str]] = {type_url: {} for type_url in self._has}

    def endpoints(self, name: str) -> int:
        """Return how many endpoints of a cluster it has."""
        value = self._has[ENDPOINT].get(name)
        return 0 if value is None else len(_endpoints(value))

    def routes(self) -> set[str]:
        """Return the hosts that it has routes for."""
        return {host for value in self._has[ROUTE].values() for host in _hosts(value)}

    async def run(self) -> None:
        """Go on for ever, with a new stream when one ends."""
        while True:
            try:
                async with Client(self._port, variant=self._variant, node=f"witness-{self._variant}") as client:
                    await self._follow(client)
            except (ConnectionError, asyncio.InvalidStateError):  # the second: written to a stream that has ended
                await asyncio.sleep(0.02)

    async def _follow(self, client: Client) -> None:
        asked: dict[str, set[str]] = {ENDPOINT: set(), ROUTE: set()}
        for type_url in (CLUSTER, LISTENER):
            await client.subscribe(type_url, initial=self._versions[type_url])
        await self._ask_for_parts(client, asked)
        came: set[str] = set()
        while True:
            received = await client.next()
            self.responses += 1
            self.streams += not came
            self._take(received, whole=received.type_url not in came)
            came.add(received.type_url)
            await client.ack(received.type_url)
            await self._ask_for_parts(client, asked)

    async def _ask_for_parts(self, client: Client, asked: dict[str, set[str]]) -> None:
        """Ask for the endpoints of its clusters and the routes of its listeners; at first with what it has of them."""
        tables = {name for value in self._has[LISTENER].values() for name in _tables(value)}
        for type_url, names in ((ENDPOINT, set(self._has[CLUSTER])), (ROUTE, tables)):
            before, versions = asked[type_url], self._versions[type_url]
            for gone in self._has[type_url].keys() - names:
                del self._has[type_url][gone]
                versions.pop(gone, None)
            if new := names - before:
                await client.subscribe(type_url, *sorted(new), initial={} if before else versions)
            if old := before - names:
                await client.unsubscribe(type_url, *sorted(old))
            asked[type_url] = names

    def _take(self, received: Received, *, whole: bool) -> None:
        """Take a response; ``whole`` if it is a stream's first of its type."""
        has, versions = self._has[received.type_url], self._versions[received.type_url]
        if self._variant == "sotw" and received.type_url in (CLUSTER, LISTENER):
            has.clear()
        has.update(received.values)
        versions.update(received.versions)
        for name in received.removed:
            has.pop(name, None)
            versions.pop(name, None)
        kind = received.type_url.rpartition(".")[2]
        if missing := self._missing(received):
            self.broken.append(f"{self._variant} response {self.responses}, {kind}, first: {whole}: {sorted(missing)}")

    def _missing(self, received: Received) -> set[str]:
        has = self._has[received.type_url]
        if received.type_url == CLUSTER:
            return set(self._services - has.keys())
        if received.type_url == LISTENER:
            return set() if has else {"every listener"}
        if received.type_url == ROUTE:
            hosts = {f"{name}.example.org" for name in self._services}
            return {host for value in has.values() for host in hosts - _hosts(value)}
        told = received.values.keys() | set(received.removed)
        return {name for name in self._services & told if not self.endpoints(name)}


@asynccontextmanager
async def witnesses(port: int, services: Iterable[str]) -> AsyncIterator[tuple[Witness, Witness]]:
    """Have two of them follow a server, one of each variant; nothing may ever be missing in what they are sent."""
    both = Witness(port, "sotw", services), Witness(port, "delta", services)
    tasks = [asyncio.create_task(each.run()) for each in both]
    try:
        yield both
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    for each in both:
        assert not each.broken, each.broken[:5]
        assert each.responses


async def until(fact: Callable[[], object], seconds: float = 30) -> None:
    """Wait for a fact that is made in another task or thread."""
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.01)


def _endpoints(value: bytes) -> list[object]:
    message = endpoint_pb2.ClusterLoadAssignment.FromString(value)
    return [each for locality in message.endpoints for each in locality.lb_endpoints]


def _hosts(value: bytes) -> set[str]:
    return {domain for host in route_pb2.RouteConfiguration.FromString(value).virtual_hosts for domain in host.domains}


def _tables(value: bytes) -> set[str]:
    """Return the route tables that a listener asks for."""
    listener = listener_pb2.Listener.FromString(value)
    found = set()
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for each in chain.filters:
            manager = hcm_pb2.HttpConnectionManager()
            if each.typed_config.Unpack(manager):
                found.add(manager.rds.route_config_name)
    return found
