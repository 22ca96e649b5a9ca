"""Make before break, step by step, with the real subscriptions and a clock that stands still."""

import pytest

from swarm_xds.server.delta import DeltaSubscription
from swarm_xds.server.limits import Limits
from swarm_xds.server.sequence import Sequence, Step
from swarm_xds.server.sotw import SotwSubscription
from swarm_xds.server.subscription import Response
from swarm_xds.snapshot import (
    ADS_ORDER,
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Resource,
    Resources,
    Snapshot,
)

LIMITS = Limits(additions=5, removals=30)


def target(clusters: str, *, routes: int = 1, cluster_version: int = 1) -> Snapshot:
    """A snapshot with one-letter clusters and their endpoints, one listener and one route table."""
    return Snapshot(
        {
            CLUSTER: Resources(Resource.of(name, f"{name}{cluster_version}".encode()) for name in clusters),
            ENDPOINT: Resources(Resource.of(name, f"at {name}".encode()) for name in clusters),
            LISTENER: Resources([Resource.of("edge", b"edge")]),
            ROUTE: Resources([Resource.of("table", f"table{routes}".encode())]),
        }
    )


class Client:
    """A client on one stream that is sent whatever is due, and answers when the test says so.

    Attributes:
        log: Each response as ``type:names-removed``.
    """

    def __init__(self, variant: str, *types: str) -> None:
        self.subscriptions: dict[str, SotwSubscription | DeltaSubscription] = {}
        self.sequence = Sequence(self.subscriptions, LIMITS)
        self.log: list[str] = []
        self.now = 0.0
        self.due: dict[str, list[Response]] = {}
        self._variant = variant
        for type_url in types or (CLUSTER, ENDPOINT, LISTENER, ROUTE):
            self.subscribe(type_url)

    def subscribe(self, type_url: str, initial: Resources | None = None) -> None:
        """Ask for everything of a type."""
        if self._variant == "sotw":
            sotw = self.subscriptions[type_url] = SotwSubscription(type_url)
            sotw.on_request(names=["*"], nonce="")
        else:
            delta = self.subscriptions[type_url] = DeltaSubscription(type_url)
            versions = {name: resource.version for name, resource in (initial or Resources()).items()}
            delta.on_request(subscribe=["*"], initial=versions)

    def pump(self) -> list[str]:
        """Be sent all that is due now, and return it."""
        start = len(self.log)
        progress = True
        while progress:
            for type_url in ADS_ORDER:
                view = self.sequence.view(type_url)
                if type_url not in self.subscriptions or view is None:
                    continue
                removals = self.sequence.removals(type_url)
                response = self.subscriptions[type_url].next_response(view, removals=removals)
                if response:
                    self.due.setdefault(type_url, []).append(response)
                    sent = "".join(r.name for r in response.resources)
                    gone = "".join(f"-{name}" for name in response.removed)
                    self.log.append(f"{type_url.rpartition('.')[2]}:{sent}{gone}")
            progress = self.sequence.advance(self.now)
        return self.log[start:]

    def answer(self, type_url: str, error: str | None = None) -> list[str]:
        """Answer the oldest unanswered response of a type, and return what is due then."""
        nonce = self.due[type_url].pop(0).nonce
        if not self.due[type_url]:
            del self.due[type_url]
        subscription = self.subscriptions[type_url]
        if isinstance(subscription, SotwSubscription):
            subscription.on_request(names=["*"], nonce=nonce, error=error)
        else:
            subscription.on_request(nonce=nonce, error=error)
        return self.pump()

    def settle(self, snapshot: Snapshot) -> None:
        """Get to a snapshot, accepting everything."""
        self.sequence.retarget(snapshot)
        self.pump()
        while self.due:
            self.answer(next(iter(self.due)))
        assert self.sequence.settled()


@pytest.fixture(params=["sotw", "delta"])
def variant(request: pytest.FixtureRequest) -> str:
    """Each test holds for both forms of the protocol, unless it says otherwise."""
    return str(request.param)


def at(variant: str, clusters: str = "ab") -> Client:
    """A client that has, and has accepted, a snapshot."""
    client = Client(variant)
    client.settle(target(clusters))
    client.log.clear()
    return client


def test_nothing_is_to_be_had_before_the_first_snapshot(variant: str) -> None:
    """Not even an empty set, which would delete everything."""
    client = Client(variant)
    assert client.pump() == []
    assert not client.sequence.settled()


def test_a_fresh_stream_gets_clusters_and_endpoints_before_listeners_and_routes(variant: str) -> None:
    """Also when it asks for all at once."""
    client = Client(variant)
    client.sequence.retarget(target("a"))
    assert client.pump() == ["Cluster:a", "ClusterLoadAssignment:a"]
    assert client.answer(ENDPOINT) == []
    assert client.answer(CLUSTER) == ["Listener:edge", "RouteConfiguration:table"]


