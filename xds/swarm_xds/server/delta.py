"""What one client has, and asked for, of one type on one incremental stream.

In: the fields of each request, and the resources that the client may have now. Out: what the request meant (``Event``)
and the next ``Response``, if one is due. Pure: no gRPC, no protobuf, no clock, no logger. It must not know in what
order types are sent; that is ``sequence``'s.
"""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from swarm_xds.server.subscription import (
    FULL_SET,
    ONE_BY_ONE,
    WILDCARD,
    Ack,
    Answer,
    Doubts,
    Event,
    Nack,
    Pulse,
    Response,
    Stale,
    Subscribed,
)
from swarm_xds.snapshot import Resource, Resources

#: Unanswered incremental responses remembered per type; a client that never answers costs no more than this.
_REMEMBERED = 64
#: Responses of one resource each that are sent before the first of them is answered.
_IN_FLIGHT = 16


class DeltaSubscription:
    """One type of an incremental stream.

    Args:
        type_url: The type.
        nonce_prefix: Makes nonces of one stream unlike those of another.
        takes_ttl: Whether the client knows of lifetimes; to another, resources have none.
    """

    __slots__ = (
        "_base", "_count", "_doubts", "_first", "_must", "_names", "_owed", "_pending", "_prefix", "_seen", "_sent",
        "_stale", "_takes_ttl", "_type_url", "_wildcard", "pulse", "resumed",
    )  # fmt: skip

    def __init__(self, type_url: str, *, nonce_prefix: str = "", takes_ttl: bool = False) -> None:
        self._type_url = type_url
        self._prefix = nonce_prefix
        self._count = 0
        self._first = True
        self._names: set[str] = set()
        self._wildcard = False
        self._owed: set[str] = set()
        self._must = False
        self._sent: dict[str, str] = {}
        self._seen: tuple[str, bool] | None = None
        #: What was seen: of it, nothing that the client asked for then is lacking.
        self._base = Resources()
        #: Names that may be the client's and in nothing that was seen since, until it is told to forget them.
        self._stale: set[str] = set()
        self._pending: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._doubts = Doubts()
        self._takes_ttl = takes_ttl
        #: When ``heartbeat`` is to be asked again.
        self.pulse = Pulse()
        self.resumed = False

    @property
    def sent(self) -> Mapping[str, str]:
        """Version by name of what the client has, from this stream or an earlier one."""
        return self._sent

    @property
    def size(self) -> int:
        """How many names the client asks for, beside everything."""
        return len(self._names)

    @property
    def owed(self) -> int:
        """How many names the client waits to be told of."""
        return len(self._owed)

    def on_request(
        self,
        *,
        subscribe: Collection[str] = (),
        unsubscribe: Collection[str] = (),
        initial: Mapping[str, str] | None = None,
        nonce: str = "",
        error: str | None = None,
    ) -> Event:
        """Take one request and say what it meant.

        Args:
            subscribe: Names to add; each is owed an answer, even one that the client should have.
            unsubscribe: Names to drop; unknown ones are ignored.
            initial: Version by name of what the client kept from an earlier stream; only the first request's counts.
            nonce: The nonce of the response that it answers; a stale one makes the rest of the request no less valid.
            error: The message of ``error_detail``; ``None`` if the request has none.
        """
        first, self._first = self._first, False
        self._subscribe(subscribe, legacy=first and not subscribe and not unsubscribe and self._type_url in FULL_SET)
        if first and initial:
            self._resume(initial)
        self._unsubscribe(unsubscribe)
        return self._answer(nonce, error)

    def _subscribe(self, names: Collection[str], *, legacy: bool) -> None:
        explicit = set(names)
        if WILDCARD in explicit or legacy:
            explicit.discard(WILDCARD)
            self._must = self._must or not self._wildcard
            self._wildcard = True
            self._seen = None
        self._names |= explicit
        self._owed |= explicit

    def _resume(self, initial: Mapping[str, str]) -> None:
        """Take the client's word for what it has: that is what need not be sent, and what may have to be removed."""
        self._sent = {name: version for name, version in initial.items() if self._wildcard or name in self._names}
        self._owed -= self._sent.keys()
        self._must = False
        self.resumed = bool(self._sent)
        self.pulse.hurry()

    def _unsubscribe(self, names: Collection[str]) -> None:
        if not names:
            return
        before = tuple(self._sent)
        if WILDCARD in names:
            self._wildcard = self._must = False
            self._owed &= self._names
            self._sent = {name: version for name, version in self._sent.items() if name in self._names}
        for name in names:
            if name in self._names:
                self._names.discard(name)
                if self._wildcard:
                    # The client cannot tell whether the wildcard still covers it ("Unsubscribing from resources").
                    self._owed.add(name)
                else:
                    self._owed.discard(name)
                    self._sent.pop(name, None)
        self._doubts.forget(name for name in before if name not in self._sent)

    def _answer(self, nonce: str, error: str | None) -> Event:
        if not nonce:
            return Subscribed()
        if nonce not in self._pending:
            return Stale(nonce)
        version, carried = self._pending.pop(nonce)
        if error is None:
            self._doubts.accept(carried, self._sent)
            return Ack(nonce=nonce, version=version)
        suspects = self._doubts.reject(carried, self._sent)
        return Nack(nonce=nonce, version=version, message=error, names=tuple(carried), suspects=suspects)

    def force(self, names: Iterable[str]) -> None:
        """Have those of ``names`` that the client has sent again with the next response."""
        self._owed.update(name for name in names if name in self._sent)

    def next_response(self, resources: Resources, *, removals: bool = True) -> Response | None:
        """Return what the client must be sent to have ``resources``, and take it as sent; ``None`` if nothing."""
        if self._seen == (resources.version, removals) and not self._owed:
            return None
        if self._type_url in ONE_BY_ONE and len(self._pending) >= _IN_FLIGHT:
            return None
        due = self._owed | self._doubts.again(resources)
        found = map(resources.get, self._candidates(resources, due))
        lacking = (r for r in found if r and (r.name in due or self._sent.get(r.name) != r.version))
        chosen, later = sorted(lacking, key=lambda resource: resource.name), list[Resource]()
        if self._type_url in ONE_BY_ONE:
            chosen, later = chosen[:1], chosen[1:]
        gone = {name for name in self._owed if name not in resources}
        if removals:
            gone.update(name for name in self._stale if name in self._sent and name not in resources)
            self._stale.clear()
        # Envoy cannot finish starting without an answer to its first wildcard request, so that one may be empty.
        silent = not (chosen or gone or self._must)
        # What is left for later is looked for among everything.
        self._seen, self._base = None if later else (resources.version, removals), resources
        self._owed.intersection_update(resource.name for resource in later)
        self._must = False
        if silent:
            return None
        updated = tuple(r.name for r in chosen if self._sent.get(r.name) != r.version)
        for resource in chosen:
            self._doubts.sent(resource.name, resource.version, self._sent.get(resource.name, ""))
            self._sent[resource.name] = resource.version
        self._doubts.forget(gone)
        for name in gone:
            self._sent.pop(name, None)
        removed = tuple(sorted(gone))
        carried = {**{r.name: r.version for r in chosen}, **dict.fromkeys(removed, "")}
        nonce = self._next_nonce()
        self._pending[nonce] = (resources.version, carried)
        if len(self._pending) > _REMEMBERED:
            del self._pending[next(iter(self._pending))]
        return Response(
            type_url=self._type_url,
            version=resources.version,
            nonce=nonce,
            resources=tuple(chosen if self._takes_ttl else (replace(r, ttl=0) if r.ttl else r for r in chosen)),
            removed=removed,
            updated=updated,
        )

    def heartbeat(self, resources: Resources, now: float) -> Response | None:
        """Return what has the client keep what it has for another lifetime, if that is due; ``None`` if not.

        What is on its way starts a lifetime of its own when the client takes it, and what the client rejects leaves it
        with what it had. After a standstill everything is sent anew, since the client may have dropped it. Answers to
        heartbeats say nothing and are taken as stale.

        Args:
            resources: All resources of the type that the client may have now, and was sent.
            now: Seconds on any clock that does not jump.
        """
        late = self.pulse.late(resources.ttl, now)
        if not self.pulse.due(resources.ttl if self._takes_ttl else 0, now):
            return None
        if late:
            self.force(resource.name for resource in resources.values() if resource.ttl)
            return self.next_response(resources)
        alive = tuple(
            replace(resource, version=version)
            for resource in resources.values()
            if resource.ttl and (version := self._doubts.held(resource.name, self._sent.get(resource.name, "")))
        )
        if not alive:
            return None
        return Response(
            type_url=self._type_url,
            version=resources.version,
            nonce=self._next_nonce(),
            resources=alive,
            heartbeat=True,
        )

    def _next_nonce(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def _candidates(self, resources: Resources, due: AbstractSet[str]) -> Iterable[str]:
        """Return the names of what may be lacking, and remember those of what may be gone.

        After the first time that is what has changed since: everything, for each of many streams, would cost too much.
        """
        if self._seen is None:
            self._stale = {name for name in self._sent if name not in resources}
            return resources if self._wildcard else self._names | due
        changed, gone = resources.since(self._base)
        self._stale.update(name for name in gone if name in self._sent)
        return due | (changed if self._wildcard else changed & self._names)

    def answered(self, resources: Resources, *, removals: bool = True) -> Answer:
        """Say how the client stands to ``resources``, which ``next_response`` was last asked for."""
        if self._pending or self._owed or self._seen != (resources.version, removals):
            return Answer.WAITING
        return Answer.REJECTED if self._doubts.rejected else Answer.ACCEPTED
