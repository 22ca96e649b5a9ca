"""One ``ClusterLoadAssignment`` a backend (EDS)."""

from envoy.config.endpoint.v3 import endpoint_pb2

from swarm_xds.model import Backend


def cluster_load_assignment(backend: Backend) -> endpoint_pb2.ClusterLoadAssignment:
    """Return a backend's endpoints; without any, the empty assignment that lets its cluster warm at once."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=backend.name)
    if backend.endpoints:
        add = message.endpoints.add().lb_endpoints.add
        for endpoint in backend.endpoints:
            address = add().endpoint.address.socket_address
            address.address, address.port_value = endpoint.address, endpoint.port
    return message
