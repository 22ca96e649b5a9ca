"""Stage 6 of the arrow, the snapshot: all resources of one fleet, versioned by content and checked as a whole.

In: named resources from ``translate``. Out: ``Snapshot``, which ``server`` streams.
It must not know labels, the swarm or gRPC.
"""

from swarm_xds.snapshot.broken import Broken, broken
from swarm_xds.snapshot.build import InconsistentError, snapshot
from swarm_xds.snapshot.resources import (
    ADS_ORDER,
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Resource,
    Resources,
    Snapshot,
    Snapshots,
    changes,
)

__all__ = [
    "ADS_ORDER",
    "CLUSTER",
    "ENDPOINT",
    "LISTENER",
    "ROUTE",
    "SECRET",
    "VIRTUAL_HOST",
    "Broken",
    "InconsistentError",
    "Resource",
    "Resources",
    "Snapshot",
    "Snapshots",
    "broken",
    "changes",
    "snapshot",
]
