"""The protocol that every source keeps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from swarm_xds.problem import Problem
from swarm_xds.swarm import SwarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A complete view of the swarm.

    Attributes:
        state: Everything that the source sees. Never partial: a source that could not read yields nothing.
        problems: What the source itself found wrong, e.g. a stack file that does not parse.
        cause: What made the source read, for the log: ``"service web updated"``, ``"resync"``.
        noticed: When the source noticed that something had changed, on the event loop's clock; None if it did not note.
    """

    state: SwarmState
    problems: tuple[Problem, ...] = ()
    cause: str = ""
    noticed: float | None = field(default=None, compare=False)


class Source(Protocol):
    """Something that can be read again and again."""

    @property
    def read_at(self) -> float | None:
        """When all that it reads was last found readable, on the event loop's clock; None until the first time.

        It goes on while nothing changes, so that its age tells for how long the source has been away or broken.
        """
        ...

    def readings(self) -> AsyncIterator[Reading]:
        """Yield a first complete reading, then one whenever something changed.

        It never ends and never raises for a source that is away or broken: it logs, backs off and tries
        again, for ever, and yields nothing until it has a complete view. Unchanged objects should be
        the same Python objects in the next reading, which makes later stages skip them.
        """
        ...
