"""Calls in threads: whatever becomes of the caller, what a call has opened is closed."""

import asyncio
import threading

import pytest

from swarm_xds.sources.docker.api import _in_thread


@pytest.mark.parametrize("turns", [0, 1], ids=["before the result", "in the same moment"])
async def test_what_a_cancelled_call_has_opened_is_abandoned(turns: int) -> None:
    """An event stream that nobody has a hold of would stay open for as long as the process lives."""
    loop, abandoned = asyncio.get_running_loop(), list[str]()
    call = asyncio.create_task(_in_thread(lambda: "stream", abandon=abandoned.append))
    await asyncio.sleep(0)
    # The loop stands still until the thread has told its result, which comes next.
    for thread in threading.enumerate():
        if thread.name == "docker-call":
            thread.join()
    if turns:
        loop.call_soon(call.cancel)
    else:
        call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0)
    assert abandoned == ["stream"]


async def test_what_a_call_returns_is_not_abandoned() -> None:
    """It is the caller's."""
    abandoned = list[str]()
    assert await _in_thread(lambda: "stream", abandon=abandoned.append) == "stream"
    assert not abandoned
