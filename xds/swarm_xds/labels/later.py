"""The keys that are known and not yet served; a part of the table in ``keys``."""

from swarm_xds.labels import values
from swarm_xds.labels.key import Due, Key, Scope

_FALSE = ("false", "f", "0")


def _later(
    name: str,
    doc: str,
    *,
    withhold: bool = False,
    scope: Scope = Scope.BACKEND,
    idle: tuple[str, ...] = (),
) -> Key[str]:
    return Key(
        name=name,
        parse=values.text,
        doc=doc,
        interlock=False,
        due=Due.WITHHOLD if withhold else Due.LATER,
        closes=name in _CLOSE,
        scope=scope,
        idle=frozenset(idle),
    )


_OF_BACKEND = frozenset(
    {
        *("protocol", "lb", "health.path", "health.interval", "max_connections", "max_pending", "slow_start"),
        "locality",
    }
)
_CLOSE = frozenset({"allow", "basic_auth", "jwt.*", "ext_authz"})
# Access rules withhold the route: serving it without them would open what somebody meant to close.
LATER: tuple[Key[str], ...] = tuple(
    _later(name, doc, withhold=withhold, scope=Scope.BACKEND if name in _OF_BACKEND else Scope.ROUTE, idle=tuple(idle))
    for name, doc, withhold, *idle in (
        ("weight", "Share of the traffic among services on one route.", False),
        ("mirror", "Service that gets a copy of each request.", False),
        ("match.headers", "Only requests with these headers.", True),
        ("match.methods", "Only requests with these methods.", True),
        ("match.query", "Only requests with this query.", True),
        ("priority", "Order among routes.", False),
        ("timeout", "Time limit of a request.", False),
        ("idle_timeout", "Time limit without a byte.", False),
        ("retries", "How often a request is tried again.", False),
        ("retry_on", "When a request is tried again.", False),
        ("buffer", "Limit of the request's body.", False),
        ("headers.request.*", "Request headers to set.", False),
        ("headers.response.*", "Response headers to set.", False),
        ("cors.*", "Cross-origin rules.", False),
        ("compress", "Compression of responses.", False),
        ("rate_limit", "Requests per second.", False),
        ("allow", "Client addresses that may enter.", True),
        ("basic_auth", "Secret with user names and password hashes.", True),
        ("jwt.*", "Tokens that are asked for.", True),
        ("ext_authz", "Service that is asked for leave.", True),
        ("protocol", "http1, h2c, grpc or tcp to the task.", True, "http1"),
        ("lb", "Load-balancing policy.", False, "round_robin"),
        ("health.path", "Active health check.", False),
        ("health.interval", "Time between active health checks.", False),
        ("max_connections", "Limit of connections.", False),
        ("max_pending", "Limit of waiting requests.", False),
        ("slow_start", "Time over which a new task's share grows.", False),
        ("locality", "Prefer tasks that are near.", False),
        ("maintenance", "Answer a fixed 503.", True, *_FALSE),
        ("listen", "TCP port of the edge.", True),
        ("access_log", "Access log of the route.", False),
    )
)
