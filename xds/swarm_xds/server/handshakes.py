"""What gRPC's core writes to standard error, understood: TLS handshakes that it has refused, and all the rest.

In: one line, as ``native`` takes it from the core. Out: counts by reason, and structured events. gRPC has no other way
to tell of a client that never got as far as a stream (docs/adr/053); the line does not say who it was.
"""

import re
from enum import StrEnum

import structlog

_log = structlog.get_logger("swarm_xds")

#: absl's prefix: severity and date, time, thread, source file and line.
_LINE = re.compile(r"([IWEF])[0-9]{4} [0-9:.]{8,20} +[0-9]+ ([\w./-]{1,200}\.\w{1,4}:[0-9]+)\] (.*)", re.DOTALL)
_FAILED = re.compile(r"Handshake failed with (?:fatal )?error \w+: (?:error:)?(?:\w+:SSL routines:)?(?:\w+:)?(.*)")
_METHODS = {"I": "info", "W": "warning", "E": "error", "F": "critical"}
_SHOWN = 500
#: What gRPC adds where no certificate was looked at.
_WITHOUT = ": Invalid certificate verification context"


class Failure(StrEnum):
    """Why a handshake was refused."""

    NO_CERTIFICATE = "no-certificate"
    EXPIRED = "expired-certificate"
    UNTRUSTED = "untrusted-certificate"
    """Of an authority that is none of ours, or not for a client."""
    NOT_TLS = "not-tls"
    DISTRUSTED = "refused-by-client"
    """The client does not take our certificate."""
    OTHER = "other-handshake"
    """Such as a version of TLS that is not spoken any more."""


#: What BoringSSL says, the first that fits.
_WORDS = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", Failure.NO_CERTIFICATE),
    ("certificate has expired", Failure.EXPIRED),
    ("CERTIFICATE_VERIFY_FAILED", Failure.UNTRUSTED),
    ("WRONG_VERSION_NUMBER", Failure.NOT_TLS),
    ("HTTP_REQUEST", Failure.NOT_TLS),
    ("HTTPS_PROXY_REQUEST", Failure.NOT_TLS),
    ("_ALERT_", Failure.DISTRUSTED),
)


class Handshakes:
    """Counts of refused handshakes since the start."""

    def __init__(self) -> None:
        # All keys from the start: it is counted on a thread of its own, and read on another.
        self._counts = dict.fromkeys(map(str, Failure), 0)

    @property
    def counts(self) -> dict[str, int]:
        """How many were refused, by reason."""
        return dict(self._counts)

    def take(self, line: str) -> bool:
        """Log a line as an event, and count what it tells of; return False if it is none of gRPC's."""
        match = _LINE.fullmatch(line)
        if match is None:
            return False
        severity, where, message = match.groups()
        failed = _FAILED.match(message)
        if failed is None:
            getattr(_log, _METHODS[severity])("grpc.core", message=message[:_SHOWN], where=where)
            return True
        reason = next((reason for words, reason in _WORDS if words in message), Failure.OTHER)
        self._counts[reason] += 1
        error = failed[1].removesuffix(_WITHOUT)
        _log.warning("xds.handshake_refused", reason=str(reason), error=error[:_SHOWN])
        return True
