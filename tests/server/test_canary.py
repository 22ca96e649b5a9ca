"""A snapshot on trial: who is given it, when the others are, and what takes it back."""

import pytest

from swarm_xds.server.canary import Canary, CanaryOptions, Stage
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Resources, Snapshot, Snapshots

QUIET, LIMIT = 5.0, 60.0
NONE: frozenset[str] = frozenset()


def resources(**content: int) -> Resources:
    """Return resources by name with content that differs by number."""
    return Resources(Resource.of(name, f"{name}{number}".encode()) for name, number in content.items())


def snapshot(*, routes: int = 1, clusters: dict[str, int] | None = None, tasks: int = 1) -> Snapshot:
    """Return a snapshot: each cluster has endpoints of its own."""
    clusters = clusters or {"a": 1}
    endpoints = resources(**dict.fromkeys(clusters, tasks))
    return Snapshot({CLUSTER: resources(**clusters), ENDPOINT: endpoints, ROUTE: resources(http=routes)})


def these(default: Snapshot, **fleets: Snapshot) -> Snapshots:
    """Return the snapshots of all fleets."""
    return Snapshots(fleets={"default": default, **fleets}, empty=Snapshot(), default="default")


class Story:
    """A machine with clients ``a``, ``b`` and ``c`` that have accepted a first snapshot, at no time."""

    def __init__(self, *nodes: str) -> None:
        self.canary = Canary(CanaryOptions(quiet=QUIET, limit=LIMIT))
        self.first = snapshot()
        self.canary.publish(these(self.first), 0)
        self.streams = {node: number for number, node in enumerate(nodes or "cab")}
        for node, number in self.streams.items():
            self.canary.opened(number, node, "")
            self.canary.answered(node, "", self.first.version, NONE, 0)
        self.canary.events()

    def publish(self, default: Snapshot, now: float) -> Snapshot:
        """Publish a snapshot of the default fleet."""
        self.canary.publish(these(default), now)
        return default

    def have(self) -> dict[str, Snapshot]:
        """Return what each client is to have."""
        return {node: self.of(node) for node in sorted(self.streams)}

    def of(self, node: str) -> Snapshot:
        """Return what a client is to have."""
        snapshots = self.canary.of(node, "")
        assert snapshots is not None
        return snapshots.of("")

    def stages(self) -> list[tuple[Stage, str]]:
        """Return what was told since the last time, without versions."""
        return [(event.stage, event.node) for event in self.canary.events()]


def rejected(target: Snapshot, type_url: str) -> list[tuple[str, str]]:
    """Return the resources of a type as a rejection has them."""
    return [(each.name, each.version) for each in target.of(type_url).values()]


def test_it_goes_to_the_first_by_node_id_and_after_its_answer_and_a_quiet_moment_to_the_others() -> None:
    """The same one on every replica that has the same clients."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    assert story.have() == {"a": new, "b": story.first, "c": story.first}
    assert story.canary.deadline == 10 + LIMIT
    story.canary.answered("b", "", story.first.version, NONE, 11)
    story.canary.answered("a", "", new.version, NONE, 12)
    assert story.canary.deadline == 12 + QUIET
    story.canary.tick(16.9)
    assert story.of("b") == story.first
    story.canary.tick(17)
    assert story.have() == dict.fromkeys("abc", new)
    assert story.canary.deadline is None
    assert story.stages() == [(Stage.TRIED, "a"), (Stage.PASSED, "a")]


def test_without_options_everything_is_everybodys_at_once() -> None:
    """The very object that was published."""
    canary = Canary()
    canary.opened(1, "a", "")
    for routes in (1, 2):
        published = these(snapshot(routes=routes))
        canary.publish(published, routes)
        assert canary.of("a", "") is published
        assert canary.everyones is published
    assert canary.deadline is None
    assert canary.events() == ()


def test_where_nobody_is_connected_there_is_nobody_to_ask() -> None:
    """A replica without clients has the latest for whoever comes."""
    story = Story()
    for number in story.streams.values():
        story.canary.closed(number, 20)
    new = story.publish(snapshot(routes=2), 10)
    assert story.have() == dict.fromkeys("abc", new)


def test_who_connects_meanwhile_is_given_what_the_others_have() -> None:
    """Though it would be the first by its name."""
    story = Story()
    story.publish(snapshot(routes=2), 10)
    story.canary.opened(9, "0", "")
    assert story.of("0") == story.first


def test_endpoints_never_wait() -> None:
    """Alone they are everybody's at once; beside other changes too, and those still wait."""
    story = Story()
    fresh = story.publish(snapshot(tasks=2), 10)
    assert story.have() == dict.fromkeys("abc", fresh)
    assert story.stages() == []
    new = story.publish(snapshot(routes=2, tasks=3), 11)
    assert story.of("a") == new
    assert story.of("b").of(ENDPOINT) == new.of(ENDPOINT)
    assert story.of("b").of(ROUTE) == story.first.of(ROUTE)


