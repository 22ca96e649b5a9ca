"""One ``ClusterLoadAssignment`` a backend (EDS)."""

from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from swarm_xds.model import Backend, Endpoint


def cluster_load_assignment(backend: Backend) -> endpoint_pb2.ClusterLoadAssignment:
    """Return a backend's endpoints; without any, the empty assignment that lets its cluster warm at once."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=backend.name)
    if backend.endpoints:
        message.endpoints.append(
            endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[_lb_endpoint(each) for each in backend.endpoints])
        )
    return message


def _lb_endpoint(endpoint: Endpoint) -> endpoint_components_pb2.LbEndpoint:
    socket = address_pb2.SocketAddress(address=endpoint.address, port_value=endpoint.port)
    address = address_pb2.Address(socket_address=socket)
    return endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=address))
