"""A fleet of real Envoys, all on one port, while the swarm changes at random and the control plane dies.

``make soak-fleet`` runs this with more of everything; the last line of each test is its tally.
"""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from support.fleet import (
    CHANGES,
    ENVOYS,
    FROZEN_SECONDS,
    KILLS,
    KINDS,
    MOODY,
    PATIENCE,
    SEED,
    STEADY,
    control_plane,
    fleet,
    load,
    tell,
    until,
)
from support.witness import witnesses

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(300 + 2 * CHANGES + 10 * KILLS + 5 * FROZEN_SECONDS)]

#: Changes between two looks at every Envoy.
ROUND = 50


async def test_envoys_follow_random_changes(envoy_binary: Path) -> None:
    """Half of them incremental. None of the requests to any route fails, unless a change of that route says so.

    Now and then, and at the end, each Envoy has exactly what it is to have.
    """
    chance = random.Random(SEED)
    async with fleet(envoy_binary, ENVOYS) as place, control_plane(place.engine, place.port, place.http_port):
        await place.start()
        async with load(place), witnesses(place.port, (*STEADY, MOODY)):
            for number in range(CHANGES):
                place.change(chance, number)
                if number % 3:
                    await asyncio.sleep(chance.random() * 0.05)
                if number % ROUND == ROUND - 1:
                    await place.settled()
            await place.settled()
        tell(f"{ENVOYS} Envoys, {CHANGES} changes, {place.asked} requests, 0 failed; each Envoy has what it is to have")


async def test_a_control_plane_that_dies_again_and_again_is_not_noticed(envoy_binary: Path) -> None:
    """Killed in the middle of changes, at any moment of its start too; what changed meanwhile arrives."""
    chance = random.Random(SEED + 1)
    async with fleet(envoy_binary, 4) as place:
        async with control_plane(place.engine, place.port, place.http_port):
            await place.start()
        async with load(place), witnesses(place.port, (*STEADY, MOODY)) as seen:
            for life in range(KILLS):
                streams = seen[0].streams
                async with control_plane(place.engine, place.port, place.http_port):
                    if life % 2:
                        await until(lambda streams=streams: seen[0].streams > streams, PATIENCE)
                    for number in range(6):
                        # Without bad labels: what was good before them is forgotten by one that dies (ADR 3).
                        place.change(chance, life * 10 + number, KINDS[:-1])
                        await asyncio.sleep(chance.random() * 0.3)
            async with control_plane(place.engine, place.port, place.http_port):
                await place.settled()
        streams, responses = sum(each.streams for each in seen), sum(each.responses for each in seen)
        tell(
            f"{KILLS} kills, {place.asked} requests, 0 failed; {responses} responses on {streams} streams, none partial"
        )


async def test_a_frozen_envoy_holds_up_nobody_and_catches_up(envoy_binary: Path) -> None:
    """The others have each change meanwhile; it has the last one soon after it goes on."""
    loop = asyncio.get_running_loop()
    async with fleet(envoy_binary, 3) as place, control_plane(place.engine, place.port, place.http_port):
        await place.start()
        frozen, *others = place.envoys
        began, number = loop.time(), 0
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            while number < 20 or loop.time() - began < FROZEN_SECONDS:
                place.add(f"app{number}")
                number += 1
                await place.settled(others)
                if number > 20:
                    place.remove(f"app{number - 20}")
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        await place.settled()
        tell(f"frozen for {loop.time() - began:.0f} s: {number} changes reached the others, and then it")
