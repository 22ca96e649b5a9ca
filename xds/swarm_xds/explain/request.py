"""What counts of a request beside its host and path: its method and headers, as edges take them. Pure.

Routes match on host and path alone. But an edge answers some requests itself, whatever their route; a cookie or the
client's address may choose the task; and some headers are the edge's own. What an edge answers is what Envoy 1.40 does
with the options in ``translate/connection_manager.py``; a test asks a real one the same.
"""

from collections.abc import Iterator

from swarm_xds.explain.match import find_host
from swarm_xds.explain.values import Facts, Question, Step, Subject, broken, note, ok
from swarm_xds.model import CookieHash, Fleet, Forward, SourceHash, VirtualHost

#: Those that HTTP/1.1's parser in Envoy knows; another one is answered 400.
_METHODS = frozenset({
    "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE",
    "PUT", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
})  # fmt: skip
#: Those that are tried again after a task has broken off.
_REPEATED = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_WEBSOCKET, _IGNORED_UPGRADE = "websocket", "h2c"
#: What clients say in these is replaced.
_OWN = frozenset({"x-forwarded-host", "x-forwarded-client-cert"})
_COUNTED = frozenset({"connection", "cookie", "host", "upgrade", "x-forwarded-for", "x-forwarded-proto", *_OWN})


def refusal(question: Question) -> tuple[str, Step] | None:
    """Return the answer of an edge to a request that it takes to no route at all, and why; None if it takes it."""
    method = question.method
    if method not in _METHODS:
        cure = f"methods are case-sensitive: ask with {method.upper()}" if method.upper() in _METHODS else ""
        text = f"over HTTP/1.1 an edge knows no method {method}"
        return "400: the edge does not know the method", broken(Subject.REQUEST, text, cure=cure)
    for name, _ in question.headers:
        if "_" in name:
            text = f"header {name} has an underscore, which some servers take for a dash, so edges refuse it"
            cure = f"send it as {name.replace('_', '-')}"
            return "400: the edge refuses a header", broken(Subject.REQUEST, text, cure=cure)
    if method == "CONNECT":
        text = "CONNECT asks for a tunnel, and routes are for requests with a path"
        return "404: no route takes CONNECT", broken(Subject.REQUEST, text)
    protocol = _upgrade(question)
    if protocol not in {"", _WEBSOCKET, _IGNORED_UPGRADE}:
        text = f"edges pass on an upgrade to websocket and to nothing else, and this one is to {protocol}"
        return "403: the edge refuses the upgrade", broken(Subject.REQUEST, text, cure="leave the header Upgrade out")
    return None


def misdirected(question: Question, chain: VirtualHost | None, fleet: Fleet) -> Step | None:
    """Return why a request for one host does not belong on a connection that was made for another; None if it does.

    Args:
        question: Its ``host`` is not its ``tls_name``.
        chain: The host that the connection is for; None for the default certificate.
        fleet: Whose proxy it is.
    """
    own = {each.host for each in fleet.secure_hosts if each.tls.own_connection}
    named = (VirtualHost(host=name, routes=()) for name in fleet.hosts - {"*"})
    claimed = find_host(question.host, named)
    if chain is not None and chain.host in own:
        good = claimed is not None and claimed.host == chain.host
    else:
        good = claimed is None or claimed.host in {each.host for each in fleet.secure_hosts} - own
    if good:
        return None
    text = f"TLS names {question.tls_name}, and a request for {question.host} needs a connection of its own"
    return broken(Subject.REQUEST, text, cure=f"name {question.host} in the URL; browsers do so by themselves")


def taken(question: Question) -> Iterator[Step]:
    """Return what there is to say of a request that a route has taken, whatever the route does with it."""
    names = sorted(name for name, _ in question.headers if name not in _COUNTED)
    given = [f"method {question.method}"] if question.method != "GET" else []
    verb = "makes" if len(given) + len(names) == 1 else "make"
    given += [f"header{'s' if len(names) > 1 else ''} {', '.join(names)}"] if names else []
    if given:
        yield ok(Subject.REQUEST, f"routes match on host and path: {' and '.join(given)} {verb} no difference to them")


def forwarded(question: Question, forward: Forward, facts: Facts) -> Iterator[Step]:
    """Return what of a request counts on its way to a task."""
    headers = dict(question.headers)
    if question.method not in _REPEATED:
        text = f"{question.method} is tried on another task only where none has seen it"
        yield ok(Subject.REQUEST, text)
    yield from _connection(question, facts)
    yield from _kept(headers, forward, facts)
    own = sorted(name for name in headers if name in _OWN)
    if "x-forwarded-proto" in headers and not facts.edge.trusted_hops:
        own.append("x-forwarded-proto")
    if own:
        text = f"what clients say in {', '.join(own)} does not get through: the edge writes it, or takes it away"
        yield note(Subject.REQUEST, text)


def _connection(question: Question, facts: Facts) -> Iterator[Step]:
    protocol = _upgrade(question)
    if protocol == _WEBSOCKET:
        seconds = facts.edge.stream_idle_timeout / 1000
        limit = f", and ends after {seconds:g} s without a byte" if seconds else ""
        yield ok(Subject.REQUEST, f"the upgrade to a WebSocket is passed on, on every route{limit}")
    elif protocol == _IGNORED_UPGRADE:
        text = "the upgrade to HTTP/2 is left out: clients get HTTP/2 over TLS, or by speaking it at once"
        yield note(Subject.REQUEST, text)


def _kept(headers: dict[str, str], forward: Forward, facts: Facts) -> Iterator[Step]:
    """Return what keeps a client on a task."""
    hops = facts.edge.trusted_hops
    if isinstance(forward.hash_by, CookieHash):
        name = forward.hash_by.name
        if name in _cookies(headers.get("cookie", "")):
            yield ok(Subject.REQUEST, f"cookie {name} keeps it on one task")
        elif forward.hash_by.generated:
            yield ok(Subject.REQUEST, f"it has no cookie {name}, so the edge sets one, which keeps it on one task")
        else:
            yield note(Subject.REQUEST, f"it has no cookie {name}, so any task has it until the application sets one")
    elif isinstance(forward.hash_by, SourceHash):
        text = "its client's address keeps it on one task"
        if "x-forwarded-for" not in headers or not hops:
            yield ok(Subject.REQUEST, text)
        elif _client(headers["x-forwarded-for"], hops):
            yield ok(Subject.REQUEST, f"{text}: {_client(headers['x-forwarded-for'], hops)}, of x-forwarded-for")
        else:
            yield note(Subject.REQUEST, f"{text}; x-forwarded-for has fewer than the {hops} addresses of trusted_hops")
    if "x-forwarded-for" in headers and not hops:
        text = "x-forwarded-for is passed on and not believed: the client's address is that of its connection"
        yield note(Subject.REQUEST, text, cure="with proxies in front of the edge, set trusted_hops")


def _upgrade(question: Question) -> str:
    """Return the protocol of an upgrade, in lower case; empty if none is asked for (RFC 9110, 7.8)."""
    headers = dict(question.headers)
    options = {each.strip().lower() for each in headers.get("connection", "").split(",")}
    return headers.get("upgrade", "").strip().lower() if "upgrade" in options else ""


def _cookies(header: str) -> frozenset[str]:
    return frozenset(each.partition("=")[0].strip() for each in header.split(";"))


def _client(forwarded_for: str, hops: int) -> str:
    """Return the address that the outermost trusted proxy has seen; empty if the header is too short."""
    addresses = [each.strip() for each in forwarded_for.split(",")]
    return addresses[-hops] if len(addresses) >= hops else ""
