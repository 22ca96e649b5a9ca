"""What a label key is: a row of the table in ``keys``."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Scope(Enum):
    """Whether a named route has the key for itself, or falls back to the unnamed key."""

    ROUTE = "route"
    BACKEND = "backend"


class Due(Enum):
    """Whether the key is served yet.

    ``WITHHOLD``: not yet, and without it the route would do what nobody asked for, so it is left out.
    """

    NOW = "now"
    LATER = "later"
    WITHHOLD = "withhold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Generic[T_co]):
    """One label key.

    Attributes:
        parse: Raises ``BadValueError``.
        doc: One line of documentation.
        example: A good value.
        default: What holds without the label, for the documentation.
        aliases: Other names with the same meaning.
        interlock: Whether ``com.docker.lb.<name>`` is read beside ``xds.<name>``.
        needed: Whether a bad value leaves the route out (until then served as last accepted), since serving it
            without the label would send requests where nobody asked; otherwise the default holds.
        closes: Whether it keeps people out. Where a route is left out for it, no other route of the service answers for
            its hosts in its place (docs/adr/062).
        separator: Between the values of a list, each of which ``parse`` takes; empty for a single value.
        idle: Values (lower case) of a key that is not due yet which ask for nothing beyond what is done anyway.
    """

    name: str
    parse: Callable[[str], T_co]
    doc: str
    example: str = ""
    default: str = ""
    scope: Scope = Scope.BACKEND
    aliases: tuple[str, ...] = ()
    interlock: bool = True
    needed: bool = False
    closes: bool = False
    due: Due = Due.NOW
    separator: str = ""
    idle: frozenset[str] = frozenset()
