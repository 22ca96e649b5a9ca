"""How long an answer is doubted that lacks what was there a moment ago. Pure.

In: what is missing, and the time. Out: whether to ask again. It must not know the engine or the clock.

An engine that has just become a manager, belongs to another swarm, or stands behind a proxy that is being replaced may
answer well and say nothing. Routes that are kept a little too long cost a request that fails either way; routes that
go are an outage. So nothing is believed to have vanished all at once before it was missing for a while, and no network
to which a service is attached.
"""

from collections.abc import Collection


class Doubts:
    """What is missing, and since when.

    Args:
        patience: Seconds until it is believed to be gone.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[str, float] = {}

    def about(self, asked: Collection[str], missing: Collection[str], now: float) -> bool:
        """Return whether an answer is to be doubted.

        Args:
            asked: Names of all that it was about; those that are not missing are doubted no longer.
            missing: Those of which it names nothing, though there is reason to expect it.
            now: Seconds on any clock that does not jump.
        """
        began = [self._since.setdefault(each, now) for each in missing]
        doubted = any(now - at < self._patience for at in began)
        for each in asked:
            if not doubted or each not in missing:
                self._since.pop(each, None)
        return doubted
