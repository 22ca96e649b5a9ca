"""Fleets, virtual hosts, routes and backends as frozen values, sorted, so that equal models compare equal."""

from dataclasses import dataclass

#: TCP port of a relay's listener.
RELAY_PORT = 15_001


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where one task listens: an IP address, or a host name from a stack file.

    Attributes:
        via: Address and port of the relay that passes connections on to it; empty if the fleet reaches it itself.
    """

    address: str
    port: int
    via: tuple[str, int] | tuple[()] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """Passive health: when an endpoint is taken out.

    Attributes:
        consecutive: Failures in a row of any kind; None counts only gateway errors and broken connections, by the
            edge's default; 0 never takes an endpoint out.
        base_ejection: First time out, in milliseconds; None for the edge's default.
    """

    consecutive: int | None = None
    base_ejection: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A group of endpoints that serve the same thing: one service as one of its routes reaches it.

    Attributes:
        name: Unique in the fleet; the service's name, and ``/<route>`` for a named route.
        service: The service it stands for.
        by_name: Some endpoint is a host name, so that addresses come from DNS.
        relayed: It is reached through relays, also while none of them runs.
        consistent_hash: Whether requests are spread by a hash policy of the route.
    """

    name: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    by_name: bool = False
    relayed: bool = False
    consistent_hash: bool = False
    outlier: Outlier = Outlier()


@dataclass(frozen=True, slots=True)
class CookieHash:
    """Keep clients on a task by a cookie; ``generated`` if the edge sets it."""

    name: str
    generated: bool = False


@dataclass(frozen=True, slots=True)
class SourceHash:
    """Keep clients on a task by their address."""


@dataclass(frozen=True, slots=True, order=True)
class BackendShare:
    """A backend's share of a route, in proportion to the other backends' weights."""

    backend: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Send requests to backends.

    Attributes:
        backends: Sorted by name; at least one; the sum of weights is positive.
        strip_prefix: Whether the path prefix is taken off.
    """

    backends: tuple[BackendShare, ...]
    strip_prefix: bool = False
    hash_by: CookieHash | SourceHash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectTo:
    """Answer 302.

    Attributes:
        port: 0 for the scheme's own.
        path: Replaces the route's prefix; empty to leave the path alone.
    """

    scheme: str
    host: str
    port: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What happens to requests whose path begins with ``path``, in whole segments.

    Attributes:
        services: Names of the services behind it, oldest first.
    """

    path: str
    action: Forward | RedirectTo
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualHost:
    """All routes of one host, the longest path first.

    Attributes:
        host: ``app.example.org``, ``*.example.org``, or ``*`` for hosts that nobody else claims.
    """

    host: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What one fleet of Envoys serves.

    Attributes:
        name: Envoy's ``node.cluster``.
        virtual_hosts: Of the plain HTTP listener, sorted by host.
        backends: Sorted by name; each is used by a route.
    """

    name: str
    virtual_hosts: tuple[VirtualHost, ...] = ()
    backends: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingModel:
    """Everything that is served: each fleet that a service names and the default fleet, sorted by name."""

    fleets: tuple[Fleet, ...] = ()
    default_fleet: str
