"""Fleets, virtual hosts, routes and backends as frozen values, sorted, so that equal models compare equal."""

from dataclasses import dataclass

from swarm_xds.certs.values import Certificate, Challenge, TlsChallenge
from swarm_xds.model.tls import ServerTls, UpstreamTls

#: TCP port of a relay's listener.
RELAY_PORT = 15_001
#: Where a reader of secrets answers control planes.
READER_PORT = 15_002


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
        stack: The stack of that service; empty for none.
        by_name: Some endpoint is a host name, so that addresses come from DNS.
        relayed: It is reached through relays, also while none of them runs.
        consistent_hash: Whether requests are spread by a hash policy of the route.
        tls: None if the tasks are spoken to in plain.
    """

    name: str
    service: str
    stack: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    by_name: bool = False
    relayed: bool = False
    consistent_hash: bool = False
    outlier: Outlier = Outlier()
    tls: UpstreamTls | None = None


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


@dataclass(frozen=True, slots=True)
class RedirectToHttps:
    """Answer 308 with the same URL over HTTPS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What happens to requests whose path begins with ``path``, in whole segments.

    Attributes:
        services: Names of the services behind it, oldest first.
    """

    path: str
    action: Forward | RedirectTo | RedirectToHttps
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualHost:
    """All routes of one host, the longest path first.

    Attributes:
        host: ``app.example.org``, ``*.example.org``, or ``*`` for hosts that nobody else claims.
        hsts: Value of ``Strict-Transport-Security``; empty for none.
        challenges: What an ACME authority is answered, before any route.
    """

    host: str
    routes: tuple[Route, ...]
    hsts: str = ""
    challenges: tuple[Challenge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureHost:
    """A host whose TLS the edge ends; ``*`` is for clients that name none (in SNI), or one that nobody claims."""

    virtual_host: VirtualHost
    tls: ServerTls

    @property
    def host(self) -> str:
        """Its name."""
        return self.virtual_host.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Passthrough:
    """A host whose TLS goes to the tasks as it comes.

    Attributes:
        backends: Sorted by name; at least one; the sum of weights is positive.
        hash_by: Only a client's address can be seen.
    """

    host: str
    backends: tuple[BackendShare, ...]
    services: tuple[str, ...]
    hash_by: SourceHash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What one fleet of Envoys serves.

    Attributes:
        name: Envoy's ``node.cluster``.
        virtual_hosts: Of the plain HTTP listener, sorted by host.
        backends: Sorted by name; each is used by a route.
        secure_hosts: Of the HTTPS listener, sorted by host.
        passthroughs: Sorted by host; none is a secure host too.
        default_certificate: For clients that name no host, or one that nobody claims.
        uncertified: Hosts that ask for TLS and name no certificate, sorted; a wildcard is none of them.
        tls_challenges: What an ACME authority is answered in handshakes, sorted by host; its connections lead nowhere.
    """

    name: str
    virtual_hosts: tuple[VirtualHost, ...] = ()
    backends: tuple[Backend, ...] = ()
    secure_hosts: tuple[SecureHost, ...] = ()
    passthroughs: tuple[Passthrough, ...] = ()
    default_certificate: Certificate | None = None
    uncertified: tuple[str, ...] = ()
    tls_challenges: tuple[TlsChallenge, ...] = ()

    @property
    def default(self) -> Certificate | None:
        """The default certificate, if no catch-all is served over TLS in another way."""
        claimed = any(each.host == "*" for each in self.secure_hosts) or any(
            each.host == "*" for each in self.passthroughs
        )
        return None if claimed else self.default_certificate

    @property
    def served(self) -> tuple[tuple[str, VirtualHost], ...]:
        """Every host and how it is asked for: ``http``, ``https``, or ``tls`` where the tasks end it."""
        passed = (
            VirtualHost(
                host=each.host,
                routes=(Route(path="/", action=Forward(backends=each.backends), services=each.services),),
            )
            for each in self.passthroughs
        )
        return (
            *(("http", each) for each in self.virtual_hosts),
            *(("https", each.virtual_host) for each in self.secure_hosts),
            *(("tls", each) for each in passed),
        )

    @property
    def hosts(self) -> frozenset[str]:
        """Every host that somebody claims, however it is served."""
        return frozenset(
            host
            for kind in (self.virtual_hosts, self.secure_hosts, self.passthroughs)
            for host in (each.host for each in kind)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingModel:
    """Everything that is served: each fleet that a service names and the default fleet, sorted by name."""

    fleets: tuple[Fleet, ...] = ()
    default_fleet: str
