"""Stage 1 of the arrow, the swarm's state: what a source read, and nothing more.

In: nothing (sources build it). Out: ``SwarmState``, the input of ``labels`` and ``plan``.
It must not know the Docker SDK, stack files or Envoy.
"""

from swarm_xds.swarm.state import (
    FleetService,
    Network,
    Node,
    PublishedPort,
    PublishMode,
    Secret,
    Service,
    SwarmState,
    Task,
)

__all__ = ["FleetService", "Network", "Node", "PublishMode", "PublishedPort", "Secret", "Service", "SwarmState", "Task"]
