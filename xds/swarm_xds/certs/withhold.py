"""What is left of certificates where private keys must not travel: names, and authorities. Pure."""

from dataclasses import replace

from swarm_xds.certs.values import Certificates
from swarm_xds.problem import Kind, Problem, Severity

_REASON = "private keys are withheld, since the xDS server is not encrypted"

#: Said once, beside the hosts that are refused for it.
WITHHELD = Problem(
    severity=Severity.ERROR,
    kind=Kind.KEYS_WITHHELD,
    reason=f"{_REASON} and not on loopback: no host is served over TLS",
    cure="give the xDS server TLS of its own, or set insecure_xds_secrets where nobody else reaches its port",
)


def without_keys(certificates: Certificates) -> Certificates:
    """Return certificates of which none can be served, with the reason."""
    return replace(
        certificates,
        certificates=(),
        default=None,
        tls_challenges=(),
        materials=tuple(
            replace(each, key=None, reason=_REASON) if each.chain is not None or each.key is not None else each
            for each in certificates.materials
        ),
    )