def test_endpoints_wait_with_a_cluster_that_changes() -> None:
    """How they are spoken to may be another: through a relay, over TLS."""
    story = Story()
    new = story.publish(snapshot(clusters={"a": 2, "b": 1}, tasks=2), 10)
    assert story.of("a") == new
    assert story.of("b") == story.first


def test_endpoints_that_change_do_not_begin_the_quiet_moment_anew() -> None:
    """Else a busy swarm would put it off."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.answered("a", "", new.version, NONE, 11)
    newer = story.publish(snapshot(routes=2, tasks=2), 15)
    story.canary.tick(11 + QUIET)
    assert story.have() == dict.fromkeys("abc", newer)


def test_a_newer_one_takes_its_place_and_is_tried_in_turn() -> None:
    """Its quiet moment begins with its own answer, and its limit with the first change."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.answered("a", "", new.version, NONE, 11)
    newer = story.publish(snapshot(routes=3), 12)
    story.canary.tick(11 + QUIET)
    assert story.have() == {"a": newer, "b": story.first, "c": story.first}
    assert story.canary.deadline == 10 + LIMIT
    story.canary.answered("a", "", new.version, NONE, 17)
    assert story.canary.deadline == 10 + LIMIT
    story.canary.answered("a", "", newer.version, NONE, 20)
    story.canary.tick(20 + QUIET)
    assert story.have() == dict.fromkeys("abc", newer)


@pytest.mark.parametrize("how", ["at once", "in the end"])
def test_what_it_rejects_is_taken_back_and_the_others_never_see_it(how: str) -> None:
    """Also if only the verdict says so; and it is not tried again until it is another."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    if how == "at once":
        story.canary.rejected("a", "", ROUTE, rejected(new, ROUTE))
    else:
        story.canary.answered("a", "", new.version, frozenset((ROUTE,)), 10)
    assert story.have() == dict.fromkeys("abc", story.first)
    assert story.canary.deadline is None
    assert story.stages() == [(Stage.TRIED, "a"), (Stage.REJECTED, "a")]
    story.canary.tick(1000)
    story.publish(snapshot(routes=2), 1001)
    story.publish(snapshot(routes=2, tasks=2), 1002)
    assert story.of("a").of(ROUTE) == story.first.of(ROUTE)
    assert story.stages() == []
    better = story.publish(snapshot(routes=3), 1003)
    assert story.of("a") == better
    assert story.of("b").of(ROUTE) == story.first.of(ROUTE)


def test_a_rejection_of_what_was_published_before_takes_nothing_back() -> None:
    """The answer to the newer one is still to come."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    newer = story.publish(snapshot(routes=3), 11)
    story.canary.rejected("a", "", ROUTE, rejected(new, ROUTE))
    story.canary.rejected("b", "", ROUTE, rejected(newer, ROUTE))
    story.canary.rejected("a", "", LISTENER, [])
    assert story.of("a") == newer


