"""What one client has, and asked for, of one type on one state-of-the-world stream.

In: the fields of each request, and the resources that the client may have now. Out: what the request meant (``Event``)
and the next ``Response``, if one is due. Pure: no gRPC, no protobuf, no clock, no logger. It must not know in what
order types are sent; that is ``sequence``'s.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from swarm_xds.server.subscription import (
    FULL_SET,
    ONE_BY_ONE,
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
from swarm_xds.snapshot import Resource, Resources


class SotwSubscription:
    """One type of a state-of-the-world stream.

    Args:
        type_url: The type.
        nonce_prefix: Makes nonces of one stream unlike those of another.
        placeholder: Makes the answer for a requested name that does not exist, for types where a client would
            otherwise wait in vain; it is sent at most once, and never in place of something that was sent before.
    """

    __slots__ = (
        "_brought", "_count", "_doubts", "_first", "_full", "_in_flight", "_must", "_named", "_names", "_nonce",
        "_owed", "_pending", "_placeholder", "_prefix", "_seen", "_sent", "_type_url", "_version", "_wildcard",
    )  # fmt: skip

    resumed = False

    def __init__(
        self, type_url: str, *, nonce_prefix: str = "", placeholder: Callable[[str], Resource] | None = None
    ) -> None:
        self._type_url = type_url
        self._full = type_url in FULL_SET
        self._placeholder = placeholder
        self._prefix = nonce_prefix
        self._count = 0
        self._first = True
        self._named = False
        self._names: frozenset[str] = frozenset()
        self._wildcard = False
        self._owed: set[str] = set()
        self._must = False
        self._sent: dict[str, str] = {}
        self._brought = ""
        self._seen = ""
        self._nonce = ""
        self._version = ""
        self._pending = False
        self._in_flight: Mapping[str, str] = {}
        self._doubts = Doubts()

    @property
    def sent(self) -> Mapping[str, str]:
        """Version by name of what the client has been sent and still asks for."""
        return self._sent

    @property
    def size(self) -> int:
        """How many names the client asks for, beside everything."""
        return len(self._names)

    @property
    def owed(self) -> int:
        """How many names the client waits to be told of."""
        return len(self._owed)

    def on_request(self, *, names: Collection[str], nonce: str, version: str = "", error: str | None = None) -> Event:
        """Take one request and say what it meant.

        Args:
            names: All names that the client wants from now on, which is what SotW requests list.
            nonce: The nonce of the response that it answers; empty in the first request.
            version: What the client accepted last, be it on an earlier stream; empty if nothing yet.
            error: The message of ``error_detail``; ``None`` if the request has none.
        """
        first, self._first = self._first, False
        # A nonce does not survive its stream: with nothing sent yet there is nothing that it could be stale to.
        # An empty one later answers nothing, so only its names count.
        if not first and nonce and nonce != self._nonce:
            return Stale(nonce)
        self._subscribe(frozenset(names))
        # Who asks for everything by saying nothing can have got this version for everything only. Who named any may
        # have added or dropped some since, so that it proves nothing (docs/adr/035).
        self._brought = version if first and not names else ""
        if first or not nonce or not self._pending:
            return Subscribed()
        self._pending = False
        if error is None:
            self._doubts.accept(self._in_flight, self._sent)
            return Ack(nonce=nonce, version=self._version)
        suspects = self._doubts.reject(self._in_flight, self._sent)
        names = tuple(self._in_flight)
        return Nack(nonce=nonce, version=self._version, message=error, names=names, suspects=suspects)

    def _subscribe(self, names: frozenset[str]) -> None:
        explicit = names - {WILDCARD}
        wildcard = WILDCARD in names
        if names:
            self._named = True
        elif not self._named:
            # Legacy wildcard: no name ever asked for. After any name, an empty list unsubscribes from everything.
            wildcard = self._full
        if explicit == self._names and wildcard == self._wildcard:
            return
        self._owed |= explicit - self._names
        self._owed &= explicit
        self._must = wildcard and (self._must or not self._wildcard)
        self._names, self._wildcard = explicit, wildcard
        if not wildcard:
            self._doubts.forget(name for name in self._sent if name not in explicit)
            self._sent = {name: version for name, version in self._sent.items() if name in explicit}

    def force(self, names: Iterable[str]) -> None:
        """Have those of ``names`` that the client has sent again with the next response."""
        self._owed.update(name for name in names if name in self._sent)

    def next_response(self, resources: Resources, *, removals: bool = True) -> Response | None:  # noqa: ARG002 # both variants are called alike
        """Return what the client must be sent to have ``resources``, and take it as sent; ``None`` if nothing.

        Names that do not exist get no answer (but see ``placeholder``): SotW has none to give.
        """
        if resources.version == self._seen and not self._owed and not self._must:
            return None
        if self._pending and self._type_url in ONE_BY_ONE:
            # An answer to this one would be stale as soon as the next is sent.
            return None
        if self._brought == resources.version and self._wildcard:
            self._sent = {resource.name: resource.version for resource in resources.values()}
            self._must = False
        chosen = self._whole(resources) if self._full else self._part(resources)
        self._brought = ""
        later: tuple[Resource, ...] = ()
        if chosen and self._type_url in ONE_BY_ONE and not self._must:
            chosen, later = chosen[:1], chosen[1:]
        self._seen = "" if later else resources.version
        self._owed.intersection_update(resource.name for resource in later)
        self._must = False
        if chosen is None:
            return None
        updated = tuple(r.name for r in chosen if self._sent.get(r.name) != r.version)
        before = self._sent
        if self._full:
            self._sent = {}
            self._doubts.forget(before.keys() - {resource.name for resource in chosen})
        for resource in chosen:
            self._doubts.sent(resource.name, resource.version, before.get(resource.name, ""))
            self._sent[resource.name] = resource.version
        self._count += 1
        self._nonce = f"{self._prefix}{self._count}"
        self._version = resources.version
        self._in_flight = {r.name: r.version for r in chosen}
        self._pending = True
        return Response(
            type_url=self._type_url,
            version=resources.version,
            nonce=self._nonce,
            resources=chosen,
            updated=updated,
            partial=self._full and not self._wildcard,
        )

    def _whole(self, resources: Resources) -> tuple[Resource, ...] | None:
        """Return all that is asked for, whatever changed: in these types absence means deletion."""
        if self._wildcard:
            wanted = tuple(resources.values())
        else:
            wanted = tuple(resources[name] for name in sorted(self._names) if name in resources)
        due = (
            self._must
            or any(name in resources for name in self._owed)
            or len(wanted) != len(self._sent)
            or any(self._sent.get(r.name) != r.version for r in wanted)
        )
        return wanted if due else None

    def _part(self, resources: Resources) -> tuple[Resource, ...] | None:
        """Return what the client lacks; absence means nothing here, so an empty response would be a waste."""
        names = self._names.union(resources) if self._wildcard else self._names
        again = self._doubts.again(resources)
        chosen = []
        for name in names:
            resource = resources.get(name)
            if resource is None and self._placeholder and name in self._owed and name not in self._sent:
                resource = self._placeholder(name)
            due = self._must or name in self._owed or name in again
            if resource and (due or self._sent.get(name) != resource.version):
                chosen.append(resource)
        return tuple(sorted(chosen, key=lambda resource: resource.name)) or None

    def answered(self, resources: Resources, *, removals: bool = True) -> Answer:  # noqa: ARG002 # both variants are called alike
        """Say how the client stands to ``resources``, which ``next_response`` was last asked for."""
        if self._pending or self._owed or self._must or self._seen != resources.version:
            return Answer.WAITING
        return Answer.REJECTED if self._doubts.rejected else Answer.ACCEPTED
