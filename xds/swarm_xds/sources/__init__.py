"""The beginning of the arrow: where the swarm's state comes from.

In: a swarm manager (``docker``) or stack files on disk (``compose``). Out: complete ``Reading`` values.
Nothing after this package knows which of them it was.
"""

from swarm_xds.sources.base import Reading, Source

__all__ = ["Reading", "Source"]
