"""A change that is bad keeps what was good, route by route, and a mended one takes over at once."""

from dataclasses import replace

from swarm_xds.labels import Memory, parse
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet, Forward, RedirectTo, RoutingModel
from swarm_xds.pipeline import Build, Pipeline, Translator
from swarm_xds.problem import Kind
from swarm_xds.swarm import Network, Service, SwarmState, Task
from swarm_xds.translate import FleetMessages, translate

NETWORKS = (Network(id="n1", name="front"), Network(id="n2", name="back"))
HOST, CLIENT_CA = "app.example.org", "xds.route.admin.tls.client_ca"
GOOD = {"com.docker.lb.hosts": "app.example.org", "com.docker.lb.port": "80", "com.docker.lb.network": "front"}


def service(labels: dict[str, str], name: str = "web", tasks: int = 1) -> Service:
    """Return a service on both networks."""
    running = tuple(
        Task(id=f"{name}{index}", addresses=(("n1", f"10.0.1.{index}"), ("n2", f"10.0.2.{index}")))
        for index in range(1, tasks + 1)
    )
    return Service(id=name, name=name, labels=tuple(sorted(labels.items())), network_ids=("n1", "n2"), tasks=running)


def state(*services: Service) -> SwarmState:
    """Return a swarm of services."""
    return SwarmState(services=services, networks=NETWORKS)


def routes(model: RoutingModel) -> dict[str, object]:
    """Return what each host's only route leads to: endpoints, or the target of a redirect."""
    (fleet,) = model.fleets
    backends = {each.name: each for each in fleet.backends}
    found: dict[str, object] = {}
    for host in fleet.virtual_hosts:
        (route,) = host.routes
        if isinstance(route.action, Forward):
            found[host.host + route.path] = [
                f"{each.address}:{each.port}"
                for share in route.action.backends
                for each in backends[share.backend].endpoints
            ]
        elif isinstance(route.action, RedirectTo):
            found[host.host + route.path] = route.action.host
    return found


def kinds(build: Build) -> list[Kind]:
    """Return the kinds of the problems."""
    return [problem.kind for problem in build.problems]


class Story:
    """One pipeline, and what it comes to for one set of labels after the other."""

    def __init__(self, translator: Translator = translate) -> None:
        self._pipeline = Pipeline(EdgeOptions(), "default", translator=translator)
        self.build: Build

    def __call__(self, labels: dict[str, str], tasks: int = 1) -> dict[str, object]:
        """Return the routes after the service's labels became these."""
        return self.state(service(labels, tasks=tasks))

    def state(self, *services: Service) -> dict[str, object]:
        """Return the routes after the swarm became these services."""
        self.build = self._pipeline.build(state(*services))
        return routes(self.build.model)


SERVED = {"app.example.org/": ["10.0.1.1:80"]}


def test_a_bad_value_keeps_the_whole_route_as_it_was() -> None:
    """Also what else changed with it, so that half an edit is never served; then the mended one."""
    story = Story()
    assert story(GOOD) == SERVED
    assert story(GOOD | {"com.docker.lb.port": "eighty", "com.docker.lb.hosts": "b.example.org"}) == SERVED
    assert kinds(story.build) == [Kind.BAD_VALUE, Kind.LAST_GOOD]
    assert "still served in its last accepted form" in story.build.problems[1].reason
    assert story(GOOD | {"com.docker.lb.hosts": "b.example.org"}) == {"b.example.org/": ["10.0.1.1:80"]}
    assert not story.build.problems


def test_its_tasks_go_on_changing() -> None:
    """Only labels are kept; tasks come and go."""
    story = Story()
    story(GOOD)
    assert story(GOOD | {"com.docker.lb.port": "x"}, tasks=2) == {"app.example.org/": ["10.0.1.1:80", "10.0.1.2:80"]}
    assert story(GOOD | {"com.docker.lb.port": "x"}, tasks=0) == {"app.example.org/": []}


