"""From the labels of one service to what it asks for."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar, cast

from swarm_xds.labels import hrm, keys, values
from swarm_xds.labels.intent import ANY_HOST, BackendIntent, BackendMode, RouteIntent, ServiceIntent, Sticky
from swarm_xds.labels.keys import Due, Key, Scope
from swarm_xds.labels.values import BadValueError
from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.swarm import Service

T = TypeVar("T")

#: Longest value of a label that is read, in characters.
MAX_VALUE = 16_384
_ROUTE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.IGNORECASE)
_DEFAULT_COOKIE = "swarm-xds"


@dataclass(slots=True)
class _Labels:
    """The labels of one service on their way from text to values."""

    service: Service
    problems: list[Problem] = field(default_factory=list)
    #: (route name, key name) → (label, value); only keys that are due and spelled right.
    texts: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    #: Routes with a label that could not be read, and those that cannot be served without it.
    doubtful: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)

    def problem(
        self, severity: Severity, kind: Kind, label: str, reason: str, cure: str = "", *, value: str = ""
    ) -> None:
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


def parse(service: Service) -> tuple[ServiceIntent, tuple[Problem, ...]]:
    """Return what a service asks for, and what is wrong with its labels. Never raises for any label."""
    labels = _Labels(service)
    for label, value in service.labels:
        _sort(labels, label, value)
    routes = [route for name in _route_names(labels) if (route := _route(labels, name)) is not None]
    routes += _hrm_routes(labels)
    intent = ServiceIntent(service=service.name, routes=tuple(routes), doubtful=frozenset(labels.doubtful))
    return intent, tuple(labels.problems)


def _sort(labels: _Labels, label: str, value: str) -> None:
    """File one label under its route and key, or say why not."""
    if label.startswith(keys.INTERLOCK):
        route, name = "", label.removeprefix(keys.INTERLOCK)
    elif label.startswith(keys.ROUTE):
        route, _, name = label.removeprefix(keys.ROUTE).partition(".")
        if not _ROUTE_NAME.fullmatch(route) or not name:
            labels.problem(
                Severity.ERROR,
                Kind.UNKNOWN_KEY,
                label,
                "not a label of a named route",
                "write xds.route.<name>.<key>, the name of letters, digits, hyphens and underscores",
                value=value,
            )
            return
    elif label.startswith(keys.XDS):
        route, name = "", label.removeprefix(keys.XDS)
    else:
        return
    key = keys.find(name)
    if key is None or (label.startswith(keys.INTERLOCK) and not key.interlock):
        _unknown(labels, label, value, key)
    elif key.due is not Due.NOW:
        _not_due(labels, route, key, label, value)
    else:
        _keep(labels, route, key, label, value)


def _unknown(labels: _Labels, label: str, value: str, key: Key[object] | None) -> None:
    if key is not None:
        reason, cure = "Interlock has no such label", f"write {keys.XDS}{key.name}"
    else:
        stem, _, name = label.rpartition(".") if label.startswith(keys.ROUTE) else label.partition(label_prefix(label))
        prefix = f"{stem}." if label.startswith(keys.ROUTE) else label_prefix(label)
        close = difflib.get_close_matches(name, [known for known in keys.BY_NAME if _spelled(prefix, known)], n=1)
        reason, cure = "there is no such label", f"did you mean {prefix}{close[0]}?" if close else "take it away"
    labels.problem(Severity.ERROR, Kind.UNKNOWN_KEY, label, reason, cure, value=value)


def label_prefix(label: str) -> str:
    """Return which of our prefixes a label has."""
    return keys.INTERLOCK if label.startswith(keys.INTERLOCK) else keys.XDS


def _spelled(prefix: str, name: str) -> bool:
    return prefix != keys.INTERLOCK or keys.BY_NAME[name].interlock


def _not_due(labels: _Labels, route: str, key: Key[object], label: str, value: str) -> None:
    if value.strip().lower() in key.idle:
        return
    reason = "this label is not yet served"
    if key.due is Due.WITHHOLD:
        labels.withheld.add(route)
        reason += ", and the route is left out: without it, it would do what nobody asked for"
    labels.problem(Severity.ERROR, Kind.NOT_YET_SERVED, label, reason, "take the label away", value=value)


def _keep(labels: _Labels, route: str, key: Key[object], label: str, value: str) -> None:
    place = (route, key.name)
    other = labels.texts.get(place)
    if other is None:
        labels.texts[place] = (label, value)
        return
    # Labels come sorted by key, so the order of the two is the same on every replica.
    winner, loser = sorted((other, (label, value)), key=lambda each: _precedence(key, each[0]))
    labels.texts[place] = winner
    labels.problem(
        Severity.WARNING,
        Kind.DUPLICATE,
        loser[0],
        f"{winner[0]} says the same thing and wins",
        "keep one of the two",
        value=loser[1],
    )


def _precedence(key: Key[object], label: str) -> tuple[bool, bool]:
    return (label.startswith(keys.INTERLOCK), not label.endswith(key.name))


def _route_names(labels: _Labels) -> Iterator[str]:
    """Yield the names of the routes that the labels speak of, the unnamed one first."""
    named = {route for route, _ in labels.texts if route} | {route for route in labels.withheld if route}
    unnamed = {keys.BY_NAME[name].scope for route, name in labels.texts if not route}
    if Scope.ROUTE in unnamed or (unnamed and not named):
        yield ""
    yield from sorted(named)


def _value(labels: _Labels, route: str, key: Key[T]) -> T | None:
    """Return a key's value for a route; None if it is not given, or bad (which is then a problem)."""
    places = [(route, key.name)] if key.scope is Scope.ROUTE else [(route, key.name), ("", key.name)]
    found = next((place for place in places if place in labels.texts), None)
    if found is None:
        return None
    label, text = labels.texts[found]
    try:
        return key.parse(_short(text))
    except BadValueError as error:
        labels.problem(Severity.ERROR, Kind.BAD_VALUE, label, str(error), error.cure, value=text)
    labels.doubtful.add(route)
    if key.needed:
        labels.spoilt.add(route)
    return None