def test_a_stream_that_asks_for_one_type_after_the_other_is_never_kept_waiting(variant: str) -> None:
    """Envoy asks for listeners when its clusters are there."""
    client = Client(variant, CLUSTER)
    client.sequence.retarget(target("a"))
    assert client.pump() == ["Cluster:a"]
    client.subscribe(ENDPOINT)
    assert client.pump() == ["ClusterLoadAssignment:a"]
    client.answer(ENDPOINT)
    client.answer(CLUSTER)
    for type_url in (LISTENER, ROUTE):
        client.subscribe(type_url)
        assert len(client.pump()) == 1
        client.answer(type_url)
    assert client.sequence.settled()


def test_endpoints_never_wait_for_the_answer_to_clusters(variant: str) -> None:
    """Envoy withholds that answer until it has the endpoints: waiting would be for ever."""
    client = at(variant)
    client.sequence.retarget(target("abc", routes=2))
    sent = client.pump()
    assert sent[0].startswith("Cluster:")
    assert sent[1] == "ClusterLoadAssignment:c"
    assert len(sent) == 2


def test_added_clusters_come_before_routes_to_them(variant: str) -> None:
    """Routes wait for the answer."""
    client = at(variant)
    client.sequence.retarget(target("abc", routes=2))
    client.pump()
    assert client.answer(ENDPOINT) == []
    assert client.answer(CLUSTER) == ["RouteConfiguration:table"]
    client.answer(ROUTE)
    assert client.sequence.settled()


def test_removed_clusters_go_after_the_routes_to_them(variant: str) -> None:
    """They wait for the answer, and the endpoints for the clusters'."""
    client = at(variant)
    client.sequence.retarget(target("a", routes=2))
    assert client.pump() == ["RouteConfiguration:table"]
    assert client.answer(ROUTE) == (["Cluster:a"] if variant == "sotw" else ["Cluster:-b"])
    assert client.answer(CLUSTER) == ([] if variant == "sotw" else ["ClusterLoadAssignment:-b"])


def test_clusters_are_added_routes_changed_and_clusters_removed_in_this_order(variant: str) -> None:
    """A service that is replaced."""
    client = at(variant, "a")
    client.sequence.retarget(target("b", routes=2))
    assert client.pump() == [("Cluster:ab" if variant == "sotw" else "Cluster:b"), "ClusterLoadAssignment:b"]
    client.answer(ENDPOINT)
    assert client.answer(CLUSTER) == ["RouteConfiguration:table"]
    assert client.answer(ROUTE) == (["Cluster:b"] if variant == "sotw" else ["Cluster:-a"])


def test_a_changed_cluster_holds_back_routes_too(variant: str) -> None:
    """It is warmed anew, and the routes may need what changed."""
    client = at(variant, "a")
    client.sequence.retarget(target("a", routes=2, cluster_version=2))
    assert client.pump() == ["Cluster:a"]
    assert client.answer(CLUSTER) == ["RouteConfiguration:table"]


def test_routes_go_at_once_if_no_cluster_changed(variant: str) -> None:
    """There is nothing to wait for."""
    client = at(variant)
    client.sequence.retarget(target("ab", routes=2))
    assert client.pump() == ["RouteConfiguration:table"]


def test_rejected_clusters_hold_nothing_back(variant: str) -> None:
    """One bad cluster must not stop everybody's routes."""
    client = at(variant)
    client.sequence.retarget(target("abc", routes=2))
    client.pump()
    assert client.answer(CLUSTER, error="bad") == ["RouteConfiguration:table"]


def test_clusters_without_an_answer_hold_routes_back_for_a_time_only(variant: str) -> None:
    """One that cannot warm must not stop everybody's routes."""
    client = at(variant)
    client.sequence.retarget(target("abc", routes=2))
    client.pump()
    assert client.sequence.deadline == 5
    client.now = 4.9
    assert client.pump() == []
    client.now = 5
    assert client.pump() == ["RouteConfiguration:table"]


def test_rejected_routes_keep_the_clusters_of_the_old_ones_for_the_grace_period(variant: str) -> None:
    """The client still serves by the old routes."""
    client = at(variant)
    client.sequence.retarget(target("a", routes=2))
    client.pump()
    assert client.answer(ROUTE, error="bad") == []
    client.now = client.sequence.deadline or 0
    assert client.now == 30
    assert client.pump() == (["Cluster:a"] if variant == "sotw" else ["Cluster:-b"])


def test_routes_without_an_answer_keep_clusters_for_the_grace_period(variant: str) -> None:
    """And no longer, or one dead client's clusters would pile up."""
    client = at(variant)
    client.sequence.retarget(target("a", routes=2))
    client.pump()
    client.now = 29.9
    assert client.pump() == []
    client.now = 30
    assert client.pump() == (["Cluster:a"] if variant == "sotw" else ["Cluster:-b"])


