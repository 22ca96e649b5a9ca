"""Beside the arrow, the network manager: what has to stand in the swarm so that every routed network is reached.

In: the ``SwarmState`` and what the labels ask for. Out: a ``NetworkPlan`` (``plan``, pure), and the writes that make
the swarm match it (``manager``). The plan knows nothing of the engine. The manager's own arrow is

    engine → observed → Situation → memory.remember → steps.decide → apply → engine

of which ``observed``, ``memory``, ``steps`` and ``specification`` (a relay as the engine is to run it) are pure.
"""
