"""A memory for pure functions, so that a change costs what changed and not what there is.

It holds nothing but what the last build used; it can be thrown away at any time without a difference in the result.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")


class Memo:
    """Keeps one result for each slot, as long as what it was made from stays the same."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[object, object]] = {}
        self._used: dict[Hashable, tuple[object, object]] = {}

    def keep(self, slot: Hashable, given: object, make: Callable[[], T]) -> T:
        """Return the slot's result, made anew only if ``given`` is not equal to what it was last made from."""
        kept = self._kept.get(slot)
        if kept is None or (kept[0] is not given and kept[0] != given):
            kept = (given, make())
        self._used[slot] = kept
        return cast("T", kept[1])

    def sweep(self) -> None:
        """Forget each slot that was not used since the last sweep."""
        self._kept, self._used = self._used, {}
