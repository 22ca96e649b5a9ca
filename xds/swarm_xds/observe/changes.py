"""What changed, why, and how long it took until each proxy had answered it.

In: publications and answers, the time. Out: ``Change`` values. Pure.

A change is over when each stream that was open when it was published has answered it, or a later one, or has ended.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from swarm_xds.problem import Problem

#: Changes that are remembered after they are over.
_REMEMBERED = 256


class Phase(StrEnum):
    """How far a change is."""

    PUBLISHED = "published"
    """Not every proxy has answered it."""
    SERVED = "served"
    """Every proxy has accepted it."""
    REFUSED = "refused"
    """Every proxy has answered it, and some have refused a part."""
    UNSEEN = "unseen"
    """No proxy was to be told: none was connected, or none was concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One publication that is not as the one before.

    Attributes:
        number: Counted from 1.
        at: When it was published, in seconds since the epoch.
        cause: As the source said, such as ``service web updated``.
        build_seconds: How long the build took.
        resources: How many resources of each type are new, different or gone; by the type's last name.
        fleets: Those that it concerns, sorted.
        found: Problems that came with it.
        gone: Problems that went with it.
        proxies: How many streams it was for.
        answered: How many of them have accepted it.
        refused: Nodes that have refused a part of it, sorted.
        seconds: From when the source noticed it until the last proxy had answered; None until then, and if none had to.
    """

    number: int
    at: float
    cause: str
    build_seconds: float
    resources: tuple[tuple[str, int], ...] = ()
    fleets: tuple[str, ...] = ()
    found: tuple[Problem, ...] = ()
    gone: tuple[Problem, ...] = ()
    proxies: int = 0
    answered: int = 0
    refused: tuple[str, ...] = ()
    seconds: float | None = None
    phase: Phase = Phase.PUBLISHED


@dataclass(slots=True)
class _Pending:
    change: Change
    noticed: float
    versions: Mapping[str, str]
    waiting: set[int]
    last: float | None = None


class Changes:
    """The changes that are not over, and the last ones that are."""

    def __init__(self) -> None:
        self._count = 0
        self._pending: list[_Pending] = []
        self._over: deque[Change] = deque(maxlen=_REMEMBERED)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that are remembered, the oldest first."""
        return tuple(sorted((*self._over, *(each.change for each in self._pending)), key=lambda each: each.number))

    @property
    def pending(self) -> int:
        """How many are not over."""
        return len(self._pending)

    def published(self, change: Change, *, noticed: float, versions: Mapping[str, str], streams: set[int]) -> Change:
        """Take a change, and return it with its number.

        Args:
            change: Without number, phase and answers.
            noticed: When the source noticed it, on a clock that does not jump.
            versions: The new version of each fleet that it concerns.
            streams: Those that have to answer it.
        """
        self._count += 1
        change = replace(change, number=self._count, proxies=len(streams))
        if not streams:
            change = replace(change, phase=Phase.UNSEEN)
            self._over.append(change)
        else:
            self._pending.append(_Pending(change, noticed, versions, streams))
        return change

    def answered(
        self, stream: int, node: str, fleet: str, version: str, now: float, *, refused: bool
    ) -> tuple[tuple[float, ...], tuple[Change, ...]]:
        """Note that a stream's client has answered a fleet's snapshot of a version, and so all earlier ones.

        Returns:
            The seconds that each change took to this client, and the changes that are over with it.
        """
        reached = max((i for i, each in enumerate(self._pending) if each.versions.get(fleet) == version), default=-1)
        seconds: list[float] = []
        for each in self._pending[: reached + 1]:
            if stream not in each.waiting:
                continue
            each.waiting.discard(stream)
            each.last = now
            if refused:
                nodes = tuple(sorted({*each.change.refused, node}))
                each.change = replace(each.change, refused=nodes)
            else:
                each.change = replace(each.change, answered=each.change.answered + 1)
                seconds.append(now - each.noticed)
        return tuple(seconds), self._settle()

    def left(self, stream: int) -> tuple[Change, ...]:
        """Note that a stream has ended; return the changes that are over with it."""
        for each in self._pending:
            each.waiting.discard(stream)
        return self._settle()

    def _settle(self) -> tuple[Change, ...]:
        over: list[Change] = []
        for each in self._pending:
            if each.waiting:
                continue
            phase = Phase.REFUSED if each.change.refused else Phase.SERVED if each.change.answered else Phase.UNSEEN
            seconds = None if each.last is None else each.last - each.noticed
            over.append(replace(each.change, phase=phase, seconds=seconds))
        self._pending = [each for each in self._pending if each.waiting]
        self._over.extend(over)
        return tuple(over)
