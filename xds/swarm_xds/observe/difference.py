"""Where a member does not have what it is to have, resource by resource. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

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


def differences(member: Member, resources: Callable[[str, str], Resources | None]) -> Iterator[Difference]:
    """Return a member's differences, by type and name; ``resources`` finds those of a type and version."""
    for state in member.types:
        if state.standing is Standing.CURRENT:
            continue
        wanted, have = resources(state.type_url, state.intended), resources(state.type_url, state.acknowledged)
        refused = state.refusal.names if state.refusal else ()
        found = _compared(wanted, have)
        # One that was refused alone, while the rest of its version was accepted.
        found |= {name: DifferenceKind.OTHER for name in refused if name not in found}
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
