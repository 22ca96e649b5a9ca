"""From what is wanted and what is there to the next writes, and to what has to wait, and until when. Pure.

In: a ``Situation``, the ``Memory`` of earlier ones, the time. Out: a ``Decision``. It must not know the engine or the
clock.
"""

from swarm_xds.networks import attach, relays
from swarm_xds.networks.decision import Decision
from swarm_xds.networks.memory import Memory, NetworkTimings, Situation


def decide(situation: Situation, memory: Memory, now: float, timings: NetworkTimings) -> Decision:
    """Return what to do; ``memory`` is that of the situation."""
    found = [
        *relays.for_wanted(situation, memory, timings),
        *relays.for_unneeded(situation, memory, timings),
        *attach.for_fleets(situation, memory, now, timings),
        *attach.for_left_networks(situation, memory, timings),
    ]
    return Decision(
        steps=tuple(delayed.step for delayed in found if delayed.at <= now),
        later=tuple(delayed for delayed in found if delayed.at > now),
    )
