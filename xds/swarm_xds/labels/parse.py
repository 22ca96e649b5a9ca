"""From the labels of one service to what it asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from swarm_xds.labels import hrm, keys
from swarm_xds.labels.filed import Filed, Place, file, withheld
from swarm_xds.labels.intent import (
    ANY_HOST,
    BackendIntent,
    BackendMode,
    BackendTlsIntent,
    Closed,
    Redirect,
    RouteIntent,
    ServiceIntent,
    Sticky,
    TlsIntent,
    Verify,
)
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
    closed = withheld(filed, frozenset({*names, *(each.name for each in mesh)}))
    routes = [route for name in names if (route := _route(filed, name, withheld=name in closed)) is not None]
    routes += [route for each in mesh if (route := _mesh_route(filed, each, withheld=each.name in closed)) is not None]
    _read_the_rest(filed)
    intent = ServiceIntent(
        service=service.name,
        routes=tuple(routes),
        doubtful=frozenset(filed.doubtful.difference(closed)),
        closed=tuple(sorted(set(filed.closed))),
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
        if key.closes:
            self.filed.closing.add(self.name)
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
    tls = _tls(given)
    if tls.passthrough:
        path, strip = "/", False
        backend = _passed_through(given, backend)
    named = tuple(sorted((*hosts, ANY_HOST) if default else hosts))
    if withheld or name in filed.spoilt:
        _close(given, fleet, named, tls)
        return None
    # Interlock's way to write a redirect names the old host among the hosts too.
    away = _redirected(path, redirects)
    plain = tuple([host for host in named if ("http", host) not in away])
    secure = tuple([host for host in named if ("https", host) not in away])
    answered = bool(plain or secure)
    if not named and (port is not None or not redirects):
        _missing(given, keys.HOSTS, "no host to answer for", "name the hosts, or set default_backend")
    elif answered and backend is None:
        _missing(given, keys.PORT, "no port to send requests to", "name the port that the container listens on")
        _close(given, fleet, named, tls)
        filed.doubtful.add(name)
        plain, secure, answered = (), (), False
    if not answered and not redirects:
        return None
    return RouteIntent(
        name=name,
        fleet=fleet or "",
        hosts=plain,
        tls_hosts=secure,
        path=path,
        strip_prefix=bool(strip) and path != "/",
        redirects=redirects,
        redirects_label=given.label(keys.REDIRECTS) if redirects else "",
        backend=backend if answered else None,
        tls=tls,
    )


def _close(given: _Route, fleet: str | None, hosts: Iterable[str], tls: TlsIntent | None = None) -> None:
    """Note the hosts of a route that is left out, if it was to keep people out."""
    if given.name in given.filed.closing or (tls is not None and tls.client_ca):
        given.filed.closed += [Closed(route=given.name, fleet=fleet or "", host=host) for host in hosts]


def _missing(given: _Route, key: Key[T], reason: str, cure: str) -> None:
    """Report a label that is missing, in the spelling that the route is written with."""
    if given.name:
        prefix = f"{keys.ROUTE}{given.name}."
    else:
        labels = [given.filed.texts[place][0] for place in given.places.values()]
        prefix = marks.XDS if any(label.startswith(marks.XDS) for label in labels) else marks.INTERLOCK
    given.filed.problem(Severity.ERROR, Kind.MISSING_KEY, f"{prefix}{key.name}", reason, cure)


def _redirects(given: _Route) -> tuple[Redirect, ...]:
    """Return the redirects, sorted; of two from one source the first."""
    found: dict[tuple[str, str, str], Redirect] = {}
    for each in given.values(keys.REDIRECTS):
        places = [(scheme, each.host, each.path) for scheme in _schemes(each)]
        if any(place in found for place in places):
            reason = f"{each.host}{each.path} is redirected to two targets; the first holds"
            given.warn(Kind.CONTRADICTION, keys.REDIRECTS, reason, "keep one of the two", Severity.ERROR)
        else:
            found |= dict.fromkeys(places, each)
    return tuple(sorted(set(found.values())))


def _schemes(redirect: Redirect) -> tuple[str, ...]:
    return (redirect.scheme,) if redirect.scheme else ("http", "https")


def _redirected(path: str, redirects: tuple[Redirect, ...]) -> set[tuple[str, str]]:
    """Return by scheme and host where all of a path is redirected."""
    return {
        (scheme, each.host)
        for each in redirects
        if f"{path}/".startswith(f"{each.path.rstrip('/')}/")
        for scheme in _schemes(each)
    }


def _tls(given: _Route) -> TlsIntent:
    """Return what a route asks of TLS, and say which of it contradicts itself."""
    cert, key = given.value(keys.SSL_CERT) or "", given.value(keys.SSL_KEY) or ""
    if key and not cert:
        given.warn(Kind.MISSING_KEY, keys.SSL_KEY, "a key without a certificate", "add ssl_cert", Severity.ERROR)
    tls = TlsIntent(
        cert=cert,
        key=key if cert else "",
        only=given.value(keys.SSL_ONLY) or False,
        passthrough=given.value(keys.SSL_PASSTHROUGH) or False,
        min_version=given.value(keys.TLS_MIN_VERSION),
        client_ca=given.value(keys.TLS_CLIENT_CA) or "",
        client_ca_label=given.label(keys.TLS_CLIENT_CA),
        hsts=given.value(keys.HSTS) or "",
    )
    if not tls.passthrough:
        asking: tuple[tuple[Key[Any], object], ...] = (
            (keys.SSL_CERT, cert),
            (keys.SSL_KEY, key),
            (keys.TLS_CLIENT_CA, tls.client_ca),
            (keys.SSL_ONLY, tls.only),
            (keys.TLS_MIN_VERSION, tls.min_version),
            (keys.HSTS, tls.hsts),
        )
        return replace(tls, label=next((given.label(each) for each, asked in asking if asked), ""))
    if tls.client_ca:
        reason = "TLS is passed through, so the edge cannot ask for a certificate, and the route is left out"
        cure = "ask for it in the task, or take ssl_passthrough away"
        given.warn(Kind.CONTRADICTION, keys.TLS_CLIENT_CA, reason, cure, Severity.ERROR)
        given.filed.spoilt.add(given.name)
        given.filed.closing.add(given.name)
    return TlsIntent(label=given.label(keys.SSL_PASSTHROUGH), passthrough=True)


#: What needs a look at requests, or TLS of the edge's own.
_NOT_PASSED_THROUGH: tuple[Key[Any], ...] = (
    keys.SSL_CERT,
    keys.SSL_KEY,
    keys.SSL_BACKEND,
    keys.SSL_BACKEND_TLS_VERIFY,
    keys.SSL_BACKEND_CA,
    keys.TLS_MIN_VERSION,
    keys.HSTS,
    keys.CONTEXT_ROOT,
    keys.CONTEXT_ROOT_REWRITE,
    keys.STICKY,
    keys.STICKY_SESSION_COOKIE,
)


def _passed_through(given: _Route, backend: BackendIntent | None) -> BackendIntent | None:
    """Return the backend of a route whose TLS the task ends, without what the edge then cannot do."""
    for key in _NOT_PASSED_THROUGH:
        if given.label(key) and given.value(key) not in {None, False, "", "/"}:
            reason = "TLS is passed through, so the edge sees nothing of the requests, and this has no effect"
            given.warn(Kind.CONTRADICTION, key, reason, "take it or ssl_passthrough away")
    return backend and replace(backend, cookie="", tls=None)


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
        tls=_backend_tls(given),
    )


def _backend_tls(given: _Route) -> BackendTlsIntent | None:
    asked = given.value(keys.SSL_BACKEND)
    verify, ca = given.value(keys.SSL_BACKEND_TLS_VERIFY), given.value(keys.SSL_BACKEND_CA) or ""
    if not asked:
        return None
    if verify is Verify.NONE and ca:
        reason = "the task's certificate is not verified, so this has no effect"
        given.warn(Kind.CONTRADICTION, keys.SSL_BACKEND_CA, reason, "take it or ssl_backend_tls_verify away")
        ca = ""
    return BackendTlsIntent(verify=verify or Verify.REQUIRED, ca=ca, ca_label=given.label(keys.SSL_BACKEND_CA))


def _mesh_routes(filed: Filed) -> list[hrm.MeshRoute]:
    """Return the routes of the HTTP routing mesh's labels, and say how each is written today."""
    published = tuple(sorted({port.target for port in filed.service.ports}))
    routes: list[hrm.MeshRoute] = []
    for label, value in filed.mesh:
        try:
            route = hrm.route(label, value, published)
        except BadValueError as error:
            filed.problem(Severity.ERROR, Kind.BAD_VALUE, label, str(error), error.cure, value=value)
            filed.doubtful.add(hrm.name(label))
        else:
            routes.append(route)
            reason = "a label of the HTTP routing mesh, which is still read"
            filed.problem(Severity.INFO, Kind.OLD_LABEL, label, reason, f"write {route.today}", value=value)
    return routes


def _mesh_route(filed: Filed, mesh: hrm.MeshRoute, *, withheld: bool) -> RouteIntent | None:
    """Return a route of the mesh; its backend has the other keys of the service, as a named route has."""
    given = _Route.of(filed, mesh.name)
    route = RouteIntent(name=mesh.name, fleet=given.value(keys.SERVICE_CLUSTER) or "")
    if mesh.redirect is not None:
        route = replace(route, redirects=(mesh.redirect,), redirects_label=mesh.label)
    elif mesh.passthrough:
        backend = replace(_backend(given, mesh.port), cookie="", tls=None)
        tls = TlsIntent(label=mesh.label, passthrough=True)
        route = replace(route, hosts=(mesh.host,), tls_hosts=(mesh.host,), backend=backend, tls=tls)
    else:
        backend = _backend(given, mesh.port, mesh.cookie)
        route = replace(route, hosts=(mesh.host,), tls_hosts=(mesh.host,), backend=backend)
    if withheld or mesh.name in filed.spoilt:
        _close(given, route.fleet, route.hosts)
        return None
    return route
