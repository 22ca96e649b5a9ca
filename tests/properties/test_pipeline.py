"""What holds for every swarm and every label, tried with many."""

import random
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from hypothesis import given
from hypothesis import strategies as st

from support.certificates import authority
from support.swarms import LABELS, NETWORKS, NODES, changes, swarms
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.values import Certificates
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet, RoutingModel
from swarm_xds.networks.home import RelayOptions
from swarm_xds.networks.plan import NetworkOptions
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Kind, Problem
from swarm_xds.snapshot import ADS_ORDER, CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from swarm_xds.swarm import Service, SwarmState, Task

T = TypeVar("T")

KINDS = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    LISTENER: listener_pb2.Listener,
    ROUTE: route_pb2.RouteConfiguration,
    SECRET: secret_pb2.Secret,
}


CA = authority()


def _certificates() -> Certificates:
    """Return what the labels may name, and what names hosts that no label has a certificate for."""
    site, net = CA.issue("app.example.org", "www.example.org"), CA.issue("*.example.net")
    files = {"site.crt": site.cert, "site.key": site.key, "wild.pem": CA.issue("*.example.org").pair}
    files |= {"clients.pem": CA.cert, "lost.crt": CA.issue("app.example.org").cert}
    checked = {name: read(name, content) for name, content in (files | {"net.pem": net.pair}).items()}
    made = hold(Held(), checked, time.time()).certificates
    return replace(made, certificates=tuple(each for each in made.certificates if each.name == "net.pem"))


CERTIFICATES = _certificates()


def pipeline() -> Pipeline:
    """Return a pipeline that remembers nothing yet."""
    return Pipeline(EdgeOptions(), "default", NetworkOptions(relay=RelayOptions(image="edge:1")))


def bytes_of(build: Build) -> dict[tuple[str, str, str], bytes]:
    """Return every resource of every fleet."""
    return {
        (fleet, type_url, name): resource.value
        for fleet, snapshot in build.snapshots.fleets.items()
        for type_url in ADS_ORDER
        for name, resource in snapshot.of(type_url).items()
    }


@given(swarms())
def test_no_label_is_too_much(state: SwarmState) -> None:
    """Nothing raises, everything parses, and every problem is one line that can be printed."""
    build = pipeline().build(state, (), CERTIFICATES)
    assert build.broken == ()
    assert not [problem for problem in build.problems if problem.kind is Kind.NOT_TRANSLATED]
    for (_, type_url, name), value in bytes_of(build).items():
        message = KINDS[type_url].FromString(value)
        assert getattr(message, "name", "") == name or message.cluster_name == name
    for problem in build.problems:
        line = str(problem)
        assert line.isprintable()
        assert len(line) < 2_000
        assert problem.service in {service.name for service in (*state.services, *state.fleet_services)}


@given(swarms(), st.randoms(use_true_random=False))
def test_order_changes_nothing(state: SwarmState, chance: random.Random) -> None:
    """Services, labels, tasks, networks and nodes in any order come to the same bytes and the same problems."""

    def shuffled(values: Iterable[T]) -> tuple[T, ...]:
        listed = list(values)
        chance.shuffle(listed)
        return tuple(listed)

    services = [
        replace(each, labels=shuffled(each.labels), tasks=shuffled(each.tasks), network_ids=shuffled(each.network_ids))
        for each in state.services
    ]
    other = replace(state, services=shuffled(services), networks=shuffled(state.networks), nodes=shuffled(state.nodes))
    assert bytes_of(pipeline().build(state, (), CERTIFICATES)) == bytes_of(pipeline().build(other, (), CERTIFICATES))
    assert pipeline().build(state, (), CERTIFICATES).problems == pipeline().build(other, (), CERTIFICATES).problems
    assert pipeline().build(state, (), CERTIFICATES).networks == pipeline().build(other, (), CERTIFICATES).networks


def victim(name: str, host: str, path: str = "/") -> Service:
    """Return a service that is served whatever others do, on a host that nobody else names."""
    labels = {"com.docker.lb.hosts": host, "com.docker.lb.port": "80", "com.docker.lb.context_root": path}
    tasks = (Task(id=f"{name}.1", addresses=(("n1", "10.0.9.9"),)),)
    return Service(
        id=name, name=name, created=9, labels=tuple(sorted(labels.items())), network_ids=("n1",), tasks=tasks
    )


VICTIMS = (victim("v1", "victim.example.net"), victim("v2", "victim.example.net", "/x"), victim("v3", "v.example.net"))


def served(model: RoutingModel) -> tuple[object, ...]:
    """Return what is served of the victims."""
    default: Fleet = next(fleet for fleet in model.fleets if fleet.name == "default")
    names = {each.name for each in VICTIMS}
    hosts = [each for each in default.virtual_hosts if each.host.endswith(".example.net")]
    secure = [each for each in default.secure_hosts if each.host.endswith(".example.net")]
    return (hosts, secure, [each for each in default.backends if each.service in names])


ALONE = SwarmState(services=VICTIMS, networks=NETWORKS, nodes=NODES)


@given(swarms())
def test_no_service_changes_the_route_of_another(state: SwarmState) -> None:
    """Whatever the labels of others are, these services are served as if they were alone."""
    together = replace(state, services=(*state.services, *VICTIMS), fleet_networks=None, fleet_services=())
    problems: tuple[Problem, ...]
    build = pipeline().build(together, (), CERTIFICATES)
    assert served(build.model) == served(pipeline().build(ALONE, (), CERTIFICATES).model)
    problems = tuple(problem for problem in build.problems if problem.service in {"v1", "v2", "v3"})
    assert not problems


@given(st.data())
def test_what_is_remembered_makes_no_difference(data: st.DataObject) -> None:
    """After any changes, a pipeline comes to what one comes to that makes everything anew each time."""
    warm, cold = pipeline(), pipeline()
    state = data.draw(swarms(3))
    for _ in range(4):
        cold._memo = Memo()
        builds = warm.build(state, (), CERTIFICATES), cold.build(state, (), CERTIFICATES)
        assert bytes_of(builds[0]) == bytes_of(builds[1])
        assert builds[0].problems == builds[1].problems
        assert builds[0].model == builds[1].model
        assert builds[0].networks == builds[1].networks
        state = data.draw(changes(state))


@given(LABELS)
def test_bad_labels_keep_the_last_good_form_or_leave_it_out(labels: dict[str, str]) -> None:
    """After any change of labels a route is what the new ones say, or what it was, or gone; and it recovers."""
    service = VICTIMS[0]
    kept = pipeline()
    before = kept.build(ALONE, (), CERTIFICATES).model
    bad = replace(service, labels=tuple(sorted((dict(service.labels) | labels).items())))
    state = replace(ALONE, services=(bad, *VICTIMS[1:]))
    routes = by_path(kept.build(state, (), CERTIFICATES).model)
    fresh = by_path(pipeline().build(state, (), CERTIFICATES).model)
    old = by_path(before)
    for place, route in routes.items():
        assert route in (fresh.get(place), old.get(place))
    assert kept.build(ALONE, (), CERTIFICATES).model == before


def by_path(model: RoutingModel) -> dict[tuple[str, str, str], object]:
    """Return each route by fleet, host and path."""
    return {
        (fleet.name, host.host, route.path): route
        for fleet in model.fleets
        for host in fleet.virtual_hosts
        for route in host.routes
    } | {
        (fleet.name, f"https://{host.host}", route.path): route
        for fleet in model.fleets
        for host in fleet.secure_hosts
        for route in host.virtual_host.routes
    }
