"""A rolling update of the fleet itself: edges come and go, requests don't."""

from collections import Counter
from pathlib import Path

import pytest

from support.images import APP
from support.lab import Lab, wait_for
from support.lab_swarm import FLEET, Edges, edge_url, running, settled
from support.load import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "example.yml"
HOST = "app.example.org"
EDGE = f"{FLEET}_edge"
#: Longer than what the swarm takes to call an edge unhealthy: that must not end it sooner.
DOWNLOAD = 8


async def test_an_update_of_the_edges_loses_no_request(fleet: Lab, client: Edges) -> None:
    """Behind a load balancer that goes by connections alone, and with a download through each edge as it stops."""
    fleet.deploy("rolling", EXAMPLE, env={"EXAMPLE_IMAGE": APP})
    client.await_tasks(HOST, settled(fleet, "rolling_app", 2))
    urls = [edge_url(fleet, node) for node in fleet.nodes]
    slow = [f"{url}slow?seconds={DOWNLOAD}" for url in urls]
    before = set(running(fleet, EDGE))
    async with (
        Load(urls, HOST, rate=50, balance=True) as requests,
        Load(slow, HOST, rate=1 / 4, timeout=DOWNLOAD + 60, balance=True) as downloads,
    ):
        wait_for("downloads under way", lambda: downloads.elapsed > 1)
        # Without the shipped pauses between nodes, which only make it easier.
        hurry = ("--update-delay", "0s", "--update-monitor", "1s")
        fleet.docker(1, "service", "update", "--detach", "--no-resolve-image", "--force", *hurry, EDGE)
        wait_for("new edges", lambda: not before & set(running(fleet, EDGE)))
        settled(fleet, EDGE, len(fleet.nodes))
        client.await_status(HOST, 200)
    print(requests.summary(), downloads.summary(), sep="\n")  # noqa: T201
    fleet.docker(1, "stack", "rm", "rolling")
    assert not requests.failures, requests.summary()
    assert not downloads.failures, downloads.summary()
    assert len(requests.answers) > 0.5 * requests.rate * len(urls) * requests.elapsed
    # The kernel resets what it holds when a listener closes: on a machine that is short of time, a few at that moment.
    assert max(Counter(url for _, url in requests.unheard).values(), default=0) <= 10, requests.summary()
    for url, download in zip(urls, slow, strict=True):
        ended = min(at for at, where in requests.refused if where == url)
        assert all(ended - 2 < at < ended + 2 for at, where in requests.unheard if where == url), requests.summary()
        through = [each for each in downloads.answers if each.url == download and each.at < ended]
        assert any(each.at + each.seconds > ended for each in through), f"no download when {url} closed"
        assert all(each.body.count("\n") == 10 * DOWNLOAD for each in through)
