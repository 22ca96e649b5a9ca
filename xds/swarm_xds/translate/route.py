"""The ``RouteConfiguration`` of the plain listener and those of the HTTPS listener (RDS), one ``VirtualHost`` a host.

All hosts over TLS share a route configuration, so that a client may send requests for several over one connection. A
request that came over a connection that is not good for its host is answered 421 (RFC 9110, 15.5.20), and the client
makes another one: the host is served in plain only, or asks more of its connections, or none names it.
"""

import re
from collections.abc import Collection, Iterable

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.type.matcher.v3 import regex_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.model import CookieHash, EdgeOptions, Forward, RedirectTo, RedirectToHttps, VirtualHost
from swarm_xds.translate import names
from swarm_xds.translate.https import covered

_ANY_HOST = "*"
_HTTPS_PORT = 443
#: Names a virtual host; no host's name has parentheses.
_ELSEWHERE = "(elsewhere)"
_OK, _MISDIRECTED = 200, 421
#: Seconds that a client remembers that there is HTTP/3.
_ALT_SVC_AGE = 86_400


def route_configuration(
    virtual_hosts: Iterable[route_components_pb2.VirtualHost], options: EdgeOptions
) -> route_pb2.RouteConfiguration:
    """Return the routes of the plain HTTP listener, with an answer to hosts that nobody claims."""
    message = _configuration(names.HTTP)
    message.virtual_hosts.extend(virtual_hosts)
    _answer_the_rest(message, options.unknown_host_status)
    return message


def https_route_configurations(
    served: Iterable[tuple[str, bool, route_components_pb2.VirtualHost]],
    claimed: Collection[str],
    options: EdgeOptions,
    *,
    shared: bool = True,
) -> tuple[route_pb2.RouteConfiguration, ...]:
    """Return the routes of the HTTPS listener, the shared ones first if there are any.

    Args:
        served: Each host over TLS, whether it needs connections of its own, and its routes.
        claimed: Every host that somebody claims, however it is served.
        options: The operator's choices.
        shared: Whether there are connections that are not a single host's own.
    """
    served = tuple(served)
    named = frozenset(claimed) - {_ANY_HOST}
    configurations = []
    if shared:
        together = {host: message for host, own, message in served if not own}
        common = _configuration(names.HTTPS)
        common.virtual_hosts.extend(together.values())
        _answer_elsewhere(common, named.difference(together))
        _answer_the_rest(common, options.unknown_host_status)
        if options.http3:
            value = f'h3=":{options.public_port}"; ma={_ALT_SVC_AGE}'
            common.response_headers_to_add.append(_overwrite("alt-svc", value))
        configurations.append(common)
    for host, own, message in served:
        if own:
            configuration = _configuration(names.own_routes(host))
            configuration.virtual_hosts.append(message)
            _answer_elsewhere(configuration, {each for each in named - {host} if covered(each, {host})})
            _answer_the_rest(configuration, _MISDIRECTED)
            configurations.append(configuration)
    return tuple(configurations)


def _configuration(name: str) -> route_pb2.RouteConfiguration:
    return route_pb2.RouteConfiguration(
        name=name,
        # The port of the Host header is the client's matter: it is ignored here and passed on as it came.
        ignore_port_in_host_matching=True,
        request_headers_to_add=[_overwrite("x-forwarded-host", "%REQ(:AUTHORITY)%")],
    )


def _answer_the_rest(message: route_pb2.RouteConfiguration, status: int) -> None:
    """Answer what no route matches on a host that nobody claims."""
    rest = next((each for each in message.virtual_hosts if each.name == _ANY_HOST), None)
    if rest is None:
        rest = message.virtual_hosts.add(name=_ANY_HOST, domains=[_ANY_HOST])
    if not any(each.match.prefix == "/" for each in rest.routes):
        _match(rest.routes.add(), "/").direct_response.status = status


def _answer_elsewhere(message: route_pb2.RouteConfiguration, hosts: Collection[str]) -> None:
    """Answer hosts that these connections are not good for."""
    if hosts:
        elsewhere = message.virtual_hosts.add(name=_ELSEWHERE, domains=sorted(hosts))
        _match(elsewhere.routes.add(), "/").direct_response.status = _MISDIRECTED


def virtual_host(host: VirtualHost, options: EdgeOptions) -> route_components_pb2.VirtualHost:
    """Return a host and its routes, in the model's order: Envoy takes the first that matches."""
    message = route_components_pb2.VirtualHost(name=host.host, domains=[host.host])
    if host.hsts:
        message.response_headers_to_add.append(_overwrite("strict-transport-security", host.hsts))
    for challenge in host.challenges:
        answer = message.routes.add()
        answer.match.path = challenge.path
        answer.direct_response.status = _OK
        answer.direct_response.body.inline_string = challenge.answer
    for route in host.routes:
        added = _match(message.routes.add(), route.path)
        if options.described:
            added.name = f"{host.host}{route.path}"
        if isinstance(route.action, Forward):
            _forward(added.route, route.action, route.path)
        elif isinstance(route.action, RedirectToHttps):
            added.redirect.CopyFrom(_redirect_to_https(host.host, options.public_port))
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


def _redirect_to_https(host: str, port: int) -> route_components_pb2.RedirectAction:
    """Return the redirect to the same URL over HTTPS, whatever port the client came to."""
    message = route_components_pb2.RedirectAction(
        https_redirect=True, response_code=route_components_pb2.RedirectAction.PERMANENT_REDIRECT
    )
    if host.startswith(_ANY_HOST):
        # The request's own name stays, and with it its port unless another one is named.
        message.port_redirect = port
    else:
        message.host_redirect = host
        message.port_redirect = port if port != _HTTPS_PORT else 0
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
