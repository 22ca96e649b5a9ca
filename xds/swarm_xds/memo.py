"""A memory for pure functions, so that a change costs what changed and not what there is.

It holds nothing but what the last build used; it can be thrown away at any time without a difference in the result.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

G = TypeVar("G")
T = TypeVar("T")


class Memo:
    """Keeps the results of each slot, as long as what they were made from stays the same."""

    def __init__(self) -> None:
        #: What a slot's results have in common, and each of them by its key, with what it was made from.
        self._kept: dict[Hashable, tuple[object, dict[Any, tuple[Any, Any]]]] = {}
        self._used: dict[Hashable, tuple[object, dict[Any, tuple[Any, Any]]]] = {}

    def keep(self, slot: Hashable, given: object, make: Callable[[], T]) -> T:
        """Return the slot's result, made anew only if ``given`` is not equal to what it was last made from."""
        (made,) = self.each(slot, given, ((None, None),), lambda _: make())
        return made

    def each(
        self,
        slot: Hashable,
        common: object,
        given: Iterable[tuple[Hashable, G]],
        make: Callable[[G], T],
        *,
        identical: bool = False,
    ) -> list[T]:
        """Return the result for each ``(key, given)``; a key stands for one thing in its slot.

        A result is made anew only if ``given``, or ``common``, is not equal to what it was last made from; with
        ``identical`` only the very same object counts as equal, for what is never changed and costly to compare.
        """
        before = self._kept.get(slot)
        kept = before[1] if before is not None and (before[0] is common or before[0] == common) else {}
        now: dict[Any, tuple[Any, Any]] = {}
        results: list[T] = []
        for key, each in given:
            entry = kept.get(key)
            if entry is None or (entry[0] is not each and (identical or entry[0] != each)):
                entry = (each, make(each))
            now[key] = entry
            results.append(entry[1])
        self._used[slot] = (common, now)
        return results

    def sweep(self) -> None:
        """Forget each slot that was not used since the last sweep."""
        self._kept, self._used = self._used, {}
