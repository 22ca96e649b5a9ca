"""When an authority would have a certificate renewed (RFC 9773), by certbot's client library. It blocks.

In: a certificate. Out: a ``Suggestion``. An authority that revokes many certificates says so here first. It must not
know what comes of it.
"""

from dataclasses import replace

from acme import client

from swarm_xds.certs.acme.options import AcmeOptions
from swarm_xds.certs.acme.order import connection
from swarm_xds.certs.acme.pacing import Suggestion, to_ask


def suggested(pem: bytes, before: Suggestion, options: AcmeOptions, now: float) -> Suggestion:
    """Ask for a certificate.

    Args:
        pem: The certificate first.
        before: What is known; it stays where there is no answer, and not every authority has one.
        options: The authority.
        now: Seconds since the epoch.
    """
    network = connection(options, None)
    try:
        authority = client.ClientV2(client.ClientV2.get_directory(options.directory, network), network)
        renew, again = authority.renewal_time(pem)
        renew_at = 0 if renew is None else int(renew.timestamp())
        return replace(before, renew_at=renew_at, ask_at=to_ask(now, again.timestamp()))
    # Whatever an authority answers, and the library makes of it: there is a time for renewal anyway.
    except Exception:
        return replace(before, ask_at=to_ask(now))
    finally:
        network.session.close()