def test_without_an_earlier_form_the_route_is_left_out() -> None:
    """There is nothing to keep."""
    story = Story()
    assert story(GOOD | {"com.docker.lb.port": "eighty"}) == {}
    assert kinds(story.build) == [Kind.BAD_VALUE]
    assert story(GOOD) == SERVED


def test_a_bad_value_that_is_not_needed_has_its_default_where_there_is_nothing_to_keep() -> None:
    """It is served without it from its beginning, and is no good form to come back to."""
    story = Story()
    assert story(GOOD | {"com.docker.lb.max_fails": "x"}) == SERVED
    assert story(GOOD | {"com.docker.lb.max_fails": "x", "com.docker.lb.hosts": "b.example.org"}) == {
        "b.example.org/": ["10.0.1.1:80"]
    }


def test_a_network_that_does_not_exist_keeps_the_route_too() -> None:
    """The name is good by itself; that it leads nowhere shows only when networks are known."""
    story = Story()
    assert story(GOOD) == SERVED
    assert story(GOOD | {"com.docker.lb.network": "fornt"}) == SERVED
    assert kinds(story.build) == [Kind.UNKNOWN_NETWORK, Kind.LAST_GOOD]
    assert story(GOOD | {"com.docker.lb.network": "fornt"}) == SERVED
    assert story(GOOD | {"com.docker.lb.network": "back"}) == {"app.example.org/": ["10.0.2.1:80"]}
    assert not story.build.problems


def test_a_network_that_is_gone_leaves_nothing_to_keep() -> None:
    """The last form leads nowhere either, and nothing says that it is served."""
    story = Story()
    assert story(GOOD) == SERVED
    moved = replace(service(GOOD | {"com.docker.lb.network": "fornt"}), network_ids=("n2",))
    assert story.state(moved) == {}
    assert kinds(story.build) == [Kind.UNKNOWN_NETWORK]
    assert story(GOOD | {"com.docker.lb.network": "fornt"}) == SERVED, "it is not forgotten"


def test_a_port_that_is_taken_away_keeps_the_route_and_hosts_that_are_taken_away_do_not() -> None:
    """Hosts are withdrawn by taking them away; without a port they only show a mistake."""
    story = Story()
    story(GOOD)
    without_port = {key: value for key, value in GOOD.items() if not key.endswith("port")}
    assert story(without_port) == SERVED
    assert story({key: value for key, value in GOOD.items() if not key.endswith("hosts")}) == {}
    assert story(without_port) == {}, "what was taken away is forgotten"


def test_an_access_rule_that_is_not_yet_served_closes_the_route_whatever_was_good() -> None:
    """Serving the last form would open what is meant to be closed, also with another label bad."""
    for more in ({}, {"com.docker.lb.port": "eighty"}, {"com.docker.lb.max_fails": "x"}):
        story = Story()
        assert story(GOOD) == SERVED
        assert story(GOOD | {"xds.allow": "10.0.0.0/8"} | more) == {}
        assert story(GOOD) == SERVED


def test_one_bad_route_of_a_service_keeps_to_itself() -> None:
    """Named routes are kept or changed one by one."""
    story = Story()
    both = GOOD | {"xds.route.api.hosts": "api.example.org"}
    assert story(both) == SERVED | {"api.example.org/": ["10.0.1.1:80"]}
    changed = both | {"xds.route.api.port": "x", "com.docker.lb.port": "81"}
    assert story(changed) == {"app.example.org/": ["10.0.1.1:81"], "api.example.org/": ["10.0.1.1:80"]}


def test_a_redirect_keeps_its_last_good_form() -> None:
    """Also a label that is not needed comes back in the form that was accepted."""
    story = Story()
    redirected = GOOD | {"com.docker.lb.redirects": "http://old.example.org,http://app.example.org"}
    good = SERVED | {"old.example.org/": "app.example.org"}
    assert story(redirected) == good
    assert story(redirected | {"com.docker.lb.redirects": "nonsense"}) == good
    assert story(GOOD) == SERVED


