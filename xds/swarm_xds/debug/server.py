"""The listener of the debug API: a socket, health and reflection around its services."""

from collections.abc import Callable

import grpc
from envoy.service.status.v3 import csds_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from swarm_xds.debug import csds, service
from swarm_xds.debug.csds import ClientStatus
from swarm_xds.debug.operators import Guard, Stranger
from swarm_xds.debug.service import Debug, Probe
from swarm_xds.debug.v1 import debug_pb2_grpc
from swarm_xds.observe import Record
from swarm_xds.server import AddressError, Limits

#: Largest request in bytes: a plan of some thousand services.
_REQUEST_BYTES = 16 * 1024 * 1024
_LIMITS = Limits()


class DebugServer:
    """Serves the debug API and CSDS.

    Args:
        record: What is known.
        probe: What is asked beside it.
        address: ``host:port``; port 0 for any that is free.
        credentials: Mutual TLS: only operators are answered (see ``operators``); ``None`` for plain text, where
            whoever reaches the port is.
        refused: Is told of each call of somebody who is none.
    """

    def __init__(
        self,
        record: Record,
        probe: Probe,
        address: str,
        *,
        credentials: grpc.ServerCredentials | None = None,
        refused: Callable[[Stranger], None] = lambda _: None,
    ) -> None:
        self._services = Debug(record, probe), ClientStatus(record)
        self._address = address
        self._credentials = credentials
        self._refused = refused
        self._server: grpc.aio.Server | None = None

    @property
    def operators_only(self) -> bool:
        """Whether it is encrypted and asks who comes."""
        return self._credentials is not None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            AddressError: The address is taken, or is none of this host's.
        """
        server = grpc.aio.server(
            interceptors=[Guard(self._refused)] if self._credentials else [],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _REQUEST_BYTES),
                ("grpc.max_send_message_length", -1),
                # Whoever watches and vanishes without a word must not be kept for ever.
                ("grpc.keepalive_time_ms", int(_LIMITS.keepalive_time * 1000)),
                ("grpc.keepalive_timeout_ms", int(_LIMITS.keepalive_timeout * 1000)),
            ],
        )
        debug, status = self._services
        debug_pb2_grpc.add_DebugServicer_to_server(debug, server)
        csds_pb2_grpc.add_ClientStatusDiscoveryServiceServicer_to_server(status, server)
        healthy = health.aio.HealthServicer()  # type: ignore[attr-defined] # set at import, unseen by mypy
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        names = (service.NAME, csds.NAME)
        for name in names:
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            if self._credentials:
                port = server.add_secure_port(self._address, self._credentials)
            else:
                port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise AddressError(self._address, str(error)) from error
        await server.start()
        self._server = server
        return int(port)

    async def stop(self) -> None:
        """End all calls and stop listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
