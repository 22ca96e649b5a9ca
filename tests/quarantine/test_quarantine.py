"""The quarantine against Envoys that reject this and that: in the end exactly the culprits are held back."""

from dataclasses import dataclass, field

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Kind, Severity
from swarm_xds.quarantine import Quarantine, Rejection, Suspect
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from swarm_xds.swarm import Network, Service, SwarmState, Task

HOSTS, MAX_FAILS = "com.docker.lb.hosts", "com.docker.lb.max_fails"
#: What the Envoys of these tests reject: a number of failures, and hosts with a word in them.
BAD_NUMBER, BAD_WORD = 13, "bad"


def service(name: str, tasks: int = 1, **labels: str) -> Service:
    """Return a service for a host of its name, or what its labels say."""
    every = {"com.docker.lb.port": "80", HOSTS: f"{name}.example.org"} | {
        {"hosts": HOSTS, "max_fails": MAX_FAILS}[key]: value for key, value in labels.items()
    }
    running = tuple(Task(id=f"{name}{n}", addresses=(("n1", f"10.0.0.{n}"),)) for n in range(tasks))
    return Service(id=name, name=name, labels=tuple(sorted(every.items())), network_ids=("n1",), tasks=running)


def bad(resource: Resource, type_url: str) -> bool:
    """Whether the Envoys reject a resource."""
    if type_url == CLUSTER:
        message = cluster_pb2.Cluster.FromString(resource.value)
        return bool(message.outlier_detection.consecutive_5xx.value == BAD_NUMBER)
    return type_url == ROUTE and f"{BAD_WORD}-".encode() in resource.value


@dataclass(slots=True)
class Envoy:
    """Takes a type's changes whole or not at all.

    Attributes:
        tells: Whether it names what it rejects.
        picky: Names of clusters that it rejects though others do not.
    """

    node: str
    tells: bool = False
    picky: frozenset[str] = frozenset()
    has: dict[str, dict[str, str]] = field(default_factory=lambda: {CLUSTER: {}, ENDPOINT: {}, ROUTE: {}})
    refused: dict[str, object] = field(default_factory=dict)


class Story:
    """A control plane without a network: readings in, verdicts of Envoys until nothing changes any more."""

    def __init__(self, *envoys: Envoy) -> None:
        self.envoys = list(envoys)
        self.quarantine = Quarantine()
        self.builds = 0
        self._pipeline = Pipeline(EdgeOptions(), "default")
        self._state = SwarmState()
        self.build: Build

    def read(self, *services: Service) -> Build:
        """Let the swarm be these services, and return what is served when all have answered."""
        self._state = SwarmState(
            services=tuple(sorted(services, key=lambda each: each.id)), networks=(Network(id="n1", name="front"),)
        )
        self._publish()
        self.settle()
        return self.build

    def settle(self) -> None:
        """Let every Envoy answer until nothing is built anew."""
        while any(self._answer(envoy) for envoy in self.envoys):
            assert self.builds < 500, "it never ends"

    def _publish(self) -> None:
        self.builds += 1
        state = self.quarantine.apply(self._state)
        self.build = self._pipeline.build(state, self.quarantine.problems())
        self.quarantine.built(state, self.build.model, self.build.snapshots)

    def _answer(self, envoy: Envoy) -> bool:
        snapshot, rejected = self.build.snapshots.of(""), set()
        for type_url, has in envoy.has.items():
            resources = snapshot.of(type_url)
            changed = [each for each in resources.values() if has.get(each.name) != each.version]
            guilty = [each for each in changed if bad(each, type_url) or each.name in envoy.picky]
            if not guilty:
                envoy.has[type_url] = {each.name: each.version for each in resources.values()}
                envoy.refused.pop(type_url, None)
                continue
            rejected.add(type_url)
            if envoy.refused.get(type_url) == changed:
                continue
            envoy.refused[type_url] = changed
            suspects = tuple(Suspect(each.name, each.version, has.get(each.name, "")) for each in changed)
            message = f"cluster {guilty[0].name}: no" if envoy.tells and type_url == CLUSTER else "no"
            if self.quarantine.rejected(
                Rejection(node=envoy.node, fleet="", type_url=type_url, message=message, suspects=suspects)
            ):
                self._publish()
                return True
        if self.quarantine.answered(envoy.node, "", snapshot.version, frozenset(rejected)):
            self._publish()
            return True
        return False

    def hosts(self) -> set[str]:
        """Return the hosts that are served."""
        (fleet,) = self.build.model.fleets
        return {host.host.partition(".")[0] for host in fleet.virtual_hosts}

    def told(self) -> set[str]:
        """Return the services that a rejection is put down to."""
        return {each.service for each in self.build.problems if each.kind is Kind.REJECTED}


