"""Times and sizes that bound a stream and the server. Values only; it knows nothing of how they are applied."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long and how much, each with the reason for its default."""

    additions: float = 5.0
    """Seconds that listeners and routes wait for a client's answer to the clusters that they need.

    Envoy answers once the clusters are warm, milliseconds when all is well; a cluster that cannot warm takes Envoy's
    15 s, and must not hold up everybody's routes for that long."""

    removals: float = 30.0
    """Seconds that stale clusters wait for a client to accept the listeners and routes without them."""

    returning: float = 3.0
    """Of these, seconds that a client which came back has to ask for the listeners and routes that it has.

    Envoy asks for all types in one go; a client that never asks has no routes to what is stale."""

    drain: float = 4.0
    """Seconds over which streams are ended at most when the server stops, so that not all clients turn to another
    replica in the same moment."""

    drain_interval: float = 0.02
    """Seconds between the ends of two streams, where there are few."""

    ping_interval: float = 5.0
    """Seconds between keepalive pings that a client may send at most; keep it below the interval set in Envoy."""

    keepalive_time: float = 30.0
    """Seconds without traffic after which the server pings, to notice a client that vanished without a FIN."""

    keepalive_timeout: float = 10.0
    """Seconds without an answer to such a ping after which the connection is dead."""

    request_bytes: int = 4 * 1024 * 1024
    """Largest request in bytes: some 50,000 resource names."""

    streams: int = 4000
    """Streams at one time: an aggregated client needs one, one of single types a few."""

    streams_per_client: int = 500
    """Of these, streams from one address: many proxies may share one, but none may take all."""

    streams_per_connection: int = 100
    """Of these, streams of one connection."""

    names_per_stream: int = 50_000
    """Resource names that a stream asks for, over all types."""

    name_length: int = 1024
    """Characters of a resource name, a version, a type URL, or a name of a node or fleet."""

    requests_per_second: float = 200.0
    """Requests of one stream that are read, and of ``Fetch*`` from one address; the rest waits."""

    requests_at_once: int = 2000
    """Requests beyond that rate that are read at once, after a time of fewer."""

    names_read: float = 250.0
    """Resource names that cost what a request does: so many in one make it count as one more."""

    names_answered: float = 10.0
    """The same of names that are new, each of which is to be looked for and answered."""

    first_request: float = 30.0
    """Seconds that a stream may be open without a request."""

    first_snapshot: float = 10.0
    """Seconds that a client waits where nothing was published yet; afterwards it is let go.

    Another replica may have something to serve; a client that begins has nothing."""

    write: float = 60.0
    """Seconds that a client may take to take one response; afterwards it comes back, and is sent the latest.

    Longer than any that is alive needs, and than the pings take that find one that is not."""

    connection_age: float = 60.0
    """Seconds after which no new stream starts on a connection with a certificate.

    Those that are open go on; one that starts anew, such as when the certificate has expired, has to show one again."""

    authorities: float = 30.0
    """Seconds between two looks at who vouches for clients."""

    types_per_stream: int = 16
    """Distinct type URLs of one aggregated stream, so that a client cannot make the server keep state without end."""
