"""Beside the arrow, its way back: what an Envoy rejects is traced to a service, and that one alone is held back.

In: what was built, and what Envoys say to it. Out: the swarm as it is to be built instead, and problems. Pure: no I/O,
clock or logger. It must not know the streams; ``app`` ties it to them.
"""

from swarm_xds.quarantine.quarantine import Quarantine
from swarm_xds.quarantine.trace import Rejection, Suspect

__all__ = ["Quarantine", "Rejection", "Suspect"]