@pytest.mark.parametrize("tells", [False, True])
def test_the_culprit_among_many_new_services_is_left_out(tells: bool) -> None:
    """With words at once, without in a number of steps that grows with the logarithm."""
    story = Story(Envoy("e1", tells))
    names = [f"s{number:02}" for number in range(32)]
    story.read(*(service(name, **({"max_fails": "13"} if name == "s17" else {})) for name in names))
    assert story.told() == {"s17"}
    assert story.hosts() == set(names) - {"s17"}
    assert story.builds <= (4 if tells else 9)


def test_the_culprit_is_told_with_its_label_and_envoys_words() -> None:
    """So that somebody can mend it."""
    story = Story(Envoy("e1"))
    story.read(service("a"), service("b"))
    story.read(service("a", max_fails="13"), service("b"))
    (problem,) = story.build.problems
    assert problem.severity is Severity.ERROR
    assert (problem.service, problem.label, problem.value) == ("a", MAX_FAILS, "13")
    assert 'proxy "e1"' in problem.reason
    assert "rejects the Cluster: no; the service is still served in its last accepted form" in problem.reason


@pytest.mark.parametrize(
    "labels",
    [pytest.param({"max_fails": "13"}, id="cluster"), pytest.param({"hosts": "bad-a.example.org"}, id="route")],
)
def test_it_goes_back_to_its_last_accepted_form_until_it_is_mended(labels: dict[str, str]) -> None:
    """With the tasks of today; and a mended one is taken at once."""
    story = Story(Envoy("e1"))
    story.read(service("a"), service("b"), service("c"))
    before = story.build.snapshots.of("").of(CLUSTER)
    story.read(service("a", **labels), service("b", max_fails="2"), service("c", hosts="new.example.org"))
    assert story.told() == {"a"}
    assert story.hosts() == {"a", "b", "new"}
    assert story.build.snapshots.of("").of(CLUSTER)["a"] == before["a"]
    story.read(service("a", tasks=3, **labels), service("b"), service("c"))
    (backend,) = [each for each in story.build.model.fleets[0].backends if each.service == "a"]
    assert len(backend.endpoints) == 3
    assert story.told() == {"a"}
    story.read(service("a", hosts="mended.example.org"), service("b"), service("c"))
    assert story.told() == set()
    assert story.hosts() == {"mended", "b", "c"}


def test_a_service_that_goes_away_takes_its_problem_along() -> None:
    """And one that comes back in the same form is judged anew."""
    story = Story(Envoy("e1"))
    story.read(service("a"), service("b", max_fails="13"))
    assert story.told() == {"b"}
    story.read(service("a"))
    assert story.told() == set()
    story.read(service("a"), service("b", max_fails="13"))
    assert story.told() == {"b"}


def test_a_replica_that_no_envoy_asked_goes_back_to_what_it_published() -> None:
    """When Envoys come to it after another one is gone, the form that it served before is better than none."""
    story = Story()
    story.read(service("a"), service("b"))
    story.read(service("a", hosts="bad-a.example.org"), service("b"))
    story.envoys.append(Envoy("e1"))
    story.settle()
    assert story.told() == {"a"}
    assert story.hosts() == {"a", "b"}


def test_after_a_restart_nothing_is_taken_away_on_a_guess() -> None:
    """The Envoy serves what this control plane never built: it keeps that, and the problem says that it does."""
    envoy = Envoy("e1")
    story = Story(envoy)
    story.read(*(service(f"s{number}") for number in range(8)))
    again = Story(envoy)
    changed = [service(f"s{number}", **({"hosts": "bad-3.example.org"} if number == 3 else {})) for number in range(8)]
    again.read(*changed)
    assert again.told() == {""}
    assert again.builds == 2
    assert len(again.hosts()) == 8
    again.read(*(service(f"s{number}") for number in range(8)))
    assert again.told() == set()


def test_what_others_accept_is_not_held_back_for_one() -> None:
    """An Envoy that rejects what another serves has a problem of its own."""
    story = Story(Envoy("e1"), Envoy("e2", picky=frozenset({"b"})))
    story.read(service("a"), service("b"))
    story.read(service("a", max_fails="2"), service("b", max_fails="2"))
    assert story.hosts() == {"a", "b"}
    assert story.told() == {""}
    story.envoys[1].picky = frozenset()
    story.envoys[1].refused.clear()
    story.settle()
    assert story.told() == set()


