"""Stage 7, the end of the arrow: snapshots become streams of xDS responses.

In: ``Snapshots`` by way of ``Publisher.publish``. Out: what each Envoy is sent, in an order that breaks no request, and
what it answered, by way of ``Observer``. It must not know labels, the swarm or how a resource came about.

The parts, inner first::

    subscription, sotw, delta  what one client has of one type: pure
    sequence                   what one client may have now: pure
    wire                       values to and from protobuf bytes
    canary                     a new snapshot goes to one client of a fleet first: pure
    observer                   what happened, for logs and metrics
    gate                       who may have a stream, and how much of it
    publisher                  the latest snapshots, and who has them
    stream                     the loop of one stream
    certificates               mutual TLS from files
    services, server           gRPC methods; sockets, health, keepalive
"""

from swarm_xds.server.canary import CanaryOptions, Event, Stage
from swarm_xds.server.certificates import CertificateError, Credentials, Loaded, TlsFiles
from swarm_xds.server.limits import Limits
from swarm_xds.server.observer import LogObserver, Observer, Observers, Peer, Refusal, SilentObserver
from swarm_xds.server.publisher import Publisher
from swarm_xds.server.server import AddressError, XdsServer
from swarm_xds.server.subscription import Ack, Nack

__all__ = [
    "Ack",
    "AddressError",
    "CanaryOptions",
    "CertificateError",
    "Credentials",
    "Event",
    "Limits",
    "Loaded",
    "LogObserver",
    "Nack",
    "Observer",
    "Observers",
    "Peer",
    "Publisher",
    "Refusal",
    "SilentObserver",
    "Stage",
    "TlsFiles",
    "XdsServer",
]