def _short(text: str) -> str:
    if len(text) > MAX_VALUE:
        raise BadValueError(f"longer than {MAX_VALUE} characters", "split it among several named routes")
    return text


def _route(labels: _Labels, name: str) -> RouteIntent | None:
    prefix = f"{keys.ROUTE}{name}." if name else _prefix_in_use(labels)
    hosts = _hosts(labels, name)
    redirects = _value(labels, name, keys.REDIRECTS) or ()
    default = _value(labels, name, keys.DEFAULT_BACKEND)
    port = _value(labels, name, keys.PORT)
    path = _value(labels, name, keys.CONTEXT_ROOT)
    strip = _value(labels, name, keys.CONTEXT_ROOT_REWRITE)
    fleet = _value(labels, name, keys.SERVICE_CLUSTER)
    backend = _backend(labels, name, port) if port is not None else None
    if name in labels.withheld or name in labels.spoilt:
        return None
    if default:
        hosts = (*hosts, ANY_HOST)
    missing = None
    if not hosts and (not redirects or port is not None):
        missing = (f"{prefix}hosts", "no host to answer for", "name the hosts, or set default_backend")
    elif hosts and backend is None:
        missing = (f"{prefix}port", "no port to send requests to", "name the port that the container listens on")
    if missing is not None:
        labels.problem(Severity.ERROR, Kind.MISSING_KEY, missing[0], missing[1], missing[2])
        if not redirects:
            return None
        hosts, backend = (), None
    return RouteIntent(
        name=name,
        fleet=fleet or "",
        hosts=tuple(sorted(hosts)),
        path=path or "/",
        strip_prefix=bool(strip) and (path or "/") != "/",
        redirects=redirects,
        backend=backend,
    )


