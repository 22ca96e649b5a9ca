"""One ``RouteConfiguration`` a fleet (RDS), one ``VirtualHost`` a host."""

import re
from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.type.matcher.v3 import regex_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.model import CookieHash, EdgeOptions, Forward, RedirectTo, VirtualHost
from swarm_xds.translate.names import HTTP

_ANY_HOST = "*"


def route_configuration(
    virtual_hosts: Iterable[route_components_pb2.VirtualHost], options: EdgeOptions
) -> route_pb2.RouteConfiguration:
    """Return the routes of the plain HTTP listener, with an answer to hosts that nobody claims."""
    message = route_pb2.RouteConfiguration(
        name=HTTP,
        # The port of the Host header is the client's matter: it is ignored here and passed on as it came.
        ignore_port_in_host_matching=True,
        request_headers_to_add=[_overwrite("x-forwarded-host", "%REQ(:AUTHORITY)%")],
    )
    message.virtual_hosts.extend(virtual_hosts)
    rest = next((each for each in message.virtual_hosts if each.name == _ANY_HOST), None)
    if rest is None:
        rest = message.virtual_hosts.add(name=_ANY_HOST, domains=[_ANY_HOST])
    if not any(each.match.prefix == "/" for each in rest.routes):
        _match(rest.routes.add(), "/").direct_response.status = options.unknown_host_status
    return message


def virtual_host(host: VirtualHost) -> route_components_pb2.VirtualHost:
    """Return a host and its routes, in the model's order: Envoy takes the first that matches."""
    message = route_components_pb2.VirtualHost(name=host.host, domains=[host.host])
    for route in host.routes:
        added = _match(message.routes.add(), route.path)
        if isinstance(route.action, Forward):
            _forward(added.route, route.action, route.path)
        else:
            added.redirect.CopyFrom(_redirect(route.action, route.path))
    return message


def _match(route: route_components_pb2.Route, path: str) -> route_components_pb2.Route:
    if path == "/":
        route.match.prefix = path
    else:
        route.match.path_separated_prefix = path
    return route


def _forward(message: route_components_pb2.RouteAction, forward: Forward, path: str) -> None:
    # No limit for a whole response: downloads and streams take as long as they take; silence has its own limit.
    message.timeout.SetInParent()
    if len(forward.backends) == 1:
        message.cluster = forward.backends[0].backend
    else:
        for share in forward.backends:
            message.weighted_clusters.clusters.add(name=share.backend, weight=UInt32Value(value=share.weight))
    if forward.strip_prefix:
        message.regex_rewrite.CopyFrom(_without_prefix(path, "/"))
    if forward.hash_by is None:
        return
    policy = message.hash_policy.add()
    if isinstance(forward.hash_by, CookieHash):
        policy.cookie.name = forward.hash_by.name
        if forward.hash_by.generated:
            # Present and zero: a cookie for as long as the browser's session lasts.
            policy.cookie.ttl.SetInParent()
            policy.cookie.path = "/"
    else:
        policy.connection_properties.source_ip = True
    if len(forward.backends) > 1:
        # Else a client would be kept on a task of each service, and moved between the services.
        message.weighted_clusters.use_hash_policy.value = True


def _redirect(redirect: RedirectTo, path: str) -> route_components_pb2.RedirectAction:
    message = route_components_pb2.RedirectAction(
        scheme_redirect=redirect.scheme,
        host_redirect=redirect.host,
        port_redirect=redirect.port,
        response_code=route_components_pb2.RedirectAction.FOUND,
    )
    if redirect.path:
        message.regex_rewrite.CopyFrom(_without_prefix(path, redirect.path))
    return message


def _without_prefix(path: str, replacement: str) -> regex_pb2.RegexMatchAndSubstitute:
    """Return what puts ``replacement`` in the place of a path prefix: /app/x → /x, /app → /."""
    prefix = re.escape(path.rstrip("/"))
    if replacement == "/":
        pattern, substitution = f"^{prefix}/*", "/"
    else:
        # In the pattern's language a backslash begins a group's number.
        pattern, substitution = f"^{prefix}(/|$)", rf"{replacement}\1"
    return regex_pb2.RegexMatchAndSubstitute(pattern=regex_pb2.RegexMatcher(regex=pattern), substitution=substitution)


def _overwrite(name: str, value: str) -> base_pb2.HeaderValueOption:
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