def test_a_service_that_is_gone_is_forgotten() -> None:
    """Another one of its name begins anew."""
    story = Story()
    story(GOOD)
    assert story.state() == {}
    assert story(GOOD | {"com.docker.lb.port": "eighty"}) == {}


def test_a_service_that_cannot_be_translated_is_set_aside_alone() -> None:
    """A defect of ours with one service holds nobody up: it keeps its last good form, or is left out."""
    story = Story()
    other = GOOD | {"com.docker.lb.hosts": "other.example.org"}
    good = service(GOOD)
    assert story.state(good) == SERVED
    # No source gives such an address; protobuf raises for it, as it would for a defect of a source.
    broken = replace(good, tasks=(Task(id="t", addresses=(("n1", "\ud800"),)),))
    served = story.state(broken, service(other, "other"))
    assert served == SERVED | {"other.example.org/": ["10.0.1.1:80"]}
    (problem,) = story.build.problems
    assert (problem.kind, problem.service) == (Kind.NOT_TRANSLATED, "web")
    assert "keeps its last good form" in problem.reason
    # The rest goes on changing, and so does the service once it can.
    served = story.state(broken, service(other, "other", tasks=2))
    assert served["other.example.org/"] == ["10.0.1.1:80", "10.0.1.2:80"]
    assert story.state(service(GOOD, tasks=2), service(other, "other"))["app.example.org/"] == [
        "10.0.1.1:80",
        "10.0.1.2:80",
    ]
    assert not story.build.problems


def test_a_service_that_never_could_be_translated_is_left_out() -> None:
    """And says so."""
    story = Story()
    broken = replace(service(GOOD), tasks=(Task(id="t", addresses=(("n1", "\ud800"),)),))
    other = service(GOOD | {"com.docker.lb.hosts": "other.example.org"}, "other")
    assert story.state(broken, other) == {"other.example.org/": ["10.0.1.1:80"]}
    (problem,) = story.build.problems
    assert "is left out" in problem.reason


def test_what_fails_only_together_keeps_everything() -> None:
    """With nobody to set aside, the last good configuration stays as a whole, with a problem."""
    other = GOOD | {"com.docker.lb.hosts": "other.example.org"}

    def fails_for_two(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
        if len(fleet.backends) > 1:
            raise ValueError("two are too many")
        return translate(fleet, options, memo)

    story = Story(fails_for_two)
    assert story(GOOD) == SERVED
    assert story.state(service(GOOD, tasks=2), service(other, "other")) == SERVED
    (problem,) = story.build.problems
    assert (problem.kind, problem.service) == (Kind.NOT_TRANSLATED, "")
    assert "two are too many" in problem.reason
    assert story.state(service(other, "other")) == {"other.example.org/": ["10.0.1.1:80"]}


def test_a_closed_route_that_was_good_closes_nothing_for_others() -> None:
    """It is there in its last accepted form, so that no other route can answer in its place."""
    admin = {f"xds.route.admin.{key}": value for key, value in {"hosts": HOST, "context_root": "/admin"}.items()}
    good = GOOD | admin | {"xds.route.admin.port": "80", "xds.route.admin.tls.client_ca": "clients.pem"}
    bad, mistaken = ({**good, **more} for more in ({CLIENT_CA: "?"}, {"xds.route.admin.tls.clientca": "x"}))
    del mistaken[CLIENT_CA]
    memory = Memory()
    for labels in (bad, mistaken):
        intent, _ = parse(service(labels))
        assert [route.name for route in intent.routes] == [""]
        assert [(each.route, each.host) for each in intent.closed] == [("admin", HOST)]
        assert memory.keep_last_good([intent])[0] == (intent,)
    accepted, _ = parse(service(good))
    assert not accepted.closed
    memory.accept([(accepted, ())])
    for labels in (bad, mistaken):
        ((kept,), told) = memory.keep_last_good([parse(service(labels))[0]])
        assert kept.routes == accepted.routes
        assert not kept.closed
        assert [each.kind for each in told] == [Kind.LAST_GOOD]
