"""Several calls at once: the first failure ends all, and no cancellation is lost, whatever it comes together with."""

import asyncio

import pytest

from swarm_xds.sources.docker.together import together

#: Turns of the event loop: more than anything here takes.
MANY = 50


async def turns(count: int) -> None:
    """Let the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def after(count: int, result: int | Exception) -> int:
    """Return or raise after some turns."""
    await turns(count)
    if isinstance(result, Exception):
        raise result
    return result


async def test_results_come_in_the_order_of_the_calls() -> None:
    """Whatever ends first."""
    assert await together(after(5, 1), after(0, 2), after(2, 3)) == [1, 2, 3]
    assert await together() == []


async def test_a_failure_ends_the_others_first() -> None:
    """None of them goes on when the failure is raised."""
    ended = asyncio.Event()

    async def slow() -> int:
        try:
            return await after(1_000_000, 1)
        finally:
            await turns(3)
            ended.set()

    with pytest.raises(OSError, match="first"):
        await together(slow(), after(1, OSError("first")), after(1, OSError("second")))
    assert ended.is_set()


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "another call under way"])
async def test_a_cancellation_is_never_lost(others: int) -> None:
    """At whatever moment it comes to one who tries again after each failure: before it, with it, or after it."""

    async def stubborn(failing: int) -> None:
        while True:
            try:
                await together(after(failing, OSError()), *(after(1_000_000, 1) for _ in range(others)))
            except OSError:
                await asyncio.Event().wait()

    for failing in range(4):
        for moment in range(12):
            task = asyncio.create_task(stubborn(failing))
            await turns(moment)
            task.cancel()
            await turns(MANY)
            lost = not task.done()
            task.cancel()
            await asyncio.wait([task])
            assert not lost, f"cancelled in turn {moment}, where a call fails in turn {failing}"
            assert task.cancelled()
