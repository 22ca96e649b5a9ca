"""What is known of each proxy: what it is to have, was sent, has accepted and has refused, since when."""

from support.story import EPOCH, Proxy, Story, service
from swarm_xds.observe import Member, Standing, TypeState
from swarm_xds.snapshot import ADS_ORDER, CLUSTER, ENDPOINT, ROUTE


def only(story: Story) -> Member:
    """Return the only member."""
    (member,) = story.record.members
    return member


def of(story: Story, type_url: str) -> TypeState:
    """Return one type of the only member."""
    return next(each for each in only(story).types if each.type_url == type_url)


def test_a_proxy_that_accepts_everything_is_current() -> None:
    """And it is so from the moment of its answer."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    assert only(story).standing is Standing.WAITING
    story.now = 2
    proxy.take_all()
    member = only(story)
    assert (member.fleet, member.node, member.standing, member.streams) == ("default", "edge-1", Standing.CURRENT, 1)
    assert [each.since for each in member.types] == [EPOCH + 2] * len(ADS_ORDER)
    assert all(each.sent == each.acknowledged == each.intended for each in member.types)


def test_a_change_makes_only_its_own_types_wait_and_since_then() -> None:
    """Another task is no new route."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    proxy.take_all()
    story.now = 5
    story.publish(service("web", tasks=2))
    assert (of(story, ENDPOINT).standing, of(story, ENDPOINT).since) == (Standing.WAITING, EPOCH + 5)
    assert of(story, ROUTE).standing is Standing.CURRENT
    story.now = 6
    proxy.accept(proxy.send(ENDPOINT))
    assert of(story, ENDPOINT).standing is Standing.CURRENT
    assert only(story).standing is Standing.CURRENT


def test_a_refusal_says_what_why_and_since_when_until_it_is_made_good() -> None:
    """What was accepted since, or is no longer to be had, is refused no more."""
    story = Story()
    story.publish(service("web"), service("shop"))
    proxy = story.join()
    story.now = 1
    proxy.take_all({CLUSTER: "no such thing"})
    state = of(story, CLUSTER)
    assert state.standing is only(story).standing is Standing.REFUSED
    assert state.refusal is not None
    assert (state.refusal.message, state.refusal.names, state.refusal.at) == (
        "no such thing",
        ("shop", "web"),
        EPOCH + 1,
    )
    assert state.acknowledged != state.intended
    story.publish(service("web"))
    refusal = of(story, CLUSTER).refusal
    assert refusal is not None
    assert refusal.names == ("web",), "shop is not to be had any more"
    proxy.accept(proxy.send(CLUSTER))
    assert of(story, CLUSTER).refusal is None
    assert of(story, CLUSTER).standing is Standing.CURRENT


def test_a_client_that_has_answered_everything_is_current_also_where_it_was_sent_nothing() -> None:
    """A change to endpoints that it never asked for gives it another version to have, and nothing to be sent."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    proxy.take_all()
    story.publish(service("web", tasks=2))
    assert of(story, ENDPOINT).standing is Standing.WAITING
    proxy.settle()
    assert of(story, ENDPOINT).standing is Standing.CURRENT


def test_a_proxy_that_went_is_told_of_until_it_is_back() -> None:
    """With the time from when on it is gone."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    proxy.take_all()
    story.now = 7
    proxy.leave()
    member = only(story)
    assert (member.standing, member.since, member.streams) == (Standing.GONE, EPOCH + 7, 0)
    assert member.types, "what it had is still known"
    story.join(stream=2)
    assert only(story).standing is Standing.WAITING


def test_two_streams_of_one_proxy_are_one_member_and_the_newest_stream_counts() -> None:
    """While the old stream of a proxy that reconnects is not yet known to be dead."""
    story = Story()
    story.publish(service("web"))
    old = story.join(stream=1)
    old.take_all()
    story.publish(service("web", tasks=2))
    new = story.join(stream=2)
    new.take_all()
    assert (only(story).streams, only(story).standing) == (2, Standing.CURRENT)
    old.leave()
    assert (only(story).streams, only(story).standing) == (1, Standing.CURRENT)


def test_a_client_without_a_fleet_belongs_to_the_default_one() -> None:
    """As it is served."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join(fleet="")
    Proxy(story, proxy.peer).take_all()
    assert (only(story).fleet, only(story).standing) == ("default", Standing.CURRENT)


def test_the_gone_are_forgotten_at_last() -> None:
    """Proxies that are replaced for years leave nothing behind."""
    story = Story()
    story.publish(service("web"))
    for number in range(100):
        story.join(stream=number, node=f"edge-{number}").leave()
    members = story.record.members
    assert len(members) == 64
    assert {"edge-99", "edge-36"} <= {member.node for member in members}