@pytest.mark.parametrize("missing", [LISTENER, ROUTE, CLUSTER])
def test_a_type_that_is_not_asked_for_keeps_nobody_waiting(variant: str, missing: str) -> None:
    """A client may have static clusters, or no routes."""
    types = [type_url for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE) if type_url != missing]
    client = Client(variant, *types)
    client.settle(target("ab"))
    client.settle(target("bc", routes=2))
    assert client.sequence.deadline is None


def test_a_snapshot_in_the_middle_starts_over_with_the_union(variant: str) -> None:
    """What the client was sent stays until the routes of the last snapshot are in use."""
    client = at(variant, "a")
    client.sequence.retarget(target("b", routes=2))
    client.pump()
    client.sequence.retarget(target("c", routes=3))
    assert client.pump() == [("Cluster:abc" if variant == "sotw" else "Cluster:c"), "ClusterLoadAssignment:c"]
    client.answer(ENDPOINT)
    assert client.sequence.view(ROUTE) == target("a").of(ROUTE)
    while client.due:
        client.answer(next(iter(client.due)))
    clusters = [line.partition(":")[2] for line in client.log if line.startswith("Cluster:")]
    assert clusters[-1] == ("c" if variant == "sotw" else "-a-b")
    assert client.log.index("RouteConfiguration:table") < len(client.log) - 1
    assert client.sequence.settled()


def test_a_cluster_that_comes_back_in_the_middle_is_neither_removed_nor_sent_again() -> None:
    """The client never lost it."""
    client = at("delta")
    client.sequence.retarget(target("a", routes=2))
    client.pump()
    client.sequence.retarget(target("ab", routes=1))
    client.pump()
    client.answer(ROUTE)
    assert not any("Cluster" in line for line in client.log)


def test_a_cluster_that_came_and_went_before_it_was_sent_is_never_sent(variant: str) -> None:
    """Stale is only what the client has."""
    client = at(variant, "a")
    client.sequence.retarget(target("ab"))
    client.sequence.retarget(target("a"))
    assert client.pump() == []
    assert client.sequence.settled()


def test_snapshots_without_end_do_not_put_off_routes_for_ever(variant: str) -> None:
    """The limit runs from the first that was held back."""
    client = at(variant, "a")
    for second in range(5):
        client.now = float(second)
        client.sequence.retarget(target("ab", routes=2 + second, cluster_version=2 + second))
        assert not any("Route" in line for line in client.pump())
    client.now = 5
    assert client.pump() == ["RouteConfiguration:table"]


def test_snapshots_without_end_do_not_keep_stale_clusters_for_ever(variant: str) -> None:
    """The grace period runs from the first time that something was stale."""
    client = at(variant)
    for second in range(0, 30, 5):
        client.now = float(second)
        client.sequence.retarget(target("a", routes=2 + second))
        assert client.pump() == ["RouteConfiguration:table"]
    client.now = 30
    assert client.pump() == (["Cluster:a"] if variant == "sotw" else ["Cluster:-b"])


def test_a_client_that_comes_back_with_everything_is_sent_nothing() -> None:
    """A restart of the server is nothing that a client notices."""
    client = Client("delta", SECRET)
    snapshot = target("ab")
    client.sequence.retarget(snapshot)
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        client.subscribe(type_url, snapshot.of(type_url))
        client.pump()
    client.log.remove("Secret:")
    assert client.log == []


def test_what_a_client_brought_along_is_removed_after_its_routes() -> None:
    """Also if it asks for its routes only after its clusters: it has them from before."""
    before, snapshot = target("ab"), target("a", routes=2)
    client = Client("delta", CLUSTER)
    client.subscribe(CLUSTER, before.of(CLUSTER))
    client.sequence.retarget(snapshot)
    assert client.pump() == []
    for type_url in (ENDPOINT, LISTENER):
        client.subscribe(type_url, before.of(type_url))
        assert client.pump() == []
    client.subscribe(ROUTE, before.of(ROUTE))
    assert client.pump() == ["RouteConfiguration:table"]
    assert client.answer(ROUTE) == ["Cluster:-b"]
    assert client.answer(CLUSTER) == ["ClusterLoadAssignment:-b"]


def test_who_comes_back_and_asks_for_no_routes_has_none_to_what_is_stale() -> None:
    """After a moment; one that does ask in time has all of the grace period to answer."""
    before, snapshot = target("ab"), target("a", routes=2)
    silent, slow = Client("delta", CLUSTER), Client("delta", CLUSTER)
    for client in (silent, slow):
        client.subscribe(CLUSTER, before.of(CLUSTER))
        client.sequence.retarget(snapshot)
        assert client.pump() == []
        assert client.sequence.deadline == LIMITS.returning
    for type_url in (LISTENER, ROUTE):
        slow.subscribe(type_url, before.of(type_url))
    slow.now = silent.now = LIMITS.returning
    assert slow.pump() == ["RouteConfiguration:table"]
    assert slow.sequence.deadline == LIMITS.removals
    assert silent.pump() == ["Cluster:-b"]


