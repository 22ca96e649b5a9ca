"""Whether all is well, or something is served as it last was: for health checks, metrics and alerts. Pure.

In: the ``Record`` and the age of the last successful reading. Out: ``Health``.
"""

from dataclasses import dataclass
from enum import StrEnum

from swarm_xds.observe.members import Standing
from swarm_xds.observe.record import Record
from swarm_xds.problem import Kind, Problem, Severity

#: Errors after which something is served in its last good form; ``Kind.LAST_GOOD`` says so in so many words.
_KEPT = frozenset({Kind.NOT_TRANSLATED, Kind.BAD_FILE})


class Status(StrEnum):
    """How the control plane does."""

    STARTING = "starting"
    """Nothing was read yet, nor kept from before, so nothing is served; proxies keep what they have."""
    WELL = "well"
    LAST_GOOD = "last-good"
    """Everybody is served, some with what was the last good configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The status, and why it is not well: one sentence each, without a full stop."""

    status: Status
    reasons: tuple[str, ...] = ()


def health(record: Record, age: float | None, limit: float) -> Health:
    """Return how the control plane does.

    Args:
        record: What is known.
        age: Seconds since the source was last read well; None if it never was.
        limit: Seconds of that age from which on the source counts as away.
    """
    situation = record.situation
    if situation is None:
        unread = "the source was not read yet"
        if record.restored is None:
            return Health(status=Status.STARTING, reasons=(unread,))
        since = record.restored.isoformat(timespec="seconds")
        return Health(status=Status.LAST_GOOD, reasons=(f"{unread}: serving the last good from {since}",))
    reasons: list[str] = []
    if age is None or age > limit:
        since = "never" if age is None else f"{age:.0f} s ago"
        reasons.append(f"the source was last read well {since}")
    places = sorted({each.service or each.source or "everything" for each in situation.build.problems if _kept(each)})
    if places:
        reasons.append(f"last good form of {_few(places)}")
    refusing = sorted(member.node for member in record.members if member.standing is Standing.REFUSED)
    if refusing:
        reasons.append(f"a part is refused by {_few(refusing)}")
    return Health(status=Status.LAST_GOOD if reasons else Status.WELL, reasons=tuple(reasons))


def _kept(problem: Problem) -> bool:
    return problem.kind is Kind.LAST_GOOD or (problem.kind in _KEPT and problem.severity is Severity.ERROR)


_SHOWN = 5


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
