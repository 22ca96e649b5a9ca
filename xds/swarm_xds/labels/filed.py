"""Labels sorted by what they speak of: each text under its route and key, or a problem that says why not."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from swarm_xds.labels import hrm, keys
from swarm_xds.labels.intent import Closed
from swarm_xds.labels.keys import Due, Key, Scope
from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.swarm import Service, marks

#: Name of the route, empty for the unnamed one, and name of the key.
Place = tuple[str, str]
_ROUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
#: Docker's own prefix, the prefix below it that is the control plane's of Docker EE, and how long one is that may have
#: been meant for `lb`.
_DOCKER, _UCP, _PREFIX = "com.docker.", "ucp", 3
_NOT_INTERLOCKS = "Interlock has no such label"
#: After so many problems, and for longer names, nobody needs a "did you mean", which takes its time.
_GUESSES, _LONGEST_GUESS = 100, 64
#: From which likeness on a label is taken for the one that was meant.
_SURE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mistaken:
    """A label that is none, the key that was meant, and what is to be told of it."""

    route: str
    key: Key[object]
    label: str
    value: str
    reason: str
    cure: str


@dataclass(slots=True)
class Filed:
    """The labels of one service on their way from text to values.

    Attributes:
        texts: Label and value of each known key.
        by_route: Where these stand, by route and key.
        fallbacks: The unnamed keys that named routes fall back to, likewise.
        later: Those that are not yet served.
        named: Names of the routes that have keys of their own.
        scopes: Scopes of the unnamed keys that are served.
        mesh: Label and value of each label of the HTTP routing mesh.
        read: Places whose value was looked at.
        doubtful: Routes with a label that could not be read.
        spoilt: Those that cannot be served without it.
        closing: Those that are left out for a label that keeps people out.
        closed: Their hosts.
        mistaken: Labels that are none, and were meant to keep people out.
    """

    service: Service
    problems: list[Problem] = field(default_factory=list)
    texts: dict[Place, tuple[str, str]] = field(default_factory=dict)
    by_route: dict[str, dict[str, Place]] = field(default_factory=dict)
    fallbacks: dict[str, Place] = field(default_factory=dict)
    later: dict[Place, Key[object]] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    scopes: set[Scope] = field(default_factory=set)
    mesh: list[tuple[str, str]] = field(default_factory=list)
    read: set[Place] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)
    closing: set[str] = field(default_factory=set)
    closed: list[Closed] = field(default_factory=list)
    mistaken: list[_Mistaken] = field(default_factory=list)

    def problem(
        self, severity: Severity, kind: Kind, label: str, reason: str, cure: str = "", *, value: str = ""
    ) -> None:
        """Add a problem with a label."""
        self.problems.append(
            Problem(
                severity=severity,
                kind=kind,
                service=self.service.name,
                label=shown(label),
                value=shown(value),
                reason=reason,
                cure=cure,
                source=self.service.source,
            )
        )

    def places(self, route: str) -> dict[str, Place]:
        """Return where a route's values stand, by key: keys of the backend fall back to the unnamed ones."""
        own = self.by_route.get(route, {})
        return self.fallbacks | own if route else own


def file(service: Service) -> Filed:
    """Return a service's labels by route and key, with a problem for each that has no place."""
    filed = Filed(service)
    for label, value in sorted(service.labels):
        if label.startswith(marks.INTERLOCK):
            _file(filed, "", label.removeprefix(marks.INTERLOCK), label, value)
        elif label.startswith(keys.ROUTE):
            _file_named(filed, label, value)
        elif label.startswith(marks.XDS):
            _file(filed, "", label.removeprefix(marks.XDS), label, value)
        elif hrm.is_hrm(label):
            filed.mesh.append((label, value))
        elif meant := _meant(label):
            reason = "there is no such label, and it has no effect"
            filed.problem(Severity.WARNING, Kind.UNKNOWN_KEY, label, reason, f"did you mean {meant}?", value=value)
    return filed


def _meant(label: str) -> str:
    """Return the label of ours that somebody may have meant by one that is nobody's; empty if there is none.

    The prefix is Docker's, so nobody else has labels there: ``com.docker.network``, ``com.docker.ib.port``,
    ``com.docker.LB.hosts``.
    """
    lower = label.lower()
    if not lower.startswith(_DOCKER):
        return ""
    rest = lower.removeprefix(_DOCKER)
    first, _, name = rest.partition(".")
    key = keys.find(name if name and len(first) <= _PREFIX and first != _UCP else rest)
    return f"{marks.INTERLOCK}{key.name}" if key is not None and key.interlock else ""


def withheld(filed: Filed, routes: frozenset[str]) -> set[str]:
    """Report each key that is not yet served; return those of ``routes`` that must not be served without one."""
    out: set[str] = set()
    for place, key in filed.later.items():
        label, value = filed.texts[place]
        filed.read.add(place)
        if value.strip().lower() in key.idle:
            continue
        reason = "this label is not yet served"
        if key.due is Due.WITHHOLD:
            reason += ", and the route is left out: without it, it would do what nobody asked for"
            found = _withheld_by(filed, place, key, routes)
            out |= found
            if key.closes:
                filed.closing |= found
        filed.problem(Severity.ERROR, Kind.NOT_YET_SERVED, label, reason, "take the label away", value=value)
    out_of_place = _without_route(filed, routes)
    filed.doubtful |= out_of_place
    filed.spoilt |= out_of_place
    filed.closing |= out_of_place
    for each in filed.mistaken:
        found = _close(filed, each, routes)
        if each.key.due is Due.WITHHOLD:
            out |= found
        else:
            filed.doubtful |= found
            filed.spoilt |= found
        filed.closing |= found
    return out


