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


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteIntent:
    """One route of a service: the unnamed one, or one of ``xds.route.<name>.*``.

    Attributes:
        name: Empty for the unnamed route.
        fleet: Which fleet serves it; empty for the default fleet.
        hosts: Sorted, lower case, without duplicates; ``*.example.org`` for all below it, ``*`` for any.
        path: Prefix in whole segments, beginning with ``/``; only ``/`` ends with one.
        strip_prefix: Whether the task sees the path without the prefix.
        backend: None for a route that only redirects.
    """

    name: str = ""
    fleet: str = ""
    hosts: tuple[str, ...] = ()
    path: str = "/"
    strip_prefix: bool = False
    redirects: tuple[Redirect, ...] = ()
    backend: BackendIntent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceIntent:
    """All that one service asks for.

    Attributes:
        routes: Those that can be served, the unnamed one first and then by name.
        doubtful: Names of routes with a label whose value is bad, whether or not they can be served without it:
            ``Memory`` puts their last accepted form back.
    """

    service: str
    routes: tuple[RouteIntent, ...] = ()
    doubtful: frozenset[str] = frozenset()
