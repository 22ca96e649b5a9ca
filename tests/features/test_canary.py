"""Three real Envoys, of which one is given each change first: what it rejects, the others never see."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from support.spoil import SPOILT, spoil_cluster, spoiling
from support.world import HOSTS, World, world
from swarm_xds.demo.envoy import Envoy
from swarm_xds.problem import Kind, Problem
from swarm_xds.server import Stage
from swarm_xds.snapshot import ENDPOINT

pytestmark = pytest.mark.envoy

OLD, NEW = "shop.example.org", f"{SPOILT}.example.org"


def problems(place: World) -> list[Problem]:
    """Return what is told of rejections now."""
    return [each for each in place.published[-1].build.problems if each.kind is Kind.REJECTED]


@asynccontextmanager
async def three(binary: Path, place: World) -> AsyncIterator[list[Envoy]]:
    """Start two more Envoys beside the world's own, which is the first by its name."""
    others = [place.another(binary, node) for node in ("envoy-2", "envoy-3")]
    try:
        for each in others:
            await each.start()
        await place.app.publisher.answered(streams=3)
        yield [place.envoy, *others]
    finally:
        for each in others:
            await each.stop()


async def serves(client: httpx.AsyncClient, envoy: Envoy, host: str) -> bool:
    """Whether an Envoy has routes for a host."""
    dump = await client.get(f"{envoy.admin}/config_dump", params={"resource": "dynamic_route_configs"})
    return f'"{host}"' in dump.text


async def rejections(client: httpx.AsyncClient, envoy: Envoy) -> int:
    """Return how many updates an Envoy has rejected."""
    stats = await client.get(f"{envoy.admin}/stats", params={"filter": r"(cds|lds|rds|eds)\..*update_rejected$"})
    return sum(int(line.rpartition(" ")[2]) for line in stats.text.splitlines())


async def until(fact: Callable[[], object]) -> None:
    """Wait for something that the control plane knows."""
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0.005)


async def test_what_the_first_rejects_the_others_never_see(envoy_binary: Path) -> None:
    """The culprit alone is held back, and everything else goes on to all by itself."""
    settings = {"canary": True, "canary_quiet_seconds": 0.2}
    async with (
        world(envoy_binary, translator=spoiling("clusters", spoil_cluster), **settings) as place,
        httpx.AsyncClient() as client,
    ):
        shop = place.add("shop", OLD)
        place.add("other", "other.example.org")
        await place.until(client, OLD, 200)
        async with three(envoy_binary, place) as envoys:
            place.engine.update_service(shop, labels=place.labels(NEW))
            place.add("fresh", "fresh.example.org")
            async with asyncio.timeout(10):
                while not all([await serves(client, each, "fresh.example.org") for each in envoys]):
                    await asyncio.sleep(0.01)
            first, *others = [await rejections(client, each) for each in envoys]
            assert first > 0
            assert others == [0, 0]
            assert all([await serves(client, each, OLD) for each in envoys])
            (problem,) = problems(place)
            assert (problem.service, problem.label, problem.value) == ("shop", HOSTS, NEW)
            assert problem.reason.startswith('proxy "envoy-1" of fleet "default" rejects the Cluster')
            stages = place.app.record.totals.canary
            assert min(stages[Stage.TRIED], stages[Stage.PASSED]) > 0


async def test_what_nobody_is_to_blame_for_is_taken_back_and_endpoints_go_on(envoy_binary: Path) -> None:
    """The first has again what the others have, and tasks that come and go are everybody's at once."""
    settings = {"canary": True, "canary_quiet_seconds": 0.2, "canary_limit_seconds": 3600}
    async with (
        world(envoy_binary, translator=spoiling("listeners", spoil_cluster), **settings) as place,
        httpx.AsyncClient() as client,
    ):
        web = place.add("web", "web.example.org", tasks=3)
        await place.until(client, "web.example.org", 200)
        async with three(envoy_binary, place) as envoys:
            publisher = place.app.publisher

            def tasks(node: str) -> int:
                served = publisher.of(node, "default")
                web = served.of("default").of(ENDPOINT).get("web") if served is not None else None
                return 0 if web is None else len(web.value)

            nodes = ("envoy-1", "envoy-2", "envoy-3")
            await until(lambda: all(map(tasks, nodes)))
            shop = place.add("shop", NEW)
            await until(lambda: problems(place))
            await publisher.answered(streams=3)
            assert [await serves(client, each, NEW) for each in envoys] == [False, False, False]
            assert [await rejections(client, each) > 0 for each in envoys] == [True, False, False]
            before = {node: tasks(node) for node in nodes}
            place.engine.set_tasks(web, place.engine.tasks(web)[:1])
            await until(lambda: all(tasks(node) < before[node] for node in nodes))
            await publisher.answered(streams=3)
            assert [await serves(client, each, NEW) for each in envoys] == [False, False, False]
            place.engine.remove_service(shop)
            place.add("fresh", "fresh.example.org")
            async with asyncio.timeout(10):
                while not all([await serves(client, each, "fresh.example.org") for each in envoys]):
                    await asyncio.sleep(0.01)
            assert problems(place) == []
