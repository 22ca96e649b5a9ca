"""Stage 4 of the arrow, the routing model: who answers what, in HTTP's terms.

In: nothing (``plan`` builds it). Out: ``RoutingModel``, the only input of ``translate``.
It must not know labels, Docker or Envoy's messages.
"""

from swarm_xds.model.edge import EdgeOptions, Tracing
from swarm_xds.model.routing import (
    READER_PORT,
    RELAY_PORT,
    Backend,
    BackendShare,
    CookieHash,
    Endpoint,
    Fleet,
    Forward,
    Outlier,
    Passthrough,
    RedirectTo,
    RedirectToHttps,
    Route,
    RoutingModel,
    SecureHost,
    SourceHash,
    VirtualHost,
)
from swarm_xds.model.tls import ServerTls, TlsVersion, UpstreamTls

__all__ = [
    "READER_PORT",
    "RELAY_PORT",
    "Backend",
    "BackendShare",
    "CookieHash",
    "EdgeOptions",
    "Endpoint",
    "Fleet",
    "Forward",
    "Outlier",
    "Passthrough",
    "RedirectTo",
    "RedirectToHttps",
    "Route",
    "RoutingModel",
    "SecureHost",
    "ServerTls",
    "SourceHash",
    "TlsVersion",
    "Tracing",
    "UpstreamTls",
    "VirtualHost",
]