def test_what_it_rejected_before_is_no_news() -> None:
    """A proxy whose port is taken rejects the listener, whatever else changes."""
    story = Story()
    story.canary.answered("a", "", story.first.version, frozenset((LISTENER,)), 1)
    new = story.publish(snapshot(routes=2), 10)
    story.canary.answered("a", "", new.version, frozenset((LISTENER,)), 11)
    story.canary.tick(11 + QUIET)
    assert story.of("b") == new


def test_when_it_goes_away_the_next_is_asked_and_when_that_goes_too_nobody_is() -> None:
    """One may go for reasons of its own; two in a row may have been felled by what they were given."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.answered("a", "", new.version, NONE, 11)
    story.canary.closed(story.streams["a"], 20)
    story.canary.tick(11 + QUIET)
    assert story.have() == {"a": story.first, "b": new, "c": story.first}
    story.canary.closed(story.streams["b"], 20)
    assert story.have() == dict.fromkeys("abc", story.first)
    assert story.stages() == [(Stage.TRIED, "a"), (Stage.TRIED, "b"), (Stage.LOST, "b")]
    story.canary.tick(10 + LIMIT)
    assert story.have() == {"a": story.first, "b": story.first, "c": new}
    assert story.stages() == [(Stage.TRIED, "c")]


def test_a_client_with_another_stream_is_not_gone() -> None:
    """A new one may open before the old one is known to be closed."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.opened(9, "a", "")
    story.canary.closed(story.streams["a"], 20)
    assert story.of("a") == new


def test_if_the_last_goes_away_whoever_comes_back_is_asked_when_it_has_what_was_proven() -> None:
    """A fleet of one is no fleet to try things on at once."""
    story = Story("a")
    new = story.publish(snapshot(routes=2), 10)
    story.canary.closed(story.streams["a"], 20)
    story.canary.opened(7, "b", "")
    assert story.of("b") == story.first
    story.canary.answered("b", "", story.first.version, NONE, 12)
    assert story.of("b") == new


def test_when_the_one_that_rejected_it_is_gone_another_may_be_asked() -> None:
    """It may have been that proxy."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.rejected("a", "", ROUTE, rejected(new, ROUTE))
    story.canary.closed(story.streams["a"], 20)
    assert story.have() == {"a": story.first, "b": new, "c": story.first}


def test_without_an_answer_it_goes_on_in_the_end() -> None:
    """One that is frozen holds nobody up for ever."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.tick(10 + LIMIT)
    assert story.have() == dict.fromkeys("abc", new)
    assert story.stages() == [(Stage.TRIED, "a"), (Stage.OVERDUE, "a")]


def test_what_was_accepted_last_goes_on_when_there_is_always_a_newer_one() -> None:
    """Which is tried from then on."""
    story = Story()
    new = story.publish(snapshot(routes=2), 10)
    story.canary.answered("a", "", new.version, NONE, 11)
    newer = story.publish(snapshot(routes=3), 12)
    story.canary.tick(10 + LIMIT)
    assert story.have() == {"a": newer, "b": new, "c": new}
    assert story.canary.deadline == 10 + LIMIT + LIMIT


def test_fleets_are_tried_apart() -> None:
    """What one rejects, another may have."""
    story = Story()
    canary = story.canary
    canary.publish(these(story.first, other=snapshot()), 1)
    canary.opened(20, "x", "other")
    canary.opened(21, "y", "other")
    new = snapshot(routes=2)
    canary.publish(these(new, other=new), 10)
    canary.rejected("a", "", ROUTE, rejected(new, ROUTE))
    canary.answered("x", "other", new.version, NONE, 11)
    canary.tick(11 + QUIET)
    assert story.have() == dict.fromkeys("abc", story.first)
    everyones = canary.of("y", "other")
    assert everyones is not None
    assert everyones.of("other") == new
