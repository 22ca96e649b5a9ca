"""What each source of certificates has, good or bad, for people who ask. Pure; nothing is served by it.

In: nothing (sources make it). Out: ``Stock``, beside the ``Certificates`` of a reading. It must not know who uses what.
"""

from dataclasses import dataclass
from enum import StrEnum

from swarm_xds.certs.values import Material


class Origin(StrEnum):
    """Where a certificate comes from."""

    DIRECTORY = "directory"
    SECRET = "secret"  # noqa: S105 - a Docker secret, and none of ours
    ACME = "acme"
    DEMO = "demo"
    SETTINGS = "settings"
    """A file of the control plane's own TLS."""
    MEMORY = "memory"
    """The last good one, of which the file or the secret is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """One file, secret or wish.

    Attributes:
        material: As it is now; without a chain and authorities its ``reason`` says why there is none yet.
        kept: Why this is not what is wanted: what its file holds now is bad, or it cannot be renewed; empty if it is.
    """

    origin: Origin
    material: Material
    kept: str = ""
