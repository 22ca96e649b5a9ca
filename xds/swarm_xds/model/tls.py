"""TLS on either side of the edge, as frozen values. Private keys are in it, and show themselves nowhere."""

from dataclasses import dataclass
from enum import StrEnum

from swarm_xds.certs.values import Certificate


class TlsVersion(StrEnum):
    """The lowest TLS version that a host takes."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """How the edge ends the TLS of one host.

    Attributes:
        certificate: None if there is none that can be served: whoever names the host is refused.
        min_version: None for the edge's default.
        client_ca: Authorities of client certificates, as PEM; None if nobody is asked for one.
        client_ca_by: Service that asks for them; empty if none does.
        reason: Why there is no certificate, or not what the labels name; empty if all is well.
    """

    certificate: Certificate | None
    min_version: TlsVersion | None = None
    client_ca: bytes | None = None
    client_ca_by: str = ""
    reason: str = ""

    @property
    def own_connection(self) -> bool:
        """Whether requests for the host must come over a connection that was made for it.

        A client may send requests for several hosts over one connection (RFC 9113, 9.1.1); what this host asks of its
        connections, another one's need not have.
        """
        return self.client_ca is not None or self.min_version is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """How the edge speaks TLS to tasks.

    Attributes:
        verify: Whether a task's certificate must be good, and name the host that was asked for.
        authorities: Whose certificates are good, as PEM; None for the authorities of the edge's system.
    """

    verify: bool = True
    authorities: bytes | None = None
