"""The swarm as its managers tell it: one implementation of ``Source``.

In: a manager's API. Out: complete ``Reading`` values. It reads and never writes.
Only ``endpoint`` and ``api`` know the Docker SDK, only ``convert`` and ``fields`` the engine's JSON; ``view`` and
``pacing`` are pure.
"""

from swarm_xds.sources.docker.api import EngineError
from swarm_xds.sources.docker.endpoint import Endpoint, EndpointError, find_endpoints
from swarm_xds.sources.docker.pacing import Timings
from swarm_xds.sources.docker.watch import DockerSource

__all__ = [
    "DockerSource",
    "Endpoint",
    "EndpointError",
    "EngineError",
    "Timings",
    "find_endpoints",
]
