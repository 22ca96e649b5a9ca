"""One ``Secret`` a certificate and a bundle of authorities (SDS). The only place where private keys are revealed.

Names are those of hosts and backends. So a new certificate changes one secret, which Envoy takes in place: no listener
or cluster changes, and no connection is drained.
"""

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2

from swarm_xds.certs.values import Certificate
from swarm_xds.model import Fleet
from swarm_xds.translate import names

#: The host whose certificate clients get that name none.
_NO_HOST = "*"


def secrets(fleet: Fleet) -> Iterator[tuple[str, Certificate | bytes]]:
    """Yield name and content of each secret of a fleet."""
    for secure in fleet.secure_hosts:
        if secure.tls.certificate is None:
            continue
        yield names.certificate(secure.host), secure.tls.certificate
        if secure.tls.client_ca is not None:
            yield names.client_ca(secure.host), secure.tls.client_ca
    if fleet.default is not None:
        yield names.certificate(_NO_HOST), fleet.default
    for challenge in fleet.tls_challenges:
        yield names.challenge(challenge.host), challenge.certificate
    for backend in fleet.backends:
        if backend.tls is not None and backend.tls.authorities is not None:
            yield names.backend_ca(backend.name), backend.tls.authorities


def secret(named: tuple[str, Certificate | bytes]) -> secret_pb2.Secret:
    """Return the message of a certificate with its key, or of a bundle of authorities."""
    name, content = named
    if isinstance(content, Certificate):
        return secret_pb2.Secret(
            name=name,
            tls_certificate=common_pb2.TlsCertificate(
                certificate_chain=_inline(content.chain.pem), private_key=_inline(content.key.reveal())
            ),
        )
    return secret_pb2.Secret(
        name=name, validation_context=common_pb2.CertificateValidationContext(trusted_ca=_inline(content))
    )


def redacted(message: secret_pb2.Secret) -> secret_pb2.Secret:
    """Return a secret for people to look at."""
    copy = secret_pb2.Secret()
    copy.CopyFrom(message)
    if copy.HasField("tls_certificate"):
        copy.tls_certificate.private_key.CopyFrom(base_pb2.DataSource(inline_string="[redacted]"))
    return copy


def _inline(content: bytes) -> base_pb2.DataSource:
    return base_pb2.DataSource(inline_bytes=content)
