"""What one client may have now: make before break, by acknowledgement.

In: the snapshot that the client is to have in the end, and its subscriptions. Out: the resources of each type that it
may have at this moment (``view``), and when to look again (``deadline``). Pure: time is passed in. It must not know
how responses are made or sent.

A new snapshot is reached in four steps. Each waits for the client's answers to the one before, never longer than
``Limits`` say, and a type that the client does not ask for on this stream keeps nobody waiting:

======== ====================================== =====================================================================
step     clusters, endpoints, secrets           listeners, routes and virtual hosts
======== ====================================== =====================================================================
ADDING   new ones, and what will be stale       as they were
ROUTING  same                                   new ones; routes that will be stale stay for listeners that drain
REMOVING clusters without the stale ones        same
DONE     nothing stale                          nothing stale
======== ====================================== =====================================================================

Endpoints never wait for the answer to clusters: Envoy withholds that until the clusters are warm, which takes their
endpoints. Answers to DONE wait for nothing. A snapshot that comes in the middle starts over, with all that the
client was sent and not yet told to forget as what may be stale.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum

from swarm_xds.server.limits import Limits
from swarm_xds.server.subscription import Answer, Subscription
from swarm_xds.snapshot import (
    ADS_ORDER,
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Resource,
    Resources,
    Snapshot,
)

Merge = Callable[[Resources, tuple[Resource, ...]], Resources]


class Step(IntEnum):
    """How far a client is on the way to its snapshot."""

    ADDING = 1
    ROUTING = 2
    REMOVING = 3
    DONE = 4


def merge(fresh: Resources, stale: tuple[Resource, ...]) -> Resources:
    """Return both; O(all), so a server of many streams remembers the results."""
    return Resources((*fresh.values(), *stale))


class Sequence:
    """The way of one stream's client from snapshot to snapshot.

    Args:
        subscriptions: The stream's subscriptions by type, which the stream adds to as requests come.
        limits: How long steps may wait.
        join: How resources and what will be stale are put together.
        alone: Whether the stream is of one type, so that no request for another will come on it.
    """

    __slots__ = ("_deadlines", "_fresh", "_join", "_limits", "_step", "_subscriptions", "_target", "_views")

    def __init__(
        self, subscriptions: Mapping[str, Subscription], limits: Limits, *, join: Merge = merge, alone: bool = False
    ) -> None:
        self._subscriptions = subscriptions
        self._limits = limits
        self._join = join
        self._target: Snapshot | None = None
        self._views: dict[str, Resources] = {}
        self._step = Step.DONE
        self._deadlines: dict[Step, float] = {}
        self._fresh = not alone

    @property
    def step(self) -> Step:
        """How far the client is."""
        return self._step

    @property
    def target(self) -> Snapshot | None:
        """The snapshot that the client is to have in the end; ``None`` before the first."""
        return self._target

    @property
    def deadline(self) -> float | None:
        """When ``advance`` is to be called again if nothing else happens, on the clock of its ``now``."""
        due = self._deadlines.get(self._step)
        if due is not None and self._step is Step.ROUTING and self._more_is_coming():
            due -= max(0.0, self._limits.removals - self._limits.returning)
        return due

    def view(self, type_url: str) -> Resources | None:
        """Return what the client may have of a type now; ``None`` if it must wait for its first."""
        if type_url in ADS_ORDER:
            return self._views.get(type_url)
        return self._target.of(type_url) if self._target else None

    def removals(self, type_url: str) -> bool:
        """Whether an incremental client may be told to forget what is not in its view.

        The view alone does not say: what a client kept from an earlier stream may be stale too, and it is in no view.
        """
        if type_url == CLUSTER:
            return self._step >= Step.REMOVING
        if type_url in (ENDPOINT, SECRET, ROUTE):
            return self._step == Step.DONE
        return type_url != VIRTUAL_HOST or self._step >= Step.ROUTING

    def retarget(self, target: Snapshot) -> None:
        """Set out for another snapshot, from wherever the client is."""
        self._target = target
        for type_url in (CLUSTER, ENDPOINT, SECRET):
            self._views[type_url] = self._with_stale(target, type_url)
        self._step = Step.ADDING

    def advance(self, now: float) -> bool:
        """Take the next step if nothing stands against it any more, and say whether it was taken.

        Call it when everything in the views has been sent, at ``deadline``, and until it returns false.

        Args:
            now: Seconds on any clock that does not jump.
        """
        target = self._target
        if target is None or self._step is Step.DONE or not (self._answered() or self._overdue(now)):
            return False
        self._deadlines.pop(self._step, None)
        if self._step is Step.ADDING:
            self._views[LISTENER] = target.of(LISTENER)
            self._views[ROUTE] = self._with_stale(target, ROUTE)
            self._views[VIRTUAL_HOST] = target.of(VIRTUAL_HOST)
        elif self._step is Step.ROUTING:
            self._views[CLUSTER] = target.of(CLUSTER)
        else:
            self._fresh = False
            for type_url in (ENDPOINT, SECRET, ROUTE):
                self._views[type_url] = target.of(type_url)
        self._step = Step(self._step + 1)
        return True

    def settled(self) -> bool:
        """Whether the client has everything of the target and nothing else, and has answered all of it."""
        return self._step is Step.DONE and all(
            self._answer(type_url) is not Answer.WAITING for type_url in self._subscriptions
        )

    def rejected(self) -> frozenset[str]:
        """Return the types of which the client has rejected something that it was sent last."""
        return frozenset(each for each in self._subscriptions if self._answer(each) is Answer.REJECTED)

    def _answered(self) -> bool:
        if self._step is Step.ADDING:
            return self._answer(CLUSTER) is not Answer.WAITING
        if self._step is Step.REMOVING:
            return Answer.WAITING not in (self._answer(CLUSTER), self._answer(LISTENER))
        # A client that rejected routes still serves the old ones, whose clusters must then stay while they may.
        routed = {self._answer(each) for each in (LISTENER, ROUTE, VIRTUAL_HOST)} == {Answer.ACCEPTED}
        return routed and not self._more_is_coming()

    def _more_is_coming(self) -> bool:
        """Whether the client came back with clusters, and will ask for its routes in a moment, if it has any."""
        clusters = self._subscriptions.get(CLUSTER)
        if not self._fresh or clusters is None or not clusters.resumed:
            return False
        return not {LISTENER, ROUTE} <= self._subscriptions.keys()

    def _answer(self, type_url: str) -> Answer:
        subscription, view = self._subscriptions.get(type_url), self.view(type_url)
        if subscription is None:
            return Answer.ACCEPTED
        return Answer.WAITING if view is None else subscription.answered(view, removals=self.removals(type_url))

    def _overdue(self, now: float) -> bool:
        limit = self._limits.additions if self._step is Step.ADDING else self._limits.removals
        # Kept when another snapshot comes in the middle: else a busy swarm would put it off for ever.
        self._deadlines.setdefault(self._step, now + limit)
        return self.deadline is not None and now >= self.deadline

    def _with_stale(self, target: Snapshot, type_url: str) -> Resources:
        """Return the target's resources and those that the client has been sent and that are not among them."""
        fresh, before = target.of(type_url), self._views.get(type_url)
        subscription = self._subscriptions.get(type_url)
        if before is None or subscription is None or before.version == fresh.version:
            return fresh
        _, gone = fresh.since(before)
        stale = tuple(before[name] for name in sorted(gone) if name in subscription.sent)
        return self._join(fresh, stale) if stale else fresh
