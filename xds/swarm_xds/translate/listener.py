"""The plain HTTP ``Listener`` of a fleet (LDS); its routes come by RDS, never inside it."""

from envoy.config.core.v3 import address_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.model import EdgeOptions
from swarm_xds.translate.cluster import BUFFER_LIMIT
from swarm_xds.translate.connection_manager import connection_manager
from swarm_xds.translate.names import HTTP


def listener(options: EdgeOptions) -> listener_pb2.Listener:
    """Return the plain HTTP listener."""
    manager = connection_manager(options, HTTP, HTTP)
    return listener_pb2.Listener(
        name=HTTP,
        address=address(options, options.http_port),
        filter_chains=[listener_components_pb2.FilterChain(filters=[manager])],
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_LIMIT),
    )


def address(options: EdgeOptions, port: int) -> address_pb2.Address:
    """Return where a TCP listener listens."""
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=options.address, port_value=port))
