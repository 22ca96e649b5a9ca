"""The metrics and the health of a running system tell the truth, with a real Envoy."""

import asyncio
from pathlib import Path

import httpx
import pytest

from support.world import HOSTS, PORT, World, world

pytestmark = pytest.mark.envoy


async def value(place: World, client: httpx.AsyncClient, name: str) -> float:
    """Return a sample, or -1 where there is none."""
    lines = (await client.get(f"{place.metrics}/metrics")).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), -1.0)


async def until(place: World, client: httpx.AsyncClient, name: str, wanted: float) -> None:
    """Ask until a sample has a value."""
    async with asyncio.timeout(60):
        while await value(place, client, name) != wanted:
            await asyncio.sleep(0.01)


async def test_a_running_system_is_counted(envoy_binary: Path) -> None:
    """One proxy that is current, a change that was served, an error, and a source that goes away."""
    async with world(envoy_binary) as place, httpx.AsyncClient() as client:
        shop = place.add("shop", "shop.example.org")
        await place.until(client, "shop.example.org", 200, seconds=60)
        await until(place, client, 'swarm_xds_proxies{fleet="default",standing="current"}', 1)
        assert await value(place, client, 'swarm_xds_routes{fleet="default"}') == 1
        await until(place, client, "swarm_xds_changes_pending", 0)
        assert await value(place, client, "swarm_xds_change_served_seconds_count") >= 1
        assert (await client.get(f"{place.metrics}/readyz")).json()["status"] == "well"
        place.engine.update_service(shop, labels={HOSTS: "shop.example.org", PORT: "70000"})
        await until(place, client, 'swarm_xds_problems{kind="bad-value",severity="error"}', 1)
        assert (await client.get(f"{place.metrics}/readyz")).json()["reasons"] == ["last good form of shop"]
        place.engine.stop()
        async with asyncio.timeout(60):
            while await value(place, client, "swarm_xds_reading_age_seconds") < 1.5:
                await asyncio.sleep(0.05)
        place.engine.start()
        async with asyncio.timeout(60):
            while await value(place, client, "swarm_xds_reading_age_seconds") > 1:
                await asyncio.sleep(0.05)
        await place.envoy.stop()
        await until(place, client, 'swarm_xds_proxies{fleet="default",standing="gone"}', 1)
