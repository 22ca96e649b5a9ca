"""All is well, or something is served as it last was, and why."""

from datetime import UTC, datetime

from support.story import Story, service
from swarm_xds.observe import Health, Status, health
from swarm_xds.snapshot import CLUSTER
from swarm_xds.snapshot.kept import Kept


def test_nothing_is_read_yet() -> None:
    """That is no trouble of a fleet's, which keeps what it has."""
    assert health(Story().record, None, 60) == Health(status=Status.STARTING, reasons=("the source was not read yet",))


def test_nothing_is_read_yet_and_what_was_kept_is_served() -> None:
    """Until something is."""
    story = Story()
    story.publish(service("web"))
    assert story.record.situation
    snapshots = story.record.situation.build.snapshots
    later = Story()
    later.record.restore(Kept(snapshots=snapshots, written=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)))
    reason = "the source was not read yet: serving the last good from 2026-01-02T03:04:05+00:00"
    assert health(later.record, None, 60) == Health(status=Status.LAST_GOOD, reasons=(reason,))
    later.publish(service("web"))
    assert health(later.record, 1, 60) == Health(status=Status.WELL)
    assert later.record.changes == ()


def test_all_is_well() -> None:
    """Problems that leave nothing in an old form are no matter of the control plane's health."""
    story = Story()
    story.publish(service("web", prot="81"))
    story.join().take_all()
    assert health(story.record, 59, 60) == Health(status=Status.WELL)


def test_each_reason_is_said() -> None:
    """The source is away, a route is kept, a proxy refuses."""
    story = Story()
    story.publish(service("web"))
    story.publish(service("web", port="eighty"))
    proxy = story.join()
    proxy.take_all({CLUSTER: "bad"})
    found = health(story.record, 95.4, 60)
    assert found.status is Status.LAST_GOOD
    assert found.reasons == (
        "the source was last read well 95 s ago",
        "last good form of web",
        "a part is refused by edge-1",
    )
    proxy.leave()
    story.publish(service("web"))
    assert health(story.record, 1, 60).status is Status.WELL