def test_an_envoy_that_goes_away_on_trial_leaves_the_verdict_to_others() -> None:
    """Else a service would be held back for ever for want of an answer."""
    story = Story(Envoy("e1"))
    story.read(service("a"), service("b"))
    (gone,) = story.envoys
    story.envoys.clear()
    story.read(service("a", max_fails="13"), service("b", max_fails="3"))
    resources = story.build.snapshots.of("").of(CLUSTER)
    suspects = tuple(Suspect(name, resources[name].version, gone.has[CLUSTER][name]) for name in "ab")
    assert story.quarantine.rejected(Rejection(node="e1", fleet="", type_url=CLUSTER, message="no", suspects=suspects))
    story._publish()
    assert len(story.quarantine.held) == 1
    story.quarantine.gone("e1", "")
    story.envoys.append(Envoy("e2"))
    story.settle()
    assert story.told() == {"a"}


def test_rejections_of_the_past_and_of_nothing_are_not_judged() -> None:
    """What was published since answers for itself."""
    quarantine = Quarantine()
    rejection = Rejection(node="e", fleet="", type_url=CLUSTER, message="no", suspects=(Suspect("a", "v"),))
    assert not quarantine.rejected(rejection)
    assert not quarantine.answered("e", "", "v", frozenset())
    story = Story()
    story.read(service("a"), service("b"))
    assert not story.quarantine.rejected(rejection)
    assert not story.quarantine.rejected(Rejection(node="e", fleet="", type_url=CLUSTER, message="no", suspects=()))
    assert story.quarantine.held == frozenset()


def test_what_is_no_services_is_told_and_holds_nobody_back() -> None:
    """A port that is taken is nobody's label."""
    story = Story(Envoy("e1"))
    story.read(service("a"), service("b"))
    (listener,) = story.build.snapshots.of("").of(LISTENER).values()
    rejection = Rejection(
        node="e1", fleet="", type_url=LISTENER, message="port", suspects=(Suspect(listener.name, listener.version),)
    )
    assert story.quarantine.rejected(rejection)
    assert not story.quarantine.rejected(rejection)
    assert story.quarantine.held == frozenset()
    story._publish()
    assert story.told() == {""}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_exactly_the_culprits_are_held_back(data: st.DataObject) -> None:
    """Any number of services, of culprits in clusters and routes at once, and of Envoys with and without words."""
    names = [f"s{number}" for number in range(data.draw(st.integers(1, 10)))]
    known = data.draw(st.sets(st.sampled_from(names)))
    forms = {
        name: data.draw(
            st.sampled_from([{}, {}, {"max_fails": "2"}, {"max_fails": "13"}, {"hosts": f"bad-{name}.x.org"}])
        )
        for name in names
    }
    story = Story(*(Envoy(f"e{number}", data.draw(st.booleans())) for number in range(data.draw(st.integers(1, 3)))))
    story.read(*(service(name) for name in sorted(known)))
    assert story.told() == set()
    story.read(*(service(name, **forms[name]) for name in names))
    culprits = {name for name in names if forms[name].get("max_fails") == "13" or "hosts" in forms[name]}
    assert story.told() == culprits
    assert story.hosts() == (set(names) - culprits) | (known & culprits)
    snapshot = story.build.snapshots.of("")
    for envoy in story.envoys:
        for type_url, has in envoy.has.items():
            assert has == {name: each.version for name, each in snapshot.of(type_url).items()}


def refusal(story: Story, *names: str) -> Rejection:
    """Return a rejection of clusters as they are published now."""
    resources = story.build.snapshots.of("").of(CLUSTER)
    suspects = tuple(Suspect(name, resources[name].version) for name in names)
    return Rejection(node="e1", fleet="", type_url=CLUSTER, message="no", suspects=suspects)


def test_what_is_answered_with_a_rejection_is_not_taken_for_accepted() -> None:
    """Else a culprit would be what others serve as it is, and nobody would be held back."""
    story = Story()
    story.read(service("a"), service("b"))
    version = story.build.snapshots.of("").version
    assert not story.quarantine.answered("e1", "", version, frozenset({CLUSTER}))
    assert story.quarantine.rejected(refusal(story, "a"))
    assert story.quarantine.held == {"a"}


def test_a_trial_that_changes_nothing_for_the_envoy_ends_and_is_not_tried_again() -> None:
    """It answers all of what was built instead, and still does not use what it rejected: that was not the reason."""
    story = Story()
    story.read(service("a"), service("b"))
    assert story.quarantine.rejected(refusal(story, "a", "b"))
    story._publish()
    assert story.quarantine.held == {"a"}
    version = story.build.snapshots.of("").version
    assert story.quarantine.answered("e1", "", version, frozenset({CLUSTER}))
    story._publish()
    assert story.quarantine.held == frozenset()
    assert story.told() == {""}
    assert not story.quarantine.rejected(refusal(story, "a", "b"))
    story.read(service("a", max_fails="2"), service("b"))
    assert story.quarantine.rejected(refusal(story, "a", "b"))
