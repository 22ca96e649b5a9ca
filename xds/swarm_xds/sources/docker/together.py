"""Several calls at once, of which the first failure ends all.

In: coroutines. Out: their results. It must not know what they do.

Neither ``asyncio.TaskGroup`` nor ``asyncio.gather`` will do: in Python 3.11 the first loses a cancellation that comes
together with a child's failure, and so does the second unless it waits for all children, however long the rest take
(python/cpython#116720). Whoever retries after a failure would then never end.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def together(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """Await all at once and return their results in order.

    A failure cancels the others, and is raised when they have ended, so that none goes on behind the caller's back.
    Of several failures the first of ``calls`` is raised; a cancellation comes before any.
    """
    if not calls:
        return []
    running = [asyncio.ensure_future(call) for call in calls]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for task in running:
        if task in done and (error := task.exception()):
            raise error
    return [task.result() for task in running]
