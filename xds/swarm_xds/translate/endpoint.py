"""One ``ClusterLoadAssignment`` a backend (EDS)."""

from functools import lru_cache

from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from google.protobuf.any_pb2 import Any

from swarm_xds.model import Backend
from swarm_xds.translate.wire import packed

#: Where the transport socket ``http_11_proxy`` looks for the relay of an endpoint.
_PROXY_ADDRESS = "envoy.http11_proxy_transport_socket.proxy_address"


def cluster_load_assignment(backend: Backend) -> endpoint_pb2.ClusterLoadAssignment:
    """Return a backend's endpoints; without any, the empty assignment that lets its cluster warm at once."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=backend.name)
    if backend.endpoints:
        add = message.endpoints.add().lb_endpoints.add
        for endpoint in backend.endpoints:
            message_endpoint = add()
            address = message_endpoint.endpoint.address.socket_address
            address.address, address.port_value = endpoint.address, endpoint.port
            if endpoint.via:
                relay = message_endpoint.metadata.typed_filter_metadata[_PROXY_ADDRESS]
                relay.CopyFrom(_relay(*endpoint.via))
    return message


@lru_cache(maxsize=4096)
def _relay(address: str, port: int) -> Any:
    socket = address_pb2.SocketAddress(address=address, port_value=port)
    return packed(address_pb2.Address(socket_address=socket))
