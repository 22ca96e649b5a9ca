"""What changed, why, and how long it took until it was answered."""

import pytest

from support.story import EPOCH, Story, service
from swarm_xds.observe import Acknowledged, Answered, Change, Joined, Left, Phase, Published, Refused
from swarm_xds.problem import Kind
from swarm_xds.snapshot import CLUSTER, ENDPOINT


def last(story: Story) -> Change:
    """Return the newest change."""
    return story.record.changes[-1]


def test_a_change_takes_from_its_notice_to_the_last_answer() -> None:
    """Each proxy's time is told by itself, too."""
    story = Story()
    story.publish(service("web"))
    slow, fast = story.join(1, "slow"), story.join(2, "fast")
    slow.take_all()
    fast.take_all()
    story.now = 10
    story.events.clear()
    story.publish(service("web"), service("shop"), cause="service shop created", noticed=9.75)
    assert (last(story).phase, last(story).proxies, last(story).seconds) == (Phase.PUBLISHED, 2, None)
    story.now = 10.25
    fast.take_all()
    assert (last(story).phase, last(story).answered) == (Phase.PUBLISHED, 1)
    story.now = 12
    slow.take_all()
    change = last(story)
    assert (change.phase, change.cause, change.seconds) == (Phase.SERVED, "service shop created", 2.25)
    assert (change.at, change.fleets, change.answered) == (EPOCH + 10, ("default",), 2)
    assert [type(each) for each in story.events] == [Published, Acknowledged, Acknowledged, Answered]
    assert [each.seconds for each in story.events if isinstance(each, Acknowledged)] == [0.5, 2.25]


def test_an_answer_to_a_later_change_answers_the_earlier_ones() -> None:
    """A slow proxy skips what it has missed."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    proxy.take_all()
    story.publish(service("web", tasks=2))
    story.publish(service("web", tasks=3))
    assert story.record.pending == 2
    proxy.take_all()
    assert story.record.pending == 0
    assert [each.phase for each in story.record.changes[-2:]] == [Phase.SERVED] * 2


def test_a_change_that_is_taken_back_before_anybody_saw_it_is_over() -> None:
    """The stream sends nothing then, and so nobody answers."""
    story = Story()
    story.publish(service("web"))
    story.join().take_all()
    story.publish(service("web", tasks=2))
    story.publish(service("web"))
    assert story.record.pending == 0


def test_a_change_that_is_taken_back_while_it_is_sent_is_still_answered() -> None:
    """Whoever was sent a part of it has to be sent the way back, too."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    proxy.take_all()
    story.publish(service("web", tasks=2))
    proxy.send(ENDPOINT)
    story.publish(service("web"))
    assert story.record.pending == 2
    proxy.take_all()
    assert story.record.pending == 0


def test_a_proxy_that_leaves_holds_up_no_change() -> None:
    """It may be gone for good."""
    story = Story()
    story.publish(service("web"))
    first, second = story.join(1, "first"), story.join(2, "second")
    first.take_all()
    second.take_all()
    story.publish(service("web", tasks=2))
    first.take_all()
    second.leave()
    assert (last(story).phase, last(story).answered, last(story).proxies) == (Phase.SERVED, 1, 2)


def test_a_refusal_is_no_service() -> None:
    """The change is over, and who refused it is known."""
    story = Story()
    story.publish(service("web"))
    proxy = story.join()
    proxy.take_all()
    story.publish(service("web"), service("shop"))
    proxy.take_all({CLUSTER: "bad"})
    assert (last(story).phase, last(story).refused, last(story).answered) == (Phase.REFUSED, ("edge-1",), 0)
    (refused,) = [each for each in story.events if isinstance(each, Refused)]
    assert (refused.node, refused.type_url, refused.refusal.message) == ("edge-1", CLUSTER, "bad")


@pytest.mark.parametrize("fleet", ["internal", None])
def test_a_change_that_concerns_nobody_is_unseen(fleet: str | None) -> None:
    """There is no proxy, or only one of another fleet."""
    story = Story()
    story.publish(service("web"))
    if fleet:
        story.join(fleet=fleet).take_all()
    story.publish(service("web", tasks=2))
    assert (last(story).phase, last(story).proxies) == (Phase.UNSEEN, 0)


def test_problems_come_and_go_with_changes() -> None:
    """Also if no proxy is to be told of anything."""
    story = Story()
    story.publish(service("web"))
    story.publish(service("web", prot="81"))
    (problem,) = last(story).found
    assert (problem.kind, problem.label) == (Kind.UNKNOWN_KEY, "com.docker.lb.prot")
    story.publish(service("web"))
    assert last(story).gone == (problem,)
    assert last(story).phase is Phase.UNSEEN


def test_a_reading_in_which_nothing_changed_is_no_change() -> None:
    """A resync each 30 s is no news."""
    story = Story()
    story.publish(service("web"))
    story.publish(service("web"))
    assert len(story.record.changes) == 1
    assert story.record.totals.readings == 2


def test_who_listens_hears_until_it_is_ended() -> None:
    """Comings and goings too."""
    story = Story()
    heard: list[object] = []
    end = story.record.listen(heard.append)
    story.publish(service("web"))
    proxy = story.join()
    proxy.leave()
    assert [type(each) for each in heard] == [Published, Answered, Joined, Left]
    end()
    story.publish()
    assert len(heard) == 4


def test_old_changes_are_forgotten() -> None:
    """The record of a control plane that runs for months stays small."""
    story = Story()
    for number in range(300):
        story.publish(service("web", tasks=number % 2))
    assert [story.record.changes[0].number, story.record.changes[-1].number] == [45, 300]
