"""Stack files on disk as a source: the embedded default, which needs no engine.

In: paths of stack files (Compose specification, as ``docker stack deploy`` reads it). Out: readings whose services,
networks and labels are what the deployed stack's would be. A service's tasks are its ``x-tasks``; without that, its
name by DNS. It must not know labels' meanings or Envoy.
"""

from swarm_xds.sources.compose.watch import ComposeSource

__all__ = ["ComposeSource"]
