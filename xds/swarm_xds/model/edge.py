"""How a fleet's proxies behave apart from any service: the operator's choices, in HTTP's terms."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """Where spans of requests go, by OTLP over gRPC in plain text.

    Attributes:
        host, port: The collector; a name is looked up again and again.
        percent: Of the requests whose client has not decided yet.
        service_name: What the spans say they are from.
    """

    host: str
    port: int
    percent: float = 100.0
    service_name: str = "swarm-xds"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """Options of the listeners and of all routes and backends.

    Attributes:
        http_port: Port of the plain listener inside the proxy.
        https_port: Port of the HTTPS listener, which is there as soon as a host asks for TLS.
        https_public_port: Port under which clients reach it; 0 for the same.
        http3: Whether the same port answers HTTP/3 too, over UDP.
        address: Address that the listeners bind.
        unknown_host_status: Answer to a host that nobody claims (Interlock's was 503).
        retry_after: Seconds in ``Retry-After`` when no task runs.
        trusted_hops: How many proxies in front of the edge are trusted with ``x-forwarded-for``.
        keep_escaped_slashes: Whether %2F and %5C in a path stay; else the client is sent to the path with slashes.
        connect_timeout: Milliseconds until a connection to a task is given up and another task tried.
        stream_idle_timeout: Milliseconds without a byte in either direction until a request is ended; 0 for ever.
        request_timeout: Milliseconds until a request must have arrived whole; 0 for ever. Responses have no limit.
        upstream_idle_timeout: Milliseconds that an unused connection to a task is kept.
        max_connections: Limit of connections, pending requests and requests to one backend, each.
        access_log: Whether proxies write a line for each request and each connection that comes to none.
        log_query: Whether paths and URLs in lines and spans have the query.
        tracing: None for no spans.
        listener_ttl: Seconds after which a proxy that hears of no control plane stops listening; 0 for never.
    """

    http_port: int = 80
    https_port: int = 443
    https_public_port: int = 0
    http3: bool = False
    address: str = "0.0.0.0"  # noqa: S104 - an edge listens to the outside; that is what it is for
    unknown_host_status: int = 404
    retry_after: int = 5
    trusted_hops: int = 0
    keep_escaped_slashes: bool = False
    connect_timeout: int = 500
    stream_idle_timeout: int = 300_000
    request_timeout: int = 300_000
    upstream_idle_timeout: int = 4_000
    max_connections: int = 10_000
    access_log: bool = False
    log_query: bool = True
    tracing: Tracing | None = None
    listener_ttl: int = 0

    @property
    def described(self) -> bool:
        """Whether anything is written that needs the names of routes and services."""
        return self.access_log or self.tracing is not None

    @property
    def public_port(self) -> int:
        """Port in the URLs of what is served over HTTPS."""
        return self.https_public_port or self.https_port
