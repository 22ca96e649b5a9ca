"""The server: a socket, health, reflection and keepalive around the discovery services.

In: a publisher, an address, limits. Out: a bound port. It must not know the protocol on the streams.
"""

import asyncio
from collections.abc import Callable

import grpc
from envoy.service.discovery.v3 import ads_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from swarm_xds.server.limits import Limits
from swarm_xds.server.observer import Observer, SilentObserver
from swarm_xds.server.publisher import Publisher
from swarm_xds.server.services import SERVICES, Services

_ADS = ads_pb2.DESCRIPTOR.services_by_name["AggregatedDiscoveryService"].full_name


class AddressError(Exception):
    """The server cannot listen where it should.

    Attributes:
        address: As it was asked for, ``host:port``.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address


class XdsServer:
    """Serves a publisher's snapshots to Envoy and to other xDS clients.

    Health (``grpc.health.v1``) is NOT_SERVING until the first publication and again from ``stop`` on, both for the
    whole server and for the aggregated discovery service.

    Args:
        publisher: What to serve.
        address: ``host:port``; port 0 for any that is free.
        observer: Is told what happens on the streams.
        limits: Times and sizes.
        credentials: Mutual TLS: a client is served the fleet that its certificate names (see ``certificates``);
            ``None`` for plain text, where each says itself which fleet it is.
        authorities: Returns who vouches for clients from the next handshake on, or ``None`` for who did before. When
            that changes, all streams end, and who is still vouched for comes back.
        identifier: Name of this replica, which Envoy shows in its ``control_plane.identifier`` statistic.
    """

    def __init__(
        self,
        publisher: Publisher,
        address: str,
        observer: Observer | None = None,
        limits: Limits | None = None,
        *,
        credentials: grpc.ServerCredentials | None = None,
        authorities: Callable[[], bytes | None] | None = None,
        identifier: str = "",
    ) -> None:
        self._publisher = publisher
        self._address = address
        self._observer = observer or SilentObserver()
        self._limits = limits or Limits()
        self._credentials = credentials
        self._authorities = authorities
        self._identifier = identifier
        self._server: grpc.aio.Server | None = None
        self._services: Services | None = None
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined] # set at import, unseen by mypy
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            AddressError: The address is taken, or is none of this host's.
        """
        clock = asyncio.get_running_loop().time
        self._services = Services(
            self._publisher,
            self._observer,
            self._limits,
            clock=clock,
            identifier=self._identifier,
            certified=self._credentials is not None,
        )
        options = _options(self._limits, certified=self._credentials is not None)
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers(self._services.handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            if self._credentials:
                port = server.add_secure_port(self._address, self._credentials)
            else:
                port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise AddressError(self._address, str(error)) from error
        await self._set_health(serving=False)
        await server.start()
        self._server = server
        self._tasks = [asyncio.create_task(self._serve_when_published(), name="xds-readiness")]
        if self._authorities is not None:
            following = self._follow(self._services, self._authorities)
            self._tasks.append(asyncio.create_task(following, name="xds-authorities"))
        return int(port)

    async def stop(self, grace: float = 2.0) -> None:
        """End all streams, one after the other, and stop listening.

        Args:
            grace: Seconds that a client has to take what is being written to it before its stream is cut off.
        """
        if self._server is None or self._services is None:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._set_health(serving=False)
        await self._services.close()
        await self._server.stop(grace)
        self._server = None

    async def _serve_when_published(self) -> None:
        await self._publisher.published()
        await self._set_health(serving=True)

    async def _follow(self, services: Services, authorities: Callable[[], bytes | None]) -> None:
        """End streams whose clients were vouched for by others than now."""
        known = await asyncio.to_thread(authorities)
        while True:
            await asyncio.sleep(self._limits.authorities)
            found = await asyncio.to_thread(authorities)
            if found is None or found == known:
                continue
            known = found
            # By then every connection from before takes no new stream; gRPC spreads their ages by a tenth.
            await asyncio.sleep(self._limits.connection_age * 1.2)
            await services.end_streams()

    async def _set_health(self, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for service in (health.OVERALL_HEALTH, _ADS):
            await self._health.set(service, status.SERVING if serving else status.NOT_SERVING)


def _options(limits: Limits, *, certified: bool) -> list[tuple[str, int]]:
    """Return gRPC's channel arguments (https://grpc.github.io/grpc/core/group__grpc__arg__keys.html)."""
    return [
        # Two servers on one port would each get some of the clients: a taken port must be an error.
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", limits.streams_per_connection),
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.max_send_message_length", -1),
        # gRPC's default calls pings more often than each 300 s abuse and closes the connection with "too_many_pings".
        ("grpc.http2.min_ping_interval_without_data_ms", int(limits.ping_interval * 1000)),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", int(limits.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout * 1000)),
        # Without a grace period: the client is only told to open its next stream on another connection.
        *([("grpc.max_connection_age_ms", int(limits.connection_age * 1000))] if certified else []),
    ]
