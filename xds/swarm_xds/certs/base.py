"""The protocol that every source of certificates keeps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarm_xds.certs.stock import Stock
from swarm_xds.certs.values import Certificates
from swarm_xds.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesReading:
    """Everything that a source can serve at one time.

    Attributes:
        problems: What is wrong with files or secrets, e.g. one that holds a key of another certificate.
        cause: What made the source read, for the log: ``"site.crt changed"``, ``"the time"``.
        stock: What there is, served or not, for people.
    """

    certificates: Certificates
    problems: tuple[Problem, ...] = ()
    cause: str = ""
    stock: tuple[Stock, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Files by which the control plane shows itself to others of ours: whom it trusts, its certificate and its key."""

    authorities: Path
    certificate: Path
    key: Path


class CertificateSource(Protocol):
    """Something that can be read again and again."""

    def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a first complete reading, then one whenever something changed, also when a certificate expires.

        It never ends and never raises for a source that is away or broken: it logs, backs off and tries again, for
        ever, and yields nothing until it has a complete view. What is bad keeps its last good content and is a problem.
        """
        ...
