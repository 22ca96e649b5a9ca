"""When tasks are read: a table of what happened, and what is due then."""

import pytest

from swarm_xds.sources.docker.pacing import BATCH, Pacing, Timings

TIMINGS = Timings(burst=0.01, fast=0.05, slow=1.0, resync=30.0, linger=3.0)


def quiet(*service_ids: str, at: float = 100.0, cost: float = 0.0) -> Pacing:
    """Return a pacing whose services are all well and were just read."""
    pacing = Pacing(TIMINGS)
    pacing.watch(service_ids)
    for service_id in service_ids:
        pacing.noted(service_id, at, moving=False, updating=False, changed=False)
    pacing.tasks_read(service_ids, at, cost)
    pacing.resynced(at, 0.0)
    return pacing


@pytest.mark.parametrize(
    ("moving", "updating", "changed_ago", "waits"),
    [
        pytest.param(False, False, 600.0, 1.0, id="well"),
        pytest.param(True, False, 0.0, 0.01, id="in flux, just changed"),
        pytest.param(True, False, 0.06, 0.03, id="in flux, changed a moment ago"),
        pytest.param(True, False, 0.5, 0.05, id="in flux"),
        pytest.param(True, False, 4.0, 0.2, id="in flux for long, and nothing happens"),
        pytest.param(True, False, 600.0, 1.0, id="stuck: as seldom as a service that is well"),
        pytest.param(True, True, 600.0, 0.05, id="updating: patience does not run out"),
        pytest.param(False, True, 600.0, 0.05, id="updating with all tasks there"),
    ],
)
def test_wait_between_reads(*, moving: bool, updating: bool, changed_ago: float, waits: float) -> None:
    """How long after one read the next is due."""
    pacing = quiet("web", at=1000.0)
    pacing.noted("web", 1000.0 - changed_ago, moving=moving, updating=updating, changed=True)
    assert pacing.delay(1000.0) == pytest.approx(waits)
    assert pacing.due(1000.0 + waits - 0.001) == ()
    assert pacing.due(1000.0 + waits + 0.001) == ("web",)


@pytest.mark.parametrize(
    ("cost", "moving", "waits"),
    [
        pytest.param(0.001, True, 0.01, id="quick engine, in flux"),
        pytest.param(0.1, True, 0.3, id="slow engine, in flux"),
        pytest.param(0.1, False, 1.0, id="slow engine, well"),
        pytest.param(1.0, False, 3.0, id="very slow engine, well"),
    ],
)
def test_slow_engine_is_asked_less(*, cost: float, moving: bool, waits: float) -> None:
    """Reads take no more than a quarter of the time."""
    pacing = quiet("web")
    pacing.noted("web", 200.0, moving=moving, updating=False, changed=True)
    pacing.tasks_read(["web"], 200.0, cost)
    assert pacing.due(200.0 + waits - 0.001) == ()
    assert pacing.due(200.0 + waits + 0.001) == ("web",)


def test_event_puts_a_service_in_flux_for_a_while() -> None:
    """An event makes it due within the burst time; once the time lingers out it is as before."""
    pacing = quiet("shop", "web")
    pacing.touched(["web", "unknown"], 100.0)
    assert pacing.due(100.011) == ("web",)
    pacing.tasks_read(["web"], 102.95, 0.0)
    assert pacing.due(103.2) == ("shop",)
    assert pacing.due(103.96) == ("shop", "web")


def test_new_service_is_due_at_once() -> None:
    """A service that was never read is due."""
    pacing = quiet("web")
    pacing.watch(["new", "web"])
    assert pacing.delay(100.0) == 0
    assert pacing.due(100.0) == ("new",)


def test_removed_service_is_never_due() -> None:
    """What is not watched is not read, whatever is told of it."""
    pacing = quiet("web")
    pacing.watch([])
    pacing.touched(["web"], 100.0)
    pacing.noted("web", 100.0, moving=True, updating=True, changed=True)
    assert pacing.due(200.0) == ()
    assert pacing.delay(100.0) == pytest.approx(30.0)


def test_many_services_take_turns() -> None:
    """One call asks for a batch, those unread for longest first; every service has its turn."""
    ids = [f"s{i:03}" for i in range(3 * BATCH)]
    pacing, now, seen = quiet(*ids), 102.0, []
    for _ in range(3):
        due = pacing.due(now)
        assert len(due) == BATCH
        pacing.tasks_read(due, now, 0.01)
        seen += due
        now += 0.031
    assert sorted(seen) == ids
    assert pacing.due(now) == ()


def test_services_in_flux_do_not_wait_for_the_others() -> None:
    """A slow read of many quiet services does not put off a service in flux."""
    pacing = quiet("shop", "web")
    pacing.tasks_read(["shop"], 110.0, 5.0)
    pacing.touched(["web"], 110.0)
    assert pacing.due(110.011) == ("web",)


def test_quiet_services_settle_on_common_calls() -> None:
    """When one is due, those that soon are go with it."""
    pacing = quiet("shop", "web")
    pacing.tasks_read(["shop"], 100.4, 0.0)
    assert pacing.due(101.0) == ("shop", "web")


def test_stuck_services_settle_on_common_calls() -> None:
    """So do services in flux, however long each has been."""
    pacing = quiet("shop", "web")
    for service_id, since in (("shop", 90.0), ("web", 94.0)):
        pacing.noted(service_id, since, moving=True, updating=False, changed=True)
    assert pacing.due(100.29) == ()
    assert pacing.due(100.31) == ("shop", "web")


def test_resync() -> None:
    """Everything is read at the start, then at intervals (longer ones if it takes long), and at once after a loss."""
    pacing = Pacing(TIMINGS)
    assert pacing.resync_due(0.0)
    pacing.resynced(10.0, 1.0)
    assert not pacing.resync_due(39.9)
    assert pacing.resync_due(40.0)
    pacing.resynced(40.0, 5.0)
    assert pacing.delay(40.0) == pytest.approx(100.0)
    pacing.resync_soon()
    assert pacing.resync_due(40.0)
    assert pacing.delay(40.0) == 0
