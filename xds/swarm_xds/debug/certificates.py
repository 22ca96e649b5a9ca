"""From the inventory of certificates to the API's messages. Pure; no private key comes this far."""

from swarm_xds.certs.values import Chain
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.debug.views import timestamp
from swarm_xds.observe.inventory import Entry, Holding, Role

_STATES = {
    Holding.SERVED: pb.Certificate.STATE_SERVED,
    Holding.HELD: pb.Certificate.STATE_HELD,
    Holding.UNUSED: pb.Certificate.STATE_UNUSED,
    Holding.UNUSABLE: pb.Certificate.STATE_UNUSABLE,
    Holding.MISSING: pb.Certificate.STATE_MISSING,
}
_ROLES = {Role.SERVER: pb.Certificate.ROLE_SERVER, Role.AUTHORITY: pb.Certificate.ROLE_AUTHORITY}


def certificate(entry: Entry) -> pb.Certificate:
    """Return a certificate, or the lack of one."""
    message = pb.Certificate(
        name=entry.name,
        role=_ROLES[entry.role],
        state=_STATES[entry.holding],
        reason=entry.reason,
        source="" if entry.origin is None else str(entry.origin),
        stack=entry.stack,
        uses=[pb.CertificateUse(fleet=use.fleet, host=use.host, services=use.services) for use in entry.uses],
    )
    found = entry.certificate
    if found is not None:
        message.subject, message.issuer = found.subject, found.issuer
        message.not_before.CopyFrom(timestamp(found.not_before))
        message.not_after.CopyFrom(timestamp(found.not_after))
        message.fingerprint, message.key_type = found.fingerprint, found.key_type
        if isinstance(found, Chain):
            message.names.extend(found.names)
    return message
