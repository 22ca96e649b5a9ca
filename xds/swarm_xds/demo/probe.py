"""What the routing model promises, as requests to make and answers to expect. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from swarm_xds.demo.backends import SERVICE_HEADER
from swarm_xds.model import Backend, EdgeOptions, Fleet, Forward, RedirectTo, RedirectToHttps, Route

_FOUND = 302
_PERMANENT = 308
_UNAVAILABLE = 503
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Probe:
    """One request and its answer.

    Attributes:
        claim: The host as the labels have it, e.g. ``*.example.org``.
        services: Who may answer; empty if the edge itself does.
        location: Beginning of the ``Location`` of a redirect.
        secure: Whether it is asked over HTTPS.
    """

    claim: str
    host: str
    path: str
    status: int
    services: tuple[str, ...] = ()
    location: str = ""
    secure: bool = False

    @property
    def url(self) -> str:
        """What is asked, with its scheme where that is not plain HTTP."""
        return f"{'https://' if self.secure else ''}{self.host}{self.path}"

    def wrong(self, status: int, headers: Mapping[str, str]) -> str:
        """Return what is wrong with an answer; empty if it is right."""
        if status != self.status:
            return f"answered {status}, not {self.status}"
        if not headers.get("location", "").startswith(self.location):
            return f"redirected to {headers.get('location')}, not {self.location}"
        service = headers.get(SERVICE_HEADER)
        if self.services and service is not None and service not in self.services:
            return f"answered by {service}, not {' or '.join(self.services)}"
        if self.status == _UNAVAILABLE and "retry-after" not in headers:
            return "answered 503 without Retry-After"
        return ""


def probes(fleet: Fleet, options: EdgeOptions) -> tuple[Probe, ...]:
    """Return a request for each route of a fleet, and one for a host that nobody claims."""
    backends = {backend.name: backend for backend in fleet.backends}
    found = [_probe(host.host, route, backends) for host in fleet.virtual_hosts for route in host.routes]
    found += [
        replace(_probe(host.host, route, backends), secure=True)
        for host in fleet.secure_hosts
        if host.tls.certificate is not None and host.tls.client_ca is None
        for route in host.virtual_host.routes
    ]
    if not any(host.host == "*" for host in fleet.virtual_hosts):
        found.append(Probe(claim="", host="nobody.invalid", path="/", status=options.unknown_host_status))
    return tuple(found)


def _probe(claim: str, route: Route, backends: Mapping[str, Backend]) -> Probe:
    host = "anyone.invalid" if claim == "*" else claim.replace("*.", "some.")
    path = route.path
    if isinstance(route.action, RedirectToHttps):
        return Probe(claim=claim, host=host, path=path, status=_PERMANENT, location="https://")
    if isinstance(route.action, Forward):
        able = [backends[share.backend] for share in route.action.backends if share.weight]
        services = tuple(sorted({backend.service for backend in able if backend.endpoints}))
        return Probe(claim=claim, host=host, path=path, status=_OK if services else _UNAVAILABLE, services=services)
    return Probe(claim=claim, host=host, path=path, status=_FOUND, location=_location(route.action))


def _location(action: RedirectTo) -> str:
    port = f":{action.port}" if action.port else ""
    return f"{action.scheme}://{action.host}{port}{action.path}"
