"""What every stage returns beside its result: a problem is a value, never a log line or an exception.

No stage of its own: the pure stages make problems, the ends (log, command line) show them.
It knows nothing of Docker or Envoy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

#: Longest part of a label's value that a problem repeats, in characters.
SHOWN_VALUE = 120


class Severity(IntEnum):
    """How bad it is; ``ERROR`` means that something asked for is not served as asked."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


class Kind(StrEnum):
    """What went wrong, as a stable name for programs and for the documentation."""

    UNKNOWN_KEY = "unknown-key"
    BAD_VALUE = "bad-value"
    MISSING_KEY = "missing-key"
    DUPLICATE = "duplicate"
    CONTRADICTION = "contradiction"
    NOT_YET_SERVED = "not-yet-served"
    OLD_LABEL = "old-label"
    MISPLACED_LABEL = "misplaced-label"
    CONFLICT = "conflict"
    UNKNOWN_NETWORK = "unknown-network"
    AMBIGUOUS_NETWORK = "ambiguous-network"
    UNREACHABLE_NETWORK = "unreachable-network"
    NO_VIRTUAL_IP = "no-virtual-ip"
    NO_HOST_PORT = "no-host-port"
    NETWORK_CAVEAT = "network-caveat"
    ADDRESS_POOL = "address-pool"
    BAD_CERTIFICATE = "bad-certificate"
    KEYS_WITHHELD = "keys-withheld"
    BAD_FILE = "bad-file"
    LAST_GOOD = "last-good"
    UNREAD = "unread"
    NOT_TRANSLATED = "not-translated"
    NO_CERTIFICATE = "no-certificate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One thing that is wrong with one service (or, with an empty ``service``, with one file).

    Attributes:
        service: Name of the service, as the swarm has it; empty if the problem is a file's.
        label: Full label key, e.g. ``com.docker.lb.port``; empty if no label is to blame.
        value: The label's value, cut to ``SHOWN_VALUE`` characters; empty if none.
        reason: Why it is a problem, one sentence without a full stop.
        cure: What to do about it, one sentence without a full stop.
        source: Path of the file it stands in, as given on the command line; empty for a swarm.
    """

    severity: Severity
    kind: Kind
    service: str = ""
    label: str = ""
    value: str = ""
    reason: str
    cure: str = ""
    source: str = ""

    def __str__(self) -> str:
        """Render as ``error: web.yml: service "web": label "xds.port"="eighty": reason (cure)``."""
        parts = [str(self.severity)]
        if self.source:
            parts.append(self.source)
        if self.service:
            parts.append(f'service "{self.service}"')
        if self.label:
            shown = f'label "{self.label}"'
            parts.append(f'{shown}="{self.value}"' if self.value else shown)
        cure = f" ({self.cure})" if self.cure else ""
        return f"{': '.join(parts)}: {self.reason}{cure}"


def shown(value: str) -> str:
    """Return ``value`` on one printable line, short enough for a message."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[: SHOWN_VALUE + 1])
    return line if len(value) <= SHOWN_VALUE else f"{line[:SHOWN_VALUE]}… ({len(value)} characters)"


def ordered(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return each problem once, worst first and then by service, label and reason."""
    return tuple(sorted(set(problems), key=_order))


def _order(problem: Problem) -> tuple[int | str, ...]:
    """Return every field, so that the order never depends on the order in which problems were found."""
    p = problem
    return (-p.severity, p.source, p.service, p.label, p.reason, p.value, p.kind, p.cure)