def _prefix_in_use(labels: _Labels) -> str:
    """Return the prefix that this service writes its labels with, for a message about a missing one."""
    ours = any(label.startswith(keys.XDS) for label, _ in labels.service.labels)
    return keys.XDS if ours else keys.INTERLOCK


def _hosts(labels: _Labels, route: str) -> tuple[str, ...]:
    """Return the good ones among the hosts; a bad one is a problem and does not hide the others."""
    place = (route, keys.HOSTS.name)
    if place not in labels.texts:
        return ()
    label, text = labels.texts[place]
    good: list[str] = []
    try:
        names = [name for name in _short(text).split(",") if name.strip()] or [text]
    except BadValueError:
        return _value(labels, route, keys.HOSTS) or ()
    for name in names:
        try:
            good.append(values.host(name))
        except BadValueError as error:
            labels.problem(Severity.ERROR, Kind.BAD_VALUE, label, str(error), error.cure, value=text)
            labels.doubtful.add(route)
    if len(set(good)) != len(good):
        labels.problem(Severity.WARNING, Kind.DUPLICATE, label, "a host is named twice", "name it once", value=text)
    if not good:
        labels.spoilt.add(route)
    return values.unique(good)


def _backend(labels: _Labels, route: str, port: int) -> BackendIntent:
    cookie = _value(labels, route, keys.STICKY_SESSION_COOKIE) or ""
    sticky = _value(labels, route, keys.STICKY)
    ip_hash = _value(labels, route, keys.IP_HASH) or False
    mode = _value(labels, route, keys.BACKEND_MODE) or BackendMode.TASK
    if sticky is Sticky.GENERATED and not cookie:
        cookie = _DEFAULT_COOKIE
    if sticky is Sticky.APPLICATION and not cookie:
        _contradiction(labels, route, keys.STICKY, "no cookie is named", "add sticky_session_cookie")
    if cookie and ip_hash:
        _contradiction(
            labels, route, keys.IP_HASH, "stickiness by cookie is asked for too, and wins", "keep one of the two"
        )
        ip_hash = False
    if mode is BackendMode.VIP and (cookie or ip_hash):
        _contradiction(
            labels,
            route,
            keys.BACKEND_MODE,
            "with one virtual IP no client can be kept on a task",
            "use backend_mode task",
        )
        cookie, ip_hash, sticky = "", False, None
    return BackendIntent(
        port=port,
        network=_value(labels, route, keys.NETWORK) or "",
        mode=mode,
        cookie=cookie,
        sticky=sticky or Sticky.APPLICATION,
        ip_hash=ip_hash,
        max_fails=_value(labels, route, keys.MAX_FAILS),
        fail_timeout=_value(labels, route, keys.FAIL_TIMEOUT),
    )


def _contradiction(labels: _Labels, route: str, key: Key[T], reason: str, cure: str) -> None:
    place = (route, key.name)
    label, value = labels.texts.get(place) or labels.texts[("", key.name)]
    labels.problem(Severity.WARNING, Kind.CONTRADICTION, label, reason, cure, value=value)


def _hrm_routes(labels: _Labels) -> Iterator[RouteIntent]:
    published = tuple(sorted({port.target for port in labels.service.ports}))
    for label, value in labels.service.labels:
        if not hrm.is_hrm(label):
            continue
        try:
            route = hrm.route(label, value, published)
        except hrm.NotServed as error:
            labels.problem(Severity.ERROR, error.kind, label, error.reason, "", value=value)
        except BadValueError as error:
            labels.problem(Severity.ERROR, Kind.BAD_VALUE, label, str(error), error.cure, value=value)
            labels.doubtful.add("hrm" + label.removeprefix(keys.HRM).replace(".", "-"))
        else:
            yield route
            backend = cast("BackendIntent", route.backend)
            labels.problem(
                Severity.INFO,
                Kind.OLD_LABEL,
                label,
                "a label of the HTTP routing mesh",
                f"write xds.hosts={route.hosts[0]} and xds.port={backend.port}",
                value=value,
            )
