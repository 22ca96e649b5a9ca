"""All messages of one fleet."""

from dataclasses import dataclass, field
from functools import partial

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.endpoint import cluster_load_assignment
from swarm_xds.translate.https import Chains, challenging_to, ending_to, http3_listener, https_listener, passing
from swarm_xds.translate.listener import listener
from swarm_xds.translate.route import https_route_configurations, route_configuration, virtual_host
from swarm_xds.translate.secret import secret, secrets
from swarm_xds.translate.tracing import collector


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMessages:
    """What one fleet is to have; never changed after it is made.

    Attributes:
        virtual_hosts: Those of plain HTTP in ``routes``, each the same object as before if its part of the model is
            unchanged.
        secure_virtual_hosts: Those over TLS, likewise.
    """

    fleet: str
    virtual_hosts: tuple[route_components_pb2.VirtualHost, ...]
    secure_virtual_hosts: tuple[route_components_pb2.VirtualHost, ...]
    listeners: tuple[listener_pb2.Listener, ...]
    routes: tuple[route_pb2.RouteConfiguration, ...]
    clusters: tuple[cluster_pb2.Cluster, ...]
    endpoints: tuple[endpoint_pb2.ClusterLoadAssignment, ...]
    secrets: tuple[secret_pb2.Secret, ...] = field(repr=False)


def translate(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
    """Return a fleet's messages; those whose part of the model is unchanged are the same objects as before."""
    name = fleet.name
    translated = partial(virtual_host, options=options)
    hosts = memo.each(("host messages", name), options, ((each.host, each) for each in fleet.virtual_hosts), translated)
    answering = ((each.host, each.virtual_host) for each in fleet.secure_hosts if each.tls.certificate is not None)
    secure = memo.each(("secure host messages", name), options, answering, translated)
    plain = memo.keep(("routes", name), (fleet.virtual_hosts, options), partial(route_configuration, hosts, options))
    backends = [(each.name, each) for each in fleet.backends]
    by_eds = [(backend, each) for backend, each in backends if not each.by_name]
    listeners = [memo.keep("listener", options, partial(listener, options))]
    routes = [plain]
    chains = Chains.of(fleet)
    if chains is not None:
        ended = memo.each(("ending", name), options, ((each.host, each) for each in chains.ended), ending_to(options))
        pass_on = partial(passing, options=options)
        passed = memo.each(("passing", name), options, ((each.host, each) for each in chains.passed), pass_on)
        challenges = ((each, each) for each in chains.challenged)
        asked = memo.each(("challenging", name), options, challenges, challenging_to(options))
        make = partial(https_listener, chains.refused, (*ended, *passed, *asked), options)
        listeners.append(memo.keep(("https", name), (chains, options), make))
        http3 = memo.keep(("http3", name), (chains, options), partial(http3_listener, chains, options))
        listeners += [] if http3 is None else [http3]
        served = [each for each in fleet.secure_hosts if each.tls.certificate is not None]
        claimed = fleet.hosts
        about = (
            tuple((each.virtual_host, each.tls.own_connection) for each in served),
            claimed,
            options,
            chains.shared,
        )
        answers = [(each.host, each.tls.own_connection, message) for each, message in zip(served, secure, strict=True)]
        make_routes = partial(https_route_configurations, answers, claimed, options, shared=chains.shared)
        routes += memo.keep(("https routes", name), about, make_routes)
    clusters = memo.each(("clusters", name), options, backends, partial(cluster, options=options))
    if options.tracing is not None:
        clusters = [memo.keep("collector", options, partial(collector, options.tracing)), *clusters]
    return FleetMessages(
        fleet=name,
        virtual_hosts=tuple(hosts),
        secure_virtual_hosts=tuple(secure),
        listeners=tuple(listeners),
        routes=tuple(routes),
        clusters=tuple(clusters),
        endpoints=tuple(memo.each(("endpoints", name), None, by_eds, cluster_load_assignment)),
        secrets=tuple(memo.each(("secrets", name), None, ((each[0], each) for each in secrets(fleet)), secret)),
    )
