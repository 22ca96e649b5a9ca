"""What the operator decides about ACME."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

#: The authority that is asked unless another one is named.
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class ChallengeType(StrEnum):
    """How the authority sees that a host is ours, by its own names."""

    HTTP_01 = "http-01"
    TLS_ALPN_01 = "tls-alpn-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeOptions:
    """Settings of ACME.

    Attributes:
        folder: The state, which all replicas share; made if it is not there.
        terms_agreed: Whether the operator has agreed to the authority's terms of service; nothing is ordered without.
        email: Where the authority writes to; empty: nowhere.
        directory: The authority's directory URL.
        ca: PEM file with whom to trust as the authority's web server; None: the public authorities.
        challenges: Those that can be answered; the first is tried first, the next after a failure.
        settle: Seconds from the moment that a challenge is in the state until the authority is told to look: by then
            each replica has read it and each proxy has it.
    """

    folder: Path
    terms_agreed: bool
    email: str = ""
    directory: str = LETS_ENCRYPT
    ca: Path | None = None
    challenges: tuple[ChallengeType, ...] = (ChallengeType.HTTP_01,)
    settle: float = 5.0
