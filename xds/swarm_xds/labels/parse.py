"""From the labels of one service to what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from swarm_xds.labels import hrm, keys
from swarm_xds.labels.filed import Filed, Place, file, withheld
from swarm_xds.labels.intent import ANY_HOST, BackendIntent, BackendMode, Redirect, RouteIntent, ServiceIntent, Sticky
from swarm_xds.labels.keys import Key, Scope
from swarm_xds.labels.values import MAX_VALUE, BadValueError, unique
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import Service, marks

T = TypeVar("T")

_DEFAULT_COOKIE = "swarm-xds"


def parse(service: Service) -> tuple[ServiceIntent, tuple[Problem, ...]]:
    """Return what a service asks for, and what is wrong with its labels. Never raises for any label."""
    filed = file(service)
    mesh = _mesh_routes(filed)
    names = _route_names(filed)
    closed = withheld(filed, frozenset({*names, *(each.name for each in mesh)})) if filed.later else set()
    routes = [route for name in names if (route := _route(filed, name, withheld=name in closed)) is not None]
    routes += [route for each in mesh if (route := _mesh_route(filed, each)) is not None and each.name not in closed]
    _read_the_rest(filed)
    intent = ServiceIntent(
        service=service.name, routes=tuple(routes), doubtful=frozenset(filed.doubtful.difference(closed))
    )
    return intent, tuple(filed.problems)


def _route_names(filed: Filed) -> list[str]:
    """Return the names of the routes that the labels speak of, the unnamed one first."""
    # Keys of the backend alone are there for others to fall back to, if there are others.
    only = filed.scopes and not filed.named and not filed.mesh
    return ["", *sorted(filed.named)] if Scope.ROUTE in filed.scopes or only else sorted(filed.named)


@dataclass(slots=True)
class _Route:
    """One route on its way from texts to values."""

    filed: Filed
    name: str
    #: By key.
    places: Mapping[str, Place]

    @classmethod
    def of(cls, filed: Filed, name: str) -> "_Route":
        return cls(filed, name, filed.places(name))

    def value(self, key: Key[T]) -> T | None:
        """Return a key's value; None if it is not given, or bad (which is then a problem)."""
        place = self.places.get(key.name)
        if place is None:
            return None
        try:
            return key.parse(_text(self.filed, place))
        except BadValueError as error:
            _bad(self.filed, place, error)
        self.filed.doubtful.add(self.name)
        if key.needed:
            self.filed.spoilt.add(self.name)
        return None

    def label(self, key: Key[T]) -> str:
        """Return the label that a key's value stands in; empty if it is not given."""
        place = self.places.get(key.name)
        return self.filed.texts[place][0] if place is not None else ""

    def values(self, key: Key[T]) -> tuple[T, ...]:
        """Return the good values of a list; a bad one is a problem and does not hide the others."""
        place = self.places.get(key.name)
        if place is None:
            return ()
        good: list[T] = []
        try:
            parts = [part for part in _text(self.filed, place).split(key.separator) if part.strip()] or [""]
        except BadValueError as error:
            _bad(self.filed, place, error)
            parts = []
        for part in parts:
            try:
                good.append(key.parse(part))
            except BadValueError as error:
                _bad(self.filed, place, error)
        if len(good) < max(len(parts), 1):
            self.filed.doubtful.add(self.name)
        if key.needed and not good:
            self.filed.spoilt.add(self.name)
        once = unique(good)
        if len(once) < len(good):
            self.warn(Kind.DUPLICATE, key, "the same stands in it twice", "keep one of the two")
        return once

    def warn(self, kind: Kind, key: Key[T], reason: str, cure: str, severity: Severity = Severity.WARNING) -> None:
        """Add a problem with a key that is given."""
        label, value = self.filed.texts[self.places[key.name]]
        self.filed.problem(severity, kind, label, reason, cure, value=value)


def _text(filed: Filed, place: Place) -> str:
    filed.read.add(place)
    text = filed.texts[place][1]
    if len(text) > MAX_VALUE:
        raise BadValueError(f"longer than {MAX_VALUE} characters", "split it among several named routes")
    return text


def _bad(filed: Filed, place: Place, error: BadValueError) -> None:
    label, value = filed.texts[place]
    filed.problem(Severity.ERROR, Kind.BAD_VALUE, label, str(error), error.cure, value=value)


def _read_the_rest(filed: Filed) -> None:
    """Report bad values that no route looked at, such as a port that every named route has of its own."""
    for place in filed.texts.keys() - filed.read:
        key = keys.of(place[1])
        try:
            text = _text(filed, place)
            for part in text.split(key.separator) if key.separator else (text,):
                key.parse(part)
        except BadValueError as error:
            _bad(filed, place, error)


def _route(filed: Filed, name: str, *, withheld: bool) -> RouteIntent | None:
    given = _Route.of(filed, name)
    hosts = given.values(keys.HOSTS)
    redirects = _redirects(given)
    default = given.value(keys.DEFAULT_BACKEND)
    port = given.value(keys.PORT)
    path = given.value(keys.CONTEXT_ROOT) or "/"
    strip = given.value(keys.CONTEXT_ROOT_REWRITE)
    fleet = given.value(keys.SERVICE_CLUSTER)
    backend = _backend(given, port) if port is not None else None
    if withheld or name in filed.spoilt:
        return None
    named = (*hosts, ANY_HOST) if default else hosts
    # Interlock's way to write a redirect names the old host among the hosts too.
    answered = tuple(sorted([host for host in named if not (redirects and _redirected(host, path, redirects))]))
    if not named and (port is not None or not redirects):
        _missing(given, keys.HOSTS, "no host to answer for", "name the hosts, or set default_backend")
    elif answered and backend is None:
        _missing(given, keys.PORT, "no port to send requests to", "name the port that the container listens on")
        filed.doubtful.add(name)
        answered = ()
    if not answered and not redirects:
        return None
    return RouteIntent(
        name=name,
        fleet=fleet or "",
        hosts=answered,
        path=path,
        strip_prefix=bool(strip) and path != "/",
        redirects=redirects,
        backend=backend if answered else None,
    )


