"""Which host and which route a request falls to, by Envoy's rules.

A host's own name goes before a wildcard, the longest wildcard before shorter ones, ``*`` last. A path prefix matches
whole segments, and the first route of a host that matches is taken (the model has the longest first). See
https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto, ``domains``.
"""

from collections.abc import Iterable

from swarm_xds.model import Route, VirtualHost


def find_host(host: str, virtual_hosts: Iterable[VirtualHost]) -> VirtualHost | None:
    """Return the virtual host that a request's host falls to; None if nobody claims it."""
    by_name = {each.host: each for each in virtual_hosts}
    wanted = host.lower().rstrip(".")
    if wanted in by_name:
        return by_name[wanted]
    wildcards = sorted((name for name in by_name if name.startswith("*.")), key=len, reverse=True)
    for name in wildcards:
        if covers(name, wanted):
            return by_name[name]
    return by_name.get("*")


def covers(name: str, host: str) -> bool:
    """Tell whether a name, such as ``*.example.org``, stands for a host."""
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) > len(name) - 1
    return name in {host, "*"}


def find_route(path: str, routes: Iterable[Route]) -> Route | None:
    """Return the route that a path falls to; None if it falls to none."""
    return next((route for route in routes if below(path, route.path)), None)


def other_case(path: str, routes: Iterable[Route]) -> str:
    """Return the prefix that a path is below but for capital letters; empty if there is none."""
    found = (each.path for each in routes if below(path.lower(), each.path.lower()) and not below(path, each.path))
    return next(found, "")


def below(path: str, prefix: str) -> bool:
    """Tell whether a path is a prefix or below it, in whole segments."""
    return prefix in {"/", path} or path.startswith(f"{prefix}/")
