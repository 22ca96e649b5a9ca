"""What becomes of one label or option."""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of it."""

    TAKEN = "taken over"
    DIFFERENT = "different"
    """It is read, and means something else here; or something else does what it did."""
    OBSOLETE = "not needed"
    """What it was for does not come up here."""
    NOT_SERVED = "not served"
    """It cannot be read, or it is known and has no effect yet."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One label or option.

    Attributes:
        place: Name of the service, or of the table in the configuration file; empty for its top.
        name: Key of the label, or name of the option.
        note: What to know or do, one sentence without a full stop; may be empty.
    """

    place: str
    name: str
    value: str
    fate: Fate
    note: str = ""