def _missing(given: _Route, key: Key[T], reason: str, cure: str) -> None:
    """Report a label that is missing, in the spelling that the route is written with."""
    if given.name:
        prefix = f"{keys.ROUTE}{given.name}."
    else:
        labels = [given.filed.texts[place][0] for place in given.places.values()]
        prefix = marks.XDS if any(label.startswith(marks.XDS) for label in labels) else marks.INTERLOCK
    given.filed.problem(Severity.ERROR, Kind.MISSING_KEY, f"{prefix}{key.name}", reason, cure)


def _redirects(given: _Route) -> tuple[Redirect, ...]:
    """Return the redirects that the plain listener can answer, sorted; of two from one source the first."""
    found: dict[tuple[str, str], Redirect] = {}
    for each in given.values(keys.REDIRECTS):
        if each.scheme == "https":
            reason, cure = f"a redirect from https://{each.host} is not yet served", "redirect from http:// only"
            given.warn(Kind.NOT_YET_SERVED, keys.REDIRECTS, reason, cure, Severity.ERROR)
        elif found.setdefault((each.host, each.path), each) is not each:
            reason = f"{each.host}{each.path} is redirected to two targets; the first holds"
            given.warn(Kind.CONTRADICTION, keys.REDIRECTS, reason, "keep one of the two", Severity.ERROR)
    return tuple(sorted(found.values()))


def _redirected(host: str, path: str, redirects: tuple[Redirect, ...]) -> bool:
    return any(each.host == host and f"{path}/".startswith(f"{each.path.rstrip('/')}/") for each in redirects)


def _backend(given: _Route, port: int, mesh_cookie: str = "") -> BackendIntent:
    cookie = mesh_cookie or given.value(keys.STICKY_SESSION_COOKIE) or ""
    sticky = given.value(keys.STICKY)
    ip_hash = given.value(keys.IP_HASH) or False
    mode = given.value(keys.BACKEND_MODE) or BackendMode.TASK
    if sticky is Sticky.GENERATED and not cookie:
        cookie = _DEFAULT_COOKIE
    if sticky is Sticky.APPLICATION and not cookie:
        given.warn(Kind.CONTRADICTION, keys.STICKY, "no cookie is named", "add sticky_session_cookie")
    if cookie and ip_hash:
        reason = "stickiness by cookie is asked for too, and wins"
        given.warn(Kind.CONTRADICTION, keys.IP_HASH, reason, "keep one of the two")
        ip_hash = False
    if mode is BackendMode.VIP and (cookie or ip_hash):
        reason = "behind one virtual IP no client can be kept on a task"
        given.warn(Kind.CONTRADICTION, keys.BACKEND_MODE, reason, "use backend_mode task")
        cookie, ip_hash, sticky = "", False, None
    return BackendIntent(
        port=port,
        network=given.value(keys.NETWORK) or "",
        network_label=given.label(keys.NETWORK),
        via=given.value(keys.NETWORK_VIA),
        via_label=given.label(keys.NETWORK_VIA),
        mode=mode,
        cookie=cookie,
        sticky=sticky or Sticky.APPLICATION,
        ip_hash=ip_hash,
        max_fails=given.value(keys.MAX_FAILS),
        fail_timeout=given.value(keys.FAIL_TIMEOUT),
    )


def _mesh_routes(filed: Filed) -> list[hrm.MeshRoute]:
    """Return the routes of the HTTP routing mesh's labels, and say how each is written today."""
    published = tuple(sorted({port.target for port in filed.service.ports}))
    routes: list[hrm.MeshRoute] = []
    for label, value in filed.mesh:
        try:
            route = hrm.route(label, value, published)
        except hrm.NotServed as error:
            filed.problem(Severity.ERROR, error.kind, label, error.reason, "", value=value)
        except BadValueError as error:
            filed.problem(Severity.ERROR, Kind.BAD_VALUE, label, str(error), error.cure, value=value)
            filed.doubtful.add(hrm.name(label))
        else:
            routes.append(route)
            reason = "a label of the HTTP routing mesh, which is still read"
            filed.problem(Severity.INFO, Kind.OLD_LABEL, label, reason, f"write {route.today}", value=value)
    return routes


def _mesh_route(filed: Filed, mesh: hrm.MeshRoute) -> RouteIntent | None:
    """Return a route of the mesh; its backend has the other keys of the service, as a named route has."""
    given = _Route.of(filed, mesh.name)
    route = RouteIntent(name=mesh.name, fleet=given.value(keys.SERVICE_CLUSTER) or "")
    if mesh.redirect is not None:
        route = replace(route, redirects=(mesh.redirect,))
    else:
        backend = _backend(given, mesh.port, mesh.cookie)
        route = replace(route, hosts=(mesh.host,), backend=backend)
    return None if mesh.name in filed.spoilt else route
