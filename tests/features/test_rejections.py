"""What passes our checks and Envoy rejects: its service alone goes back, the rest of the change is served.

The translator is made to spoil what has a certain host, since nothing that labels can say is known to do it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from support.spoil import (
    SPOILT,
    spoil_cluster,
    spoil_cluster_alone,
    spoil_cluster_by_rule,
    spoil_endpoints,
    spoil_routes,
    spoil_routes_by_rule,
    spoiling,
)
from support.world import HOSTS, World, world
from swarm_xds.problem import Kind, Problem

pytestmark = pytest.mark.envoy

OLD, NEW, GOOD = "shop.example.org", f"{SPOILT}.example.org", "better.example.org"

WAYS = [
    pytest.param("clusters", spoil_cluster, id="cluster"),
    pytest.param("clusters", spoil_cluster_alone, id="cluster-alone"),
    pytest.param("endpoints", spoil_endpoints, id="endpoints"),
    pytest.param("routes", spoil_routes, id="routes"),
]
RULES = [
    pytest.param("clusters", spoil_cluster_by_rule, 'Cluster for fleet "default"', "duration.gt 0s", id="cluster"),
    pytest.param("routes", spoil_routes_by_rule, "RouteConfiguration", "enum.defined_only", id="routes"),
]


def problems(place: World) -> list[Problem]:
    """Return what is told of rejections now."""
    return [each for each in place.published[-1].build.problems if each.kind is Kind.REJECTED]


@pytest.mark.parametrize("incremental", [False, True], ids=["sotw", "delta"])
@pytest.mark.parametrize(("type_name", "spoil"), WAYS)
async def test_a_service_that_envoy_rejects_goes_back_alone(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], incremental: bool
) -> None:
    """With its last accepted form served, and a new and a changed service beside it served as they are."""
    translator = spoiling(type_name, spoil)
    async with (
        world(envoy_binary, incremental=incremental, translator=translator) as place,
        httpx.AsyncClient() as client,
    ):
        shop = place.add("shop", OLD)
        other = place.add("other", "other.example.org")
        for number in range(4):
            place.add(f"idle{number}", f"idle{number}.example.org")
        await place.until(client, OLD, 200)
        await place.app.publisher.answered()
        place.engine.update_service(shop, labels=place.labels(NEW))
        place.engine.update_service(other, labels=place.labels("changed.example.org"))
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)
        await place.until(client, "changed.example.org", 200)
        await place.until(client, OLD, 200)
        await place.app.publisher.answered()
        (problem,) = problems(place)
        assert (problem.service, problem.label, problem.value) == ("shop", HOSTS, NEW)
        assert problem.reason.startswith('proxy "envoy-1" of fleet "default" rejects the ')
        assert problem.reason.endswith("; the service is still served in its last accepted form")
        for host in (OLD, "fresh.example.org", "changed.example.org", "idle0.example.org"):
            assert (await place.get(client, host)).status_code == 200, host
        place.add("later", "later.example.org")
        await place.until(client, "later.example.org", 200)
        assert len(problems(place)) == 1
        place.engine.update_service(shop, labels=place.labels(GOOD))
        await place.until(client, GOOD, 200)
        await place.app.publisher.answered()
        assert (await place.get(client, OLD)).status_code == 404
        assert problems(place) == []
        rejected = await place.stats(client, r"(cds|lds|rds|eds)\..*update_rejected$")
        assert sum(rejected.values()) < 10


@pytest.mark.parametrize("incremental", [False, True], ids=["sotw", "delta"])
@pytest.mark.parametrize(("type_name", "spoil"), WAYS)
async def test_a_new_service_that_envoy_rejects_is_left_out(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], incremental: bool
) -> None:
    """Also if it is there from the start, on an Envoy that has nothing yet."""
    translator = spoiling(type_name, spoil)
    async with (
        world(envoy_binary, incremental=incremental, translator=translator) as place,
        httpx.AsyncClient() as client,
    ):
        place.add("shop", NEW)
        for number in range(4):
            place.add(f"web{number}", f"web{number}.example.org")
        for number in range(4):
            await place.until(client, f"web{number}.example.org", 200)
        await place.app.publisher.answered()
        (problem,) = problems(place)
        assert problem.service == "shop"
        assert problem.reason.endswith("; the service is left out")
        assert (await place.get(client, NEW)).status_code == 404
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)


@pytest.mark.parametrize(("type_name", "spoil", "what", "rule"), RULES)
async def test_what_breaks_a_rule_is_shown_to_no_envoy(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], what: str, rule: str
) -> None:
    """Its service goes back alone as if an Envoy had rejected it, or out if it is new, and the problem has the rule."""
    translator = spoiling(type_name, spoil)
    async with world(envoy_binary, translator=translator) as place, httpx.AsyncClient() as client:
        shop = place.add("shop", OLD)
        place.add("new", f"{SPOILT}.new.example.org")
        place.add("other", "other.example.org")
        await place.until(client, OLD, 200)
        await place.until(client, "other.example.org", 200)
        (problem,) = problems(place)
        assert problem.service == "new"
        assert problem.reason.endswith(f"is against {rule}; the service is left out")
        await place.app.publisher.answered()
        place.engine.update_service(shop, labels=place.labels(NEW))
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)
        assert (await place.get(client, OLD)).status_code == 200
        _, problem = problems(place)
        assert (problem.service, problem.label, problem.value) == ("shop", HOSTS, NEW)
        assert problem.reason.startswith(f"the {what}")
        assert problem.reason.endswith("; the service is still served in its last accepted form")
        place.engine.update_service(shop, labels=place.labels(GOOD))
        await place.until(client, GOOD, 200)
        assert [each.service for each in problems(place)] == ["new"]
        await place.app.publisher.answered()
        rejected = await place.stats(client, r"(cds|lds|rds|eds)\..*update_rejected$")
        assert sum(rejected.values()) == 0


async def test_a_listener_that_envoy_rejects_is_nobodys_fault(envoy_binary: Path) -> None:
    """It is told, no service is held back, and everything else goes on."""
    translator = spoiling("listeners", spoil_cluster)
    async with world(envoy_binary, translator=translator) as place, httpx.AsyncClient() as client:
        place.add("web", "web.example.org")
        await place.until(client, "web.example.org", 200)
        place.add("shop", NEW)
        await place.until(client, NEW, 200)
        async with asyncio.timeout(10):
            while not problems(place):
                await asyncio.sleep(0.01)
        (problem,) = problems(place)
        assert (problem.service, problem.label) == ("", "")
        assert "and no service is to blame" in problem.reason
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)
        assert (await place.get(client, "web.example.org")).status_code == 200
