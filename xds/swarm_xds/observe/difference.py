"""Where a member does not have what it is to have, resource by resource. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from swarm_xds.observe.members import Member, Standing
from swarm_xds.snapshot import Resources


class DifferenceKind(StrEnum):
    """What is different."""

    MISSING = "missing"
    OTHER = "other"
    EXTRA = "extra"
    UNKNOWN = "unknown"
    """It accepted a version that is not known: from before the control plane started, or on the way to this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A resource that a member does not have as it is to have it.

    Attributes:
        name: Empty for ``UNKNOWN``.
        refused: The proxy's reason; empty if it has not refused it.
    """

    fleet: str
    node: str
    type_url: str
    name: str
    kind: DifferenceKind
    refused: str = ""


def differences(members: Iterable[Member], resources: Callable[[str, str], Resources | None]) -> Iterator[Difference]:
    """Return the members' differences, by type and name; ``resources`` finds those of a type and version."""
    # Most members of a fleet that is behind have the same versions.
    compared = cache(lambda type_url, wanted, have: _compared(resources(type_url, wanted), resources(type_url, have)))
    for member in members:
        yield from _of(member, compared)


def _of(member: Member, compared: Callable[[str, str, str], dict[str, DifferenceKind]]) -> Iterator[Difference]:
    for state in member.types:
        if state.standing is Standing.CURRENT:
            continue
        refused = state.refusal.names if state.refusal else ()
        found = compared(state.type_url, state.intended, state.acknowledged)
        # One that was refused alone, while the rest of its version was accepted.
        found = found | {name: DifferenceKind.OTHER for name in refused if name not in found}
        for name, kind in sorted(found.items()):
            reason = state.refusal.message if state.refusal and (name in refused or not name) else ""
            yield Difference(
                fleet=member.fleet, node=member.node, type_url=state.type_url, name=name, kind=kind, refused=reason
            )


def _compared(wanted: Resources | None, have: Resources | None) -> dict[str, DifferenceKind]:
    if wanted is None or have is None:
        return {"": DifferenceKind.UNKNOWN}
    found: dict[str, DifferenceKind] = {}
    for name in wanted.keys() | have.keys():
        if name not in have:
            found[name] = DifferenceKind.MISSING
        elif name not in wanted:
            found[name] = DifferenceKind.EXTRA
        elif wanted[name] != have[name]:
            found[name] = DifferenceKind.OTHER
    return found
