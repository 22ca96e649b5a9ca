"""Stage 3 of the arrow, the plan: from what each service asks for to what the fleets serve together.

In: the ``SwarmState`` and all ``ServiceIntent``. Out: the ``RoutingModel`` and problems. Here, and only here,
services meet: networks are chosen (``reach``) and claims on one host and path are settled (``claims``).
It must not know label spellings, Envoy, files or the clock.
"""

from swarm_xds.plan.build import build

__all__ = ["build"]
