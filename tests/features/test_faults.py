"""Faults around a running system: the last good configuration stays, and everything recovers without a restart."""

import asyncio
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from support.engine import FakeEngine
from support.world import HOSTS, PORT, world
from swarm_xds.app import App
from swarm_xds.problem import Kind
from swarm_xds.settings import Settings
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints

pytestmark = pytest.mark.envoy


async def test_bad_labels_keep_the_last_good_route_and_touch_nobody_else(envoy_binary: Path) -> None:
    """A port that is none leaves the route as it was; another service's change goes through at once."""
    async with world(envoy_binary) as place, httpx.AsyncClient() as client:
        shop = place.add("shop", "shop.example.org")
        place.add("other", "other.example.org")
        await place.until(client, "shop.example.org", 200)
        await place.until(client, "other.example.org", 200)
        place.engine.update_service(shop, labels={HOSTS: "shop.example.org", PORT: "70000"})
        place.add("third", "third.example.org")
        await place.until(client, "third.example.org", 200)
        assert (await place.get(client, "shop.example.org")).status_code == 200
        (problem,) = [each for each in place.published[-1].build.problems if each.label == PORT]
        assert (problem.service, problem.value, problem.kind) == ("shop", "70000", Kind.BAD_VALUE)
        assert "1 to 65535" in problem.reason
        place.engine.update_service(shop, labels=place.labels("new.example.org"))
        await place.until(client, "new.example.org", 200)
        assert (await place.get(client, "shop.example.org")).status_code == 404
        assert not place.published[-1].build.problems


async def test_an_engine_that_fails_is_never_an_empty_swarm(envoy_binary: Path) -> None:
    """Errors, a closed event stream, half answers and a stopped engine leave every route; changes arrive afterwards."""
    async with world(envoy_binary) as place, httpx.AsyncClient() as client:
        place.add("shop", "shop.example.org")
        await place.until(client, "shop.example.org", 200)
        engine = place.engine
        for number, fault in enumerate(
            (
                lambda: engine.fail(status=500, times=8),
                lambda: engine.truncate(times=4),
                engine.close_events,
                lambda: (engine.stop(), engine.start()),
            )
        ):
            fault()
            engine.close_events()
            host = f"later{number}.example.org"
            place.add(f"later{number}", host)
            await place.until(client, host, 200, seconds=40)
            assert (await place.get(client, "shop.example.org")).status_code == 200
        services = [len(each.reading.state.services) for each in place.published if each.reading.state.services]
        assert services == sorted(services), "no reading ever had fewer services than the one before"


async def test_an_engine_that_is_down_at_the_start_is_waited_for() -> None:
    """Nothing is published before the first complete reading; then all of it, without a restart."""
    with FakeEngine() as engine:
        network = engine.add_network("edge")
        engine.add_service("shop", labels={HOSTS: "shop.example.org", PORT: "80"}, networks=[network], tasks=1)
        url = engine.url
        engine.stop()
        source = DockerSource(
            find_endpoints([url]), fleet_networks=(("default", ("edge",)),), timings=Timings(retry_cap=0.2)
        )
        app = App(Settings(listen="127.0.0.1:0"), source)
        with capture_logs() as logs:
            await app.start()
            follow = asyncio.create_task(app.follow())
            try:
                async with asyncio.timeout(20):
                    while not any(each["event"] == "docker.unreachable" for each in logs):
                        await asyncio.sleep(0.01)
                    assert app.publisher.latest is None
                    engine.start()
                    snapshots = await app.publisher.published()
            finally:
                follow.cancel()
                await asyncio.gather(follow, return_exceptions=True)
                await app.stop()
        assert len([each for each in logs if each["event"] == "docker.unreachable"]) == 1, "said once, not each time"
        assert list(snapshots.of("").resources["type.googleapis.com/envoy.config.cluster.v3.Cluster"]) == ["shop"]


async def test_tasks_that_come_and_go_are_followed(envoy_binary: Path) -> None:
    """Scaling changes who answers; without a task the answer is 503 with Retry-After, and the route stays."""
    async with world(envoy_binary) as place, httpx.AsyncClient() as client:
        shop = place.add("shop", "shop.example.org", tasks=3)
        await place.until(client, "shop.example.org", 200)
        await place.app.publisher.answered()
        answered = {(await place.get(client, "shop.example.org")).text for _ in range(12)}
        assert len(answered) == 3, "every task answers"
        first, *rest = place.engine.tasks(shop)
        stopping = {**first, "DesiredState": "shutdown"}
        place.engine.set_tasks(shop, [stopping, *rest])
        gone = first["NetworksAttachments"][0]["Addresses"][0].split("/")[0]
        async with asyncio.timeout(10):
            while gone in {(await place.get(client, "shop.example.org")).text.strip() for _ in range(6)}:
                await asyncio.sleep(0.01)
        place.engine.scale(shop, 0)
        response = await place.until(client, "shop.example.org", 503)
        assert response.headers["retry-after"] == "5"
        place.engine.scale(shop, 1)
        await place.until(client, "shop.example.org", 200)
