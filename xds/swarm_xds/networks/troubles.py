"""What failed, and when to try it again: each relay by itself, so that one holds up no other.

In: failures and successes, the time. Out: what rests, what to log. Pure but for its memory and jitter.
"""

import random
from dataclasses import dataclass

from swarm_xds.networks.memory import NetworkTimings


@dataclass(slots=True)
class _Trouble:
    attempts: int
    until: float
    told: bool


class Troubles:
    """The relays and configs that could not be written."""

    def __init__(self, timings: NetworkTimings) -> None:
        self._timings = timings
        self._troubles: dict[str, _Trouble] = {}

    @property
    def next_at(self) -> float | None:
        """When the first of them is to be tried again."""
        return min((trouble.until for trouble in self._troubles.values()), default=None)

    def resting(self, subject: str, now: float) -> bool:
        """Whether it is too early to try again."""
        return subject in self._troubles and now < self._troubles[subject].until

    def failed(self, subject: str, now: float, *, tell: bool = True) -> tuple[bool, int]:
        """Note a failure; return whether it is the first that is told of, and which attempt it was."""
        trouble = self._troubles.setdefault(subject, _Trouble(attempts=0, until=now, told=False))
        wait = min(self._timings.retry_cap, self._timings.retry_first * 2.0 ** min(trouble.attempts, 30))
        trouble.attempts += 1
        trouble.until = now + wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        first, trouble.told = tell and not trouble.told, trouble.told or tell
        return first, trouble.attempts

    def over(self, subject: str) -> None:
        """Note a success."""
        self._troubles.pop(subject, None)

    def keep(self, subjects: set[str]) -> None:
        """Forget what nobody is going to try any more."""
        for subject in self._troubles.keys() - subjects:
            del self._troubles[subject]
