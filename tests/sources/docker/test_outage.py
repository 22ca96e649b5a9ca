"""How to go on when an engine is away."""

import asyncio

from swarm_xds.sources.docker import Endpoint, EngineError
from swarm_xds.sources.docker.outage import Outage

from .conftest import TIMINGS


def test_waits_grow_to_the_cap_and_begin_anew() -> None:
    """Delays double up to the cap, with jitter of at most half; an untried manager is tried at once."""

    async def delays(count: int) -> list[float]:
        outage = Outage(tuple(Endpoint(url=f"tcp://m{i}:1") for i in range(count)), TIMINGS, away="away", back="back")
        found = []
        for _ in range(8):
            outage.failed(EngineError(outage.endpoint, "away"))
            found.append(outage.delay())
        return found

    alone = asyncio.run(delays(1))
    assert all(low / 2 <= d <= low for d, low in zip(alone, [0.01, 0.02, 0.04, *[0.05] * 5], strict=True)), alone
    assert [d > 0 for d in asyncio.run(delays(2))] == [False, True] * 4
