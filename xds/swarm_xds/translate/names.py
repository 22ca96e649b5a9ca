"""The name of every resource: the one place where they are made.

Clusters and endpoints bear their backend's name: ``shop_web``, or ``shop_web/api`` for a named route. Secrets bear
that of their host or backend and nothing of a certificate, so that a rotation changes one secret and nothing that
refers to it.
"""

#: The plain HTTP listener, and the route configuration that it asks for.
HTTP = "http"
#: The HTTPS listener, and the route configuration of all hosts that ask nothing of their connections.
HTTPS = "https"
#: The listener of HTTP/3.
HTTP3 = "http3"
#: The cluster of the control plane in the bootstrap; no service's name has parentheses, and one may be named ``xds``.
CONTROL_PLANE = "(xds)"
#: The cluster of the collector of spans.
COLLECTOR = "(otlp)"


def own_routes(host: str) -> str:
    """Return the route configuration of a host that is served over its own connections only."""
    return f"{HTTPS}/{host}"


def certificate(host: str) -> str:
    """Return the secret with a host's certificate and key."""
    return f"certificate/{host}"


def challenge(host: str) -> str:
    """Return the secret that answers an ACME authority's handshake for a host, and the chain that shows it."""
    return f"challenge/{host}"


def client_ca(host: str) -> str:
    """Return the secret with the authorities of a host's clients."""
    return f"client-ca/{host}"


def backend_ca(backend: str) -> str:
    """Return the secret with the authorities of a backend's tasks."""
    return f"backend-ca/{backend}"
