"""What a service asks for, as typed values."""

from dataclasses import dataclass
from enum import StrEnum

#: The host of a route that catches what nobody else claims.
ANY_HOST = "*"


class BackendMode(StrEnum):
    """Whether each task is an endpoint, or the service's virtual IP is the only one."""

    TASK = "task"
    VIP = "vip"


class Sticky(StrEnum):
    """Who sets the cookie that keeps a client on one task: the application, or the edge."""

    APPLICATION = "application"
    GENERATED = "generated"


class Via(StrEnum):
    """How the edge reaches tasks: by a relay on their network, by standing on it, or by a port of their nodes."""

    RELAY = "relay"
    DIRECT = "direct"
    HOST = "host"


class Verify(StrEnum):
    """Whether the certificate of a task is verified."""

    REQUIRED = "required"
    NONE = "none"


class TlsVersion(StrEnum):
    """The lowest TLS version that a host takes."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIntent:
    """What a route asks of TLS between client and edge.

    Attributes:
        label: A label that asks for TLS, for a problem that shows only when certificates are known; empty if none does.
        cert, key: Names of certificate and private key; both empty if the labels name none.
        only: Plain HTTP gets no content.
        passthrough: TLS goes to the task as it comes.
        client_ca: Name of the authorities of client certificates; empty if nobody is asked for one.
        client_ca_label: The label that names them.
        hsts: Value of ``Strict-Transport-Security``; empty for none.
    """

    label: str = ""
    cert: str = ""
    key: str = ""
    only: bool = False
    passthrough: bool = False
    min_version: TlsVersion | None = None
    client_ca: str = ""
    client_ca_label: str = ""
    hsts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTlsIntent:
    """TLS to the tasks.

    Attributes:
        ca: Name of the authorities of their certificates; empty for those of the edge's system.
        ca_label: The label that names them.
    """

    verify: Verify = Verify.REQUIRED
    ca: str = ""
    ca_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Redirect:
    """Send requests for one URL prefix to another; what follows the prefix is kept.

    Attributes:
        scheme: ``http`` or ``https``; empty for both.
        path: Prefix in whole segments, ``/`` for all.
        target_port: 0 for the scheme's own.
        target_path: Replaces ``path``; empty to leave the path alone.
    """

    scheme: str
    host: str
    path: str
    target_scheme: str
    target_host: str
    target_port: int
    target_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendIntent:
    """How to reach the tasks.

    Attributes:
        network: As the label names it; empty if it does not.
        network_label: The label that names it, for a problem that shows only when networks are known.
        via: None leaves it to what there is: a network of the fleet, a port in host mode, else the edge's default.
        via_label: The label that says so.
        cookie: Name of the cookie for stickiness; empty without stickiness.
        max_fails: Consecutive failures that eject a task; 0 never ejects, None leaves the default.
        fail_timeout: First ejection time in milliseconds; None leaves the default.
        tls: None to speak plain text.
    """

    port: int
    network: str = ""
    network_label: str = ""
    via: Via | None = None
    via_label: str = ""
    mode: BackendMode = BackendMode.TASK
    cookie: str = ""
    sticky: Sticky = Sticky.APPLICATION
    ip_hash: bool = False
    max_fails: int | None = None
    fail_timeout: int | None = None
    tls: BackendTlsIntent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteIntent:
    """One route of a service: the unnamed one, or one of ``xds.route.<name>.*``.

    Attributes:
        name: Empty for the unnamed route.
        fleet: Which fleet serves it; empty for the default fleet.
        hosts: Those answered in plain HTTP: sorted, lower case, without duplicates; ``*.example.org`` for all below
            it, ``*`` for any.
        tls_hosts: Those answered over TLS, if there is a certificate; they differ where one scheme is redirected.
        path: Prefix in whole segments, beginning with ``/``; only ``/`` ends with one.
        strip_prefix: Whether the task sees the path without the prefix.
        redirects_label: The label that asks for them.
        backend: None for a route that only redirects.
    """

    name: str = ""
    fleet: str = ""
    hosts: tuple[str, ...] = ()
    tls_hosts: tuple[str, ...] = ()
    path: str = "/"
    strip_prefix: bool = False
    redirects: tuple[Redirect, ...] = ()
    redirects_label: str = ""
    backend: BackendIntent | None = None
    tls: TlsIntent = TlsIntent()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Closed:
    """A host of a route that is left out for a label that keeps people out."""

    route: str
    fleet: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceIntent:
    """All that one service asks for.

    Attributes:
        routes: Those that can be served, the unnamed one first and then by name.
        doubtful: Names of routes with a label whose value is bad, whether or not they can be served without it:
            ``Memory`` puts their last accepted form back.
        closed: Hosts for which no other route may answer, sorted.
    """

    service: str
    routes: tuple[RouteIntent, ...] = ()
    doubtful: frozenset[str] = frozenset()
    closed: tuple[Closed, ...] = ()
