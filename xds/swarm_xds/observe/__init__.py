"""What is known of the running system, to be asked: the last build, the fleet's members, the changes.

In: what ``app`` publishes, and what a ``server.Observer`` is told. Out: values for metrics and the debug API.
It has no I/O and no clock of its own (time is passed in as two functions), and it must not know gRPC, or who asks.
"""

from swarm_xds.observe.changes import Change, Changes, Phase
from swarm_xds.observe.difference import Difference, DifferenceKind
from swarm_xds.observe.health import Health, Status, health
from swarm_xds.observe.members import Member, Members, Refusal, Standing, TypeState
from swarm_xds.observe.record import (
    Acknowledged,
    Answered,
    Event,
    Joined,
    Left,
    Published,
    Record,
    Refused,
    Situation,
    Totals,
)

__all__ = [
    "Acknowledged",
    "Answered",
    "Change",
    "Changes",
    "Difference",
    "DifferenceKind",
    "Event",
    "Health",
    "Joined",
    "Left",
    "Member",
    "Members",
    "Phase",
    "Published",
    "Record",
    "Refusal",
    "Refused",
    "Situation",
    "Standing",
    "Status",
    "Totals",
    "TypeState",
    "health",
]
