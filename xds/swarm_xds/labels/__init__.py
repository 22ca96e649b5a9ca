"""Stage 2 of the arrow, the labels: what each service asks for, parsed once and for all.

In: a ``Service`` of the swarm's state. Out: its ``ServiceIntent`` and problems; after this stage no code
sees a raw label. It must not know other services, Envoy, files or the clock.
``keys`` is the one table of label keys; the documentation is printed from it.
"""

from swarm_xds.labels.intent import (
    ANY_HOST,
    BackendIntent,
    BackendMode,
    BackendTlsIntent,
    Redirect,
    RouteIntent,
    ServiceIntent,
    Sticky,
    TlsIntent,
    TlsVersion,
    Verify,
    Via,
)
from swarm_xds.labels.memory import Memory
from swarm_xds.labels.parse import parse

__all__ = [
    "ANY_HOST",
    "BackendIntent",
    "BackendMode",
    "BackendTlsIntent",
    "Memory",
    "Redirect",
    "RouteIntent",
    "ServiceIntent",
    "Sticky",
    "TlsIntent",
    "TlsVersion",
    "Verify",
    "Via",
    "parse",
]
