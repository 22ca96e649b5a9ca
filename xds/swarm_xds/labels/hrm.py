"""Labels of the HTTP Routing Mesh, Interlock's forerunner: ``com.docker.ucp.mesh.http[.N]``.

One label holds one route as ``external_route=http://host,internal_port=8080[,sticky_sessions=cookie][,redirect=url]``.
"""

from dataclasses import dataclass

from swarm_xds.labels import values
from swarm_xds.labels.intent import BackendIntent, Redirect, RouteIntent
from swarm_xds.labels.keys import HRM
from swarm_xds.labels.values import BadValueError
from swarm_xds.problem import Kind, shown

_FIELDS = ("external_route", "internal_port", "sticky_sessions", "redirect")


@dataclass(frozen=True, slots=True)
class NotServed(Exception):  # noqa: N818 - it is no error of the label's
    """A route that is asked for and not served yet."""

    kind: Kind
    reason: str


def is_hrm(label: str) -> bool:
    """Tell whether a label is one of the routing mesh."""
    return label == HRM or label.startswith(f"{HRM}.")


def route(label: str, value: str, published: tuple[int, ...]) -> RouteIntent:
    """Return the route of one label.

    ``published`` are the container ports that the service publishes; the only one is used if ``internal_port``
    is missing.

    Raises:
        BadValueError: A field is missing, unknown or bad.
        NotServed: A route by SNI.
    """
    fields = _fields(value)
    external = fields.get("external_route")
    if external is None:
        raise BadValueError("external_route is missing", "write external_route=http://host,internal_port=8080")
    scheme, separator, rest = external.partition("://")
    if scheme == "sni":
        raise NotServed(Kind.NOT_YET_SERVED, f'"{shown(external)}" asks for TLS by SNI, which is not yet served')
    if scheme != "http" or not separator:
        raise BadValueError(f'external_route "{shown(external)}" is neither http:// nor sni://', "write http://host")
    host = values.host(rest.partition("/")[0].partition(":")[0])
    name = "hrm" + label.removeprefix(HRM).replace(".", "-")
    return RouteIntent(
        name=name,
        hosts=(host,),
        redirects=_redirects(fields.get("redirect"), host),
        backend=BackendIntent(
            port=_port(fields.get("internal_port"), published),
            cookie=values.cookie(fields["sticky_sessions"]) if "sticky_sessions" in fields else "",
        ),
    )


def _fields(value: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in value.split(","):
        key, separator, content = (text.strip() for text in part.partition("="))
        if not separator or key not in _FIELDS:
            raise BadValueError(f'"{shown(part)}" is no field of it', f"the fields are {', '.join(_FIELDS)}")
        if key in fields:
            raise BadValueError(f"{key} is given twice", "keep one of them")
        fields[key] = content
    return fields


def _port(value: str | None, published: tuple[int, ...]) -> int:
    if value is not None:
        return values.port(value)
    if len(published) == 1:
        return published[0]
    raise BadValueError("internal_port is missing and not exactly one port is published", "add internal_port")


def _redirects(value: str | None, host: str) -> tuple[Redirect, ...]:
    if value is None:
        return ()
    # "redirect=http://old" sends old to the route's own host; its own host there sends that host elsewhere.
    return (values.redirect(value, f"http://{host}"),)
