"""Labels of the HTTP Routing Mesh, Interlock's forerunner: ``com.docker.ucp.mesh.http[.N]``.

One label holds one route as ``external_route=http://host,internal_port=8080[,sticky_sessions=cookie]``, or a
redirect as ``external_route=http://old,redirect=http://new``.
"""

import re
from dataclasses import dataclass

from swarm_xds.labels import values
from swarm_xds.labels.intent import Redirect
from swarm_xds.labels.values import BadValueError
from swarm_xds.problem import shown
from swarm_xds.swarm.marks import HRM

_FIELDS = ("external_route", "internal_port", "sticky_sessions", "redirect")
_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9_-]{1,63})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshRoute:
    """What one label asks for: requests for a host to a port, or a redirect and nothing else.

    Attributes:
        label: The label that asks.
        passthrough: TLS goes to the task as it comes.
        today: How it is written with today's labels.
    """

    name: str
    label: str
    host: str
    port: int = 0
    cookie: str = ""
    passthrough: bool = False
    redirect: Redirect | None = None
    today: str


def is_hrm(label: str) -> bool:
    """Tell whether a label is one of the routing mesh."""
    return label == HRM or label.startswith(f"{HRM}.")


def name(label: str) -> str:
    """Return the name of a label's route; its dot keeps it apart from the names that users give."""
    return f"mesh.http{label.removeprefix(HRM)}"


def route(label: str, value: str, published: tuple[int, ...]) -> MeshRoute:
    """Return the route of one label.

    ``published`` are the container ports that the service publishes; the only one is used if ``internal_port``
    is missing.

    Raises:
        BadValueError: A field is missing, unknown or bad.
    """
    if not _SUFFIX.fullmatch(label.removeprefix(HRM)):
        raise BadValueError("the label's ending is not a name", f"write {HRM}.<name>, such as {HRM}.1")
    fields = _fields(value)
    external = fields.get("external_route")
    if external is None:
        raise BadValueError("external_route is missing", "write external_route=http://host,internal_port=8080")
    host, by_sni = _host(external)
    if "redirect" in fields:
        if by_sni:
            raise BadValueError("what comes by SNI cannot be redirected", "write external_route=http://host")
        redirect = values.redirect(external, fields["redirect"])
        today = f"xds.redirects={external},{fields['redirect']}"
        return MeshRoute(name=name(label), label=label, host=host, redirect=redirect, today=shown(today))
    port = _port(fields.get("internal_port"), published)
    cookie = values.cookie(fields["sticky_sessions"]) if "sticky_sessions" in fields else ""
    written = [f"xds.hosts={host}", f"xds.port={port}"]
    if by_sni:
        cookie = ""
        written.append("xds.ssl_passthrough=true")
    if cookie:
        written.append(f"xds.sticky_session_cookie={cookie}")
    return MeshRoute(
        name=name(label),
        label=label,
        host=host,
        port=port,
        cookie=cookie,
        passthrough=by_sni,
        today=shown(f"{', '.join(written[:-1])} and {written[-1]}"),
    )


def _host(external: str) -> tuple[str, bool]:
    """Return the host, and whether it is the one that TLS clients name (SNI)."""
    scheme, separator, rest = external.partition("://")
    if scheme not in {"http", "sni"} or not separator:
        raise BadValueError(f'external_route "{shown(external)}" is neither http:// nor sni://', "write http://host")
    authority, _, path = rest.partition("/")
    if path:
        raise BadValueError(f'external_route "{shown(external)}" has a path', "routes of the mesh are whole hosts")
    return values.host(authority.partition(":")[0]), scheme == "sni"


def _fields(value: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    if len(value) > values.MAX_VALUE:
        raise BadValueError(f"longer than {values.MAX_VALUE} characters", "write one route in each label")
    for part in value.split(","):
        key, separator, content = (text.strip() for text in part.partition("="))
        if key.isascii() and key.isdigit() and "://" in content:
            cure = f"write external_route={content},internal_port={key}"
            raise BadValueError("this is how UCP 2.0 had it", shown(cure))
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