def test_who_comes_back_on_a_stream_of_clusters_alone_waits_for_nothing() -> None:
    """Nothing else will be asked for on it."""
    client = Client("delta", CLUSTER)
    client.sequence = Sequence(client.subscriptions, LIMITS, alone=True)
    client.subscribe(CLUSTER, target("ab").of(CLUSTER))
    client.sequence.retarget(target("a"))
    assert client.pump() == ["Cluster:-b"]


def test_a_listener_that_goes_keeps_its_routes_until_it_is_gone() -> None:
    """Envoy logs an error for a route table that is taken from under a listener."""
    client = at("delta")
    less = Snapshot({**target("ab").resources, LISTENER: Resources(), ROUTE: Resources()})
    client.sequence.retarget(less)
    assert client.pump() == ["Listener:-edge"]
    assert client.answer(LISTENER) == ["RouteConfiguration:-table"]


def test_virtual_hosts_come_with_routes_and_keep_clusters_like_them() -> None:
    """Their clusters first; stale clusters when the hosts that named them are gone."""

    def hosts(cluster: str) -> Snapshot:
        return Snapshot({**target(cluster).resources, VIRTUAL_HOST: Resources([Resource.of("h", cluster.encode())])})

    client = Client("delta", CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST)
    client.settle(hosts("a"))
    client.log.clear()
    client.sequence.retarget(hosts("b"))
    assert client.pump() == ["Cluster:b", "ClusterLoadAssignment:b"]
    client.answer(ENDPOINT)
    assert client.answer(CLUSTER) == ["VirtualHost:h"]
    assert client.answer(VIRTUAL_HOST) == ["Cluster:-a"]
    assert client.answer(CLUSTER) == ["ClusterLoadAssignment:-a"]


def test_types_outside_the_order_are_to_be_had_at_any_time() -> None:
    """None of ours, so there is nothing to wait for and nothing in them."""
    client = Client("delta", CLUSTER)
    assert client.sequence.view("type.example/Other") is None
    client.sequence.retarget(target("a"))
    view = client.sequence.view("type.example/Other")
    assert view is not None
    assert len(view) == 0
    assert client.sequence.step is Step.ADDING


def with_secrets(secrets: dict[str, bytes], *, listeners: int = 1) -> Snapshot:
    """A snapshot with a cluster, secrets, and a listener that may name them."""
    made = target("a").resources
    return Snapshot(
        {
            **made,
            SECRET: Resources(Resource.of(name, value) for name, value in secrets.items()),
            LISTENER: Resources([Resource.of("edge", f"edge{listeners}".encode())]),
        }
    )


TYPES = (CLUSTER, ENDPOINT, SECRET, LISTENER, ROUTE)


def test_a_secret_comes_before_the_listener_that_names_it(variant: str) -> None:
    """And before the answer to a cluster that does: Envoy withholds that until it has the secret."""
    client = Client(variant, *TYPES)
    client.sequence.retarget(with_secrets({"s": b"1"}))
    assert client.pump()[:3] == ["Cluster:a", "ClusterLoadAssignment:a", "Secret:s"]
    assert client.answer(CLUSTER)[:1] == ["Listener:edge"]


def test_a_rotation_waits_for_nothing_and_sends_one_secret(variant: str) -> None:
    """No listener and no cluster with it."""
    client = Client(variant, *TYPES)
    settle(client, with_secrets({"s": b"1", "t": b"1"}))
    client.sequence.retarget(with_secrets({"s": b"2", "t": b"1"}))
    assert client.pump() == ["Secret:s"]


def test_a_secret_goes_after_the_listener_that_named_it(variant: str) -> None:
    """Not before the client has accepted the listener without it."""
    client = Client(variant, *TYPES)
    settle(client, with_secrets({"s": b"1", "t": b"1"}))
    client.sequence.retarget(with_secrets({"t": b"1"}, listeners=2))
    assert client.pump() == ["Listener:edge"]
    assert "s" in (client.sequence.view(SECRET) or {})
    client.answer(LISTENER)
    assert "s" not in (client.sequence.view(SECRET) or {})


def settle(client: Client, snapshot: Snapshot) -> None:
    """Have the client take all of a snapshot."""
    client.sequence.retarget(snapshot)
    client.pump()
    while any(client.due.values()):
        for type_url in TYPES:
            while client.due.get(type_url):
                client.answer(type_url)
    client.log.clear()
