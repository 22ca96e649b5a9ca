"""When to try again what failed."""

from swarm_xds.networks.memory import NetworkTimings
from swarm_xds.networks.troubles import Troubles


def test_waits_grow_to_the_cap_and_begin_anew() -> None:
    """Each failure waits twice as long, with jitter of at most half; a success ends it."""
    troubles = Troubles(NetworkTimings(retry_first=1.0, retry_cap=4.0))
    for attempt, longest in enumerate([1.0, 2.0, 4.0, 4.0], 1):
        assert troubles.failed("a", 100.0) == (attempt == 1, attempt)
        assert troubles.next_at is not None
        assert 100.0 + longest / 2 <= troubles.next_at <= 100.0 + longest
        assert troubles.resting("a", 100.0)
        assert not troubles.resting("a", troubles.next_at)
        assert not troubles.resting("b", 100.0)
    troubles.over("a")
    assert troubles.next_at is None
    assert troubles.failed("a", 200.0) == (True, 1)


def test_what_is_no_failure_is_told_when_it_is_one() -> None:
    """Being overtaken waits as a failure does; the first failure after it is told."""
    troubles = Troubles(NetworkTimings())
    assert troubles.failed("a", 0.0, tell=False) == (False, 1)
    assert troubles.failed("a", 1.0) == (True, 2)
    assert troubles.failed("a", 2.0) == (False, 3)


def test_what_nobody_tries_any_more_is_forgotten() -> None:
    """So that it wakes nobody."""
    troubles = Troubles(NetworkTimings())
    troubles.failed("a", 0.0)
    troubles.failed("b", 0.0)
    troubles.keep({"b"})
    assert not troubles.resting("a", 0.0)
    assert troubles.resting("b", 0.0)
