"""How to go on when an engine is away: which manager to try next and when, and what to log of it.

In: endpoints, failures and successes. Out: the endpoint to use, how long to wait. It must not know what is asked of it.
"""

import asyncio
import random
from typing import Protocol

import structlog

from swarm_xds.sources.docker.api import EngineError
from swarm_xds.sources.docker.endpoint import Endpoint

_log = structlog.get_logger(__name__)


class Patience(Protocol):
    """How long to wait between tries, in seconds."""

    @property
    def retry_first(self) -> float:
        """Before the first new try when no engine answers; doubled each time."""
        ...

    @property
    def retry_cap(self) -> float:
        """The longest such wait."""
        ...


class Outage:
    """Which endpoint to try next and when; logs the first failure and the recovery, not the tries in between.

    Args:
        endpoints: Managers, tried in turn.
        patience: How long to wait.
        away: What the first failure is logged as.
        back: What the recovery is logged as.
    """

    def __init__(self, endpoints: tuple[Endpoint, ...], patience: Patience, *, away: str, back: str) -> None:
        self._endpoints = endpoints
        self._patience = patience
        self._event = (away, back)
        self._failures = 0
        self._turn = 0
        self._away = False
        self._up_since: float | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The one to use now."""
        return self._endpoints[self._turn % len(self._endpoints)]

    def over(self) -> None:
        """The engine has answered all that it was asked."""
        self._up_since = asyncio.get_running_loop().time()
        if self._away:
            self._away = False
            _log.info(self._event[1], endpoint=self.endpoint.url, attempt=self._failures)

    def failed(self, error: EngineError) -> None:
        """The engine has failed: it is the next one's turn."""
        now = asyncio.get_running_loop().time()
        if self._up_since is not None and now - self._up_since >= self._patience.retry_cap:
            self._failures = 0  # it was well for a while: not the same trouble
        self._up_since = None
        self._failures += 1
        log = _log.debug if self._away else _log.warning
        log(self._event[0], endpoint=self.endpoint.url, error=error.reason, attempt=self._failures)
        self._away = True
        self._turn += 1

    def delay(self) -> float:
        """No wait while there is another manager to try; then ever longer, and not in step with other replicas."""
        rounds, rest = divmod(self._failures, len(self._endpoints))
        if rest:
            return 0.0
        wait = min(self._patience.retry_cap, self._patience.retry_first * 2.0 ** min(rounds - 1, 30))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
