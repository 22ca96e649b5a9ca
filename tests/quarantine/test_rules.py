"""What breaks a rule is held back before it is published, by the same steps as what an Envoy rejects."""

from dataclasses import replace
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2

from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Kind
from swarm_xds.quarantine import Quarantine, Rejection, Suspect
from swarm_xds.snapshot import CLUSTER
from swarm_xds.swarm import Network, Service, SwarmState, Task
from swarm_xds.translate import FleetMessages, translate

#: A number of failures, a path and a port of the edge that are against a rule in these tests.
BAD, BAD_PATH, BAD_PORT = "13", "/bad", 13


def service(name: str, created: float = 0, **labels: str) -> Service:
    """Return a service for a host of its name, or what its labels say."""
    every = {"xds.port": "80", "xds.hosts": f"{name}.example.org"} | {
        f"xds.{key}": each for key, each in labels.items()
    }
    tasks = (Task(id=name, addresses=(("n1", "10.0.0.1"),)),)
    return Service(
        id=name, name=name, created=created, labels=tuple(sorted(every.items())), network_ids=("n1",), tasks=tasks
    )


def spoiling(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
    """Translate, and break rules where that is asked for."""
    messages = translate(fleet, options, memo)

    def spoilt(message: Any) -> Any:
        copy = type(message)()
        copy.CopyFrom(message)
        if isinstance(copy, cluster_pb2.Cluster) and copy.outlier_detection.consecutive_5xx.value == int(BAD):
            copy.connect_timeout.seconds = -1
        if isinstance(copy, route_components_pb2.VirtualHost):
            for route in copy.routes:
                if route.match.path_separated_prefix == BAD_PATH:
                    route.route.cluster_not_found_response_code = 9
        if isinstance(copy, listener_pb2.Listener) and options.http_port == BAD_PORT:
            copy.filter_chains[0].filters[0].name = ""
        return copy

    kinds = ("clusters", "virtual_hosts", "listeners")
    return replace(messages, **{kind: tuple(map(spoilt, getattr(messages, kind))) for kind in kinds})


class Place:
    """A control plane up to what it publishes."""

    def __init__(self, http_port: int = 80) -> None:
        self.quarantine = Quarantine()
        self._pipeline = Pipeline(EdgeOptions(http_port=http_port), "default", translator=spoiling)
        self.build: Build

    def read(self, *services: Service, accepted: bool = True) -> dict[str, Any]:
        """Publish what is read, and return problems' reasons by service."""
        networks = (Network(id="n1", name="front"),)
        given = SwarmState(services=tuple(sorted(services, key=lambda each: each.id)), networks=networks)
        for _ in range(10):
            state = self.quarantine.apply(given)
            self.build = self._pipeline.build(state)
            if not self.quarantine.broken(self.build.broken, self.build.model):
                break
        else:
            pytest.fail("it never ends")
        self.quarantine.built(state, self.build.model, self.build.snapshots)
        if accepted:
            self.quarantine.answered("e1", "", self.build.snapshots.of("").version, frozenset())
        told = self.quarantine.problems()
        assert {each.kind for each in told} <= {Kind.REJECTED}
        return {each.service: each.reason for each in told}

    def hosts(self) -> set[str]:
        """Return the hosts that are served, by their first label."""
        return {host.host.partition(".")[0] for host in self.build.model.fleets[0].virtual_hosts}


def test_it_goes_back_to_its_last_accepted_form_until_it_is_mended() -> None:
    """With the field, the rule and the value in the problem."""
    place = Place()
    assert place.read(service("a"), service("b")) == {}
    before = place.build.snapshots.of("").of(CLUSTER)
    told = place.read(service("a", max_fails=BAD), service("b", hosts="new.example.org"))
    assert told == {
        "a": 'the Cluster for fleet "default" breaks a rule of Envoy\'s API: a: connect_timeout="-0.5s" is against '
        "duration.gt 0s; the service is still served in its last accepted form"
    }
    assert place.hosts() == {"a", "new"}
    assert place.build.snapshots.of("").of(CLUSTER)["a"] == before["a"]
    assert place.build.broken == ()
    assert place.read(service("a", max_fails="2"), service("b")) == {}


def test_a_new_one_is_left_out_and_so_is_one_whose_earlier_form_is_broken_too() -> None:
    """Of several at once, each."""
    place = Place()
    told = place.read(service("a", max_fails=BAD), service("b"), service("c", max_fails=BAD))
    assert told.keys() == {"a", "c"}
    assert place.hosts() == {"b"}
    assert all(reason.endswith("; the service is left out") for reason in told.values())


def test_of_a_route_that_several_share_the_one_that_changed_goes_back() -> None:
    """Its options hold for the route, or it would not have become what it is."""
    place = Place()
    one, other = service("a", 1, hosts="x.example.org"), service("b", 2, hosts="x.example.org", path="/b")
    place.read(one, other)
    told = place.read(one, replace(other, labels=service("b", hosts="x.example.org", path=BAD_PATH).labels))
    assert told.keys() == {"b"}
    assert [route.path for route in place.build.model.fleets[0].virtual_hosts[0].routes] == ["/b", "/"]


def test_what_is_nobodys_is_told_and_published() -> None:
    """An Envoy takes what else there is."""
    place = Place(http_port=BAD_PORT)
    told = place.read(service("a"))
    assert told.keys() == {""}
    assert told[""].endswith('is to blame: http: filter_chains[0].filters[0].name="" is against string.min_len')
    assert place.hosts() == {"a"}
    assert len(place.build.broken) == 1


def test_a_question_to_an_envoy_is_not_forgotten_for_it() -> None:
    """Another's broken rule is no answer to it."""
    place = Place()
    place.read(service("a"), service("b"))
    changed = [service("a", max_fails="2"), service("b", max_fails="3")]
    place.read(*changed, accepted=False)
    clusters = place.build.snapshots.of("").of(CLUSTER)
    suspects = tuple(Suspect(name, clusters[name].version) for name in "ab")
    assert place.quarantine.rejected(Rejection(node="e1", fleet="", type_url=CLUSTER, message="no", suspects=suspects))
    (held,) = place.quarantine.held
    place.read(*changed, service("c", max_fails=BAD), accepted=False)
    assert place.quarantine.held == {held, "c"}