def _without_route(filed: Filed, routes: frozenset[str]) -> set[str]:
    """Report authorities of clients beside named routes alone; return those that would be open without them."""
    place = ("", keys.TLS_CLIENT_CA.name)
    if place not in filed.texts or {("", keys.HOSTS.name), ("", keys.DEFAULT_BACKEND.name)} & filed.texts.keys():
        return set()
    found = {each for each in routes if each and (each, keys.TLS_CLIENT_CA.name) not in filed.texts}
    if found:
        label, value = filed.texts[place]
        reason = "there is no unnamed route that it could speak of; the others are left out: they would be open to all"
        cure = f"write {keys.ROUTE}<name>.{keys.TLS_CLIENT_CA.name} for each"
        filed.problem(Severity.ERROR, Kind.CONTRADICTION, label, reason, cure, value=value)
    return found


def _close(filed: Filed, mistaken: _Mistaken, routes: frozenset[str]) -> set[str]:
    """Report a label that was meant to keep people out; return the routes that would be open without it."""
    place = (mistaken.route, mistaken.key.name)
    found = set() if place in filed.texts else _withheld_by(filed, place, mistaken.key, routes)
    reason = f"{mistaken.reason}, and the route is left out: it would be open to all" if found else mistaken.reason
    filed.problem(Severity.ERROR, Kind.UNKNOWN_KEY, mistaken.label, reason, mistaken.cure, value=mistaken.value)
    return found


def _withheld_by(filed: Filed, place: Place, key: Key[object], routes: frozenset[str]) -> set[str]:
    """Return the routes that a label speaks of: its own, and for the unnamed one those that fall back to it.

    An access rule without a route of its own was meant for something, so it closes all of them.
    """
    route, name = place
    if route in routes and (route or key.scope is Scope.ROUTE):
        return {route}
    return {each for each in routes if not route and (each == route or (each, name) not in filed.texts)}


def _file_named(filed: Filed, label: str, value: str) -> None:
    route, _, name = label.removeprefix(keys.ROUTE).partition(".")
    if _ROUTE_NAME.fullmatch(route) and name:
        _file(filed, route, name, label, value)
        return
    filed.problem(
        Severity.ERROR,
        Kind.UNKNOWN_KEY,
        label,
        "not a label of a named route",
        "write xds.route.<name>.<key>, the name of letters, digits, hyphens and underscores",
        value=value,
    )


def _file(filed: Filed, route: str, name: str, label: str, value: str) -> None:
    key = keys.find(name)
    if key is None or (not key.interlock and label.startswith(marks.INTERLOCK)):
        _unknown(filed, (route, name), label, value, key)
        return
    # A family such as cors.* has many names; an alias is the same place as its key.
    place = (route, name if key.name.endswith("*") else key.name)
    other = filed.texts.get(place)
    if other is None:
        filed.texts[place] = (label, value)
        filed.by_route.setdefault(route, {})[place[1]] = place
        if route:
            filed.named.add(route)
        elif key.scope is Scope.BACKEND:
            filed.fallbacks[place[1]] = place
        if key.due is not Due.NOW:
            filed.later[place] = key
        elif not route:
            filed.scopes.add(key.scope)
        return
    winner, loser = sorted((other, (label, value)), key=lambda each: _precedence(key, each[0]))
    filed.texts[place] = winner
    filed.problem(
        Severity.WARNING,
        Kind.DUPLICATE,
        loser[0],
        f"{winner[0]} is the same label in another spelling, and wins",
        "keep one of the two",
        value=loser[1],
    )


def _precedence(key: Key[object], label: str) -> tuple[bool, bool]:
    return (label.startswith(marks.INTERLOCK), not label.endswith(f".{key.name}"))


def _unknown(filed: Filed, place: Place, label: str, value: str, key: Key[object] | None) -> None:
    route, name = place
    prefix = label[: len(label) - len(name)]
    if prefix == marks.INTERLOCK and name.startswith("route."):
        _, route, named = (*name.split(".", 2), "", "")[:3]
        meant, reason, cure = keys.find(named), _NOT_INTERLOCKS, f"write {marks.XDS}{name}"
    elif key is not None:
        meant, reason, cure = key, _NOT_INTERLOCKS, f"write {marks.XDS}{key.name}"
    else:
        guess = next(_guesses(filed, prefix, name), "")
        meant = keys.find(guess) if _sure(name, guess) else None
        reason = "there is no such label"
        cure = f"did you mean {prefix}{guess}?" if guess else "take it away"
    if meant is not None and meant.closes:
        filed.mistaken.append(
            _Mistaken(route=route, key=meant, label=label, value=value, reason=reason, cure=shown(cure))
        )
    else:
        filed.problem(Severity.ERROR, Kind.UNKNOWN_KEY, label, reason, shown(cure), value=value)


def _sure(name: str, guess: str) -> bool:
    """Whether a guess is more than advice: ``all`` may be anything, where ``clientca`` is not."""
    return difflib.SequenceMatcher(None, name.lower().replace("-", "_"), guess).ratio() >= _SURE


def _guesses(filed: Filed, prefix: str, name: str) -> Iterator[str]:
    if len(name) > _LONGEST_GUESS or len(filed.problems) + len(filed.mistaken) >= _GUESSES:
        return
    known = [each for each, key in keys.BY_NAME.items() if key.interlock or prefix != marks.INTERLOCK]
    yield from difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
