"""One complete Envoy configuration without a control plane: for looking at, validating, and the worst day."""

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2

from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.translate.bootstrap import admin
from swarm_xds.translate.fleet import translate
from swarm_xds.translate.listener import listener


def static(fleet: Fleet, options: EdgeOptions, admin_port: int) -> bootstrap_pb2.Bootstrap:
    """Return a configuration that serves the same routes as the fleet's snapshot, with its endpoints as they are."""
    messages = translate(fleet, options, Memo())
    (routes,) = messages.routes
    assignments = {assignment.cluster_name: assignment for assignment in messages.endpoints}
    clusters = []
    for dynamic in messages.clusters:
        cluster = cluster_pb2.Cluster()
        cluster.CopyFrom(dynamic)
        if cluster.type == cluster_pb2.Cluster.EDS:
            cluster.ClearField("eds_cluster_config")
            cluster.type = cluster_pb2.Cluster.STATIC
            cluster.load_assignment.CopyFrom(assignments[cluster.name])
        clusters.append(cluster)
    resources = bootstrap_pb2.Bootstrap.StaticResources(listeners=[listener(options, routes)], clusters=clusters)
    return bootstrap_pb2.Bootstrap(static_resources=resources, admin=admin(admin_port))
