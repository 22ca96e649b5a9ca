"""A source in use: its readings one after the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import pytest

R = TypeVar("R")
SECONDS = 10


class Following(Generic[R]):
    """The readings of a source, each of which has to come in time."""

    def __init__(self, readings: AsyncIterator[R], seconds: float = SECONDS) -> None:
        self._readings = readings
        self._seconds = seconds

    async def next(self) -> R:
        """Return the next reading; it comes in time, or the test fails."""
        async with asyncio.timeout(self._seconds):
            return await anext(self._readings)

    async def until(self, holds: Callable[[R], bool]) -> R:
        """Return the first reading of which something holds; writes may be seen half done before."""
        async with asyncio.timeout(self._seconds):
            while not holds(reading := await anext(self._readings)):
                pass
        return reading

    async def nothing(self, seconds: float) -> None:
        """Check that nothing comes for a while."""
        pending = asyncio.ensure_future(anext(self._readings))
        done, _ = await asyncio.wait({pending}, timeout=seconds)
        assert not done
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending

    async def close(self) -> None:
        """End it."""
        await self._readings.aclose()  # type: ignore[attr-defined]
