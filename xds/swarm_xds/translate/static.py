"""One complete Envoy configuration without a control plane: for looking at, validating, and the worst day."""

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2

from swarm_xds.memo import Memo
from swarm_xds.model import Backend, EdgeOptions, Fleet
from swarm_xds.translate.bootstrap import admin
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.endpoint import cluster_load_assignment
from swarm_xds.translate.fleet import translate
from swarm_xds.translate.https import Chains, challenging_to, ending_to, http3_listener, https_listener, passing
from swarm_xds.translate.listener import listener
from swarm_xds.translate.names import HTTP
from swarm_xds.translate.tracing import collector


def static(fleet: Fleet, options: EdgeOptions, admin_port: int) -> bootstrap_pb2.Bootstrap:
    """Return a configuration that serves the same routes as the fleet's snapshot, with its endpoints as they are.

    It has the private keys inside: ``redacted`` takes them out of a secret that is to be looked at only.
    """
    messages = translate(fleet, options, Memo())
    routes = {each.name: each for each in messages.routes}
    resources = bootstrap_pb2.Bootstrap.StaticResources(
        listeners=sorted(_listeners(fleet, options, routes), key=lambda each: str(each.name)),
        clusters=[
            *([] if options.tracing is None else [collector(options.tracing)]),
            *(_cluster(backend, options) for backend in fleet.backends),
        ],
        secrets=sorted(messages.secrets, key=lambda secret: str(secret.name)),
    )
    return bootstrap_pb2.Bootstrap(static_resources=resources, admin=admin(admin_port))


def _listeners(
    fleet: Fleet, options: EdgeOptions, routes: dict[str, route_pb2.RouteConfiguration]
) -> list[listener_pb2.Listener]:
    listeners = [listener(options, routes[HTTP])]
    chains = Chains.of(fleet)
    if chains is not None:
        made = (
            *map(ending_to(options, routes), chains.ended),
            *(passing(each, options) for each in chains.passed),
            *map(challenging_to(options, static=True), chains.challenged),
        )
        listeners.append(https_listener(chains.refused, made, options))
        http3 = http3_listener(chains, options, routes)
        listeners += [] if http3 is None else [http3]
    return listeners


def _cluster(backend: Backend, options: EdgeOptions) -> cluster_pb2.Cluster:
    message = cluster(backend, options, static=True)
    if message.type == cluster_pb2.Cluster.EDS:
        message.ClearField("eds_cluster_config")
        message.type = cluster_pb2.Cluster.STATIC
        message.load_assignment.CopyFrom(cluster_load_assignment(backend))
    return message
