"""What one client has, and asked for, of one type on one incremental stream.

In: the fields of each request, and the resources that the client may have now. Out: what the request meant (``Event``)
and the next ``Response``, if one is due. Pure: no gRPC, no protobuf, no clock, no logger. It must not know in what
order types are sent; that is ``sequence``'s.
"""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

from swarm_xds.server.subscription import (
    FULL_SET,
    WILDCARD,
    Ack,
    Answer,
    Doubts,
    Event,
    Nack,
    Response,
    Stale,
    Subscribed,
)
from swarm_xds.snapshot import Resources

#: Unanswered incremental responses remembered per type; a client that never answers costs no more than this.
_REMEMBERED = 64


class DeltaSubscription:
    """One type of an incremental stream.

    Args:
        type_url: The type.
        nonce_prefix: Makes nonces of one stream unlike those of another.
    """

    __slots__ = (
        "_base", "_count", "_doubts", "_first", "_must", "_names", "_owed", "_pending", "_prefix", "_seen", "_sent",
        "_stale", "_type_url", "_wildcard", "resumed",
    )  # fmt: skip

    def __init__(self, type_url: str, *, nonce_prefix: str = "") -> None:
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
        self.resumed = False

    @property
    def sent(self) -> Mapping[str, str]:
        """Version by name of what the client has, from this stream or an earlier one."""
        return self._sent

    @property
    def size(self) -> int:
        """How many names the client asks for, beside everything."""
        return len(self._names)

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
        due = self._owed | self._doubts.again(resources)
        found = map(resources.get, self._candidates(resources, due))
        lacking = (r for r in found if r and (r.name in due or self._sent.get(r.name) != r.version))
        chosen = sorted(lacking, key=lambda resource: resource.name)
        gone = {name for name in self._owed if name not in resources}
        if removals:
            gone.update(name for name in self._stale if name in self._sent and name not in resources)
            self._stale.clear()
        # Envoy cannot finish starting without an answer to its first wildcard request, so that one may be empty.
        silent = not (chosen or gone or self._must)
        self._seen, self._base = (resources.version, removals), resources
        self._owed.clear()
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
        self._count += 1
        nonce = f"{self._prefix}{self._count}"
        self._pending[nonce] = (resources.version, carried)
        if len(self._pending) > _REMEMBERED:
            del self._pending[next(iter(self._pending))]
        return Response(
            type_url=self._type_url,
            version=resources.version,
            nonce=nonce,
            resources=tuple(chosen),
            removed=removed,
            updated=updated,
        )

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
