"""The rules of Envoy's API: what breaks one is found, with its place, and what Envoy takes is not."""

from collections.abc import Iterator

import pytest
from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.cluster.v3 import cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import base_pb2, protocol_pb2, proxy_protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value
from validate import validate_pb2

from swarm_xds.snapshot import rules
from swarm_xds.snapshot.rules import Violation, violations
from swarm_xds.translate.wire import packed

Cluster = cluster_pb2.Cluster
Redirect = route_components_pb2.RedirectAction
Match = route_components_pb2.RouteMatch


def header(key: str, value: str = "") -> base_pb2.HeaderValueOption:
    """Return a header to add."""
    return base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=key, value=value))


def chain(config: Message) -> listener_pb2.Listener:
    """Return a listener with one filter of this configuration."""
    each = listener_components_pb2.Filter(name="f", typed_config=packed(config))
    return listener_pb2.Listener(filter_chains=[listener_components_pb2.FilterChain(filters=[each])])


#: A message, and what is wrong with it: path, rule, value.
BROKEN: dict[str, tuple[Message, tuple[str, str, str]]] = {
    "string too short": (Cluster(), ("name", "string.min_len", "")),
    "string too long": (
        tls_pb2.UpstreamTlsContext(sni="x" * 256),
        ("sni", "string.max_bytes", f"{'x' * 120}… (256 characters)"),
    ),
    "bytes, not characters": (
        tls_pb2.UpstreamTlsContext(sni="ß" * 128),
        ("sni", "string.max_bytes", f"{'ß' * 120}… (128 characters)"),
    ),
    "string of a set": (
        protocol_pb2.SchemeHeaderTransformation(scheme_to_overwrite="ftp"),
        ("scheme_to_overwrite", "string.in", "ftp"),
    ),
    "pattern": (
        Match(path_separated_prefix="/a/"),
        ("path_separated_prefix", "string.pattern", "/a/"),
    ),
    "suffix": (route_components_pb2.RateLimit.HitsAddend(format="%x"), ("format", "string.suffix", "%x")),
    "header's name": (
        protocol_pb2.UpstreamHttpProtocolOptions(override_auto_sni_header="a b"),
        ("override_auto_sni_header", "string.well_known_regex HTTP_HEADER_NAME", "a b"),
    ),
    "header's value": (
        header("a", "x\ny"),
        ("header.value", "string.well_known_regex HTTP_HEADER_VALUE", "x\N{REPLACEMENT CHARACTER}y"),
    ),
    "number": (
        outlier_detection_pb2.OutlierDetection(max_ejection_percent=UInt32Value(value=101)),
        ("max_ejection_percent", "uint32.lte 100", "101"),
    ),
    "number's bounds": (
        protocol_pb2.Http2ProtocolOptions(max_concurrent_streams=UInt32Value(value=0)),
        ("max_concurrent_streams", "uint32.lte 2147483647 gte 1", "0"),
    ),
    "enum": (Redirect(response_code=77), ("response_code", "enum.defined_only", "77")),
    "duration": (Cluster(name="x", connect_timeout=Duration(seconds=-1)), ("connect_timeout", "duration.gt 0s", "-1s")),
    "duration that is none": (
        Cluster(name="x", connect_timeout=Duration(seconds=-1, nanos=500_000_000)),
        ("connect_timeout", "duration.gt 0s", "-0.5s"),
    ),
    "too few": (
        route_components_pb2.VirtualHost(name="x"),
        ("domains", "repeated.min_items", "0 of them"),
    ),
    "too many": (
        route_components_pb2.VirtualHost(name="x", domains=["x"], request_headers_to_add=[header("a")] * 1001),
        ("request_headers_to_add", "repeated.max_items", "1001 of them"),
    ),
    "twice": (
        route_components_pb2.InternalRedirectPolicy(response_headers_to_copy=["a", "a"]),
        ("response_headers_to_copy", "repeated.unique", "2 of them"),
    ),
    "one of several": (
        proxy_protocol_pb2.ProxyProtocolPassThroughTLVs(tlv_type=[1, 256]),
        ("tlv_type[1]", "uint32.lt 256", "256"),
    ),
    "key of a map": (
        base_pb2.Metadata(filter_metadata={"": {}}),
        ("filter_metadata[]", "string.min_len", ""),
    ),
    "message missing": (route_components_pb2.Route(redirect=Redirect()), ("match", "required", "")),
    "none of a choice": (route_components_pb2.Route(match=Match(prefix="/")), ("action", "required", "")),
    "deep within": (
        route_pb2.RouteConfiguration(
            virtual_hosts=[
                route_components_pb2.VirtualHost(
                    name="x",
                    domains=["x"],
                    routes=[route_components_pb2.Route(match=Match(prefix="/"), redirect=Redirect(response_code=9))],
                )
            ]
        ),
        ("virtual_hosts[0].routes[0].redirect.response_code", "enum.defined_only", "9"),
    ),
    "packed": (
        chain(tcp_proxy_pb2.TcpProxy(cluster="x")),
        ("filter_chains[0].filters[0].typed_config.stat_prefix", "string.min_len", ""),
    ),
    "packed in packed": (
        chain(
            http_connection_manager_pb2.HttpConnectionManager(
                stat_prefix="x",
                route_config=route_pb2.RouteConfiguration(),
                http_filters=[
                    http_connection_manager_pb2.HttpFilter(name="f", typed_config=packed(Redirect(response_code=9)))
                ],
            )
        ),
        (
            "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.response_code",
            "enum.defined_only",
            "9",
        ),
    ),
}


@pytest.mark.parametrize(("message", "expected"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_rule_is_found(message: Message, expected: tuple[str, str, str]) -> None:
    """Once, with where it stands, which rule, and what stands there."""
    assert list(violations(message)) == [Violation(*expected)]


SOUND: dict[str, Message] = {
    "nothing asked for": base_pb2.Node(),
    "wrapper of nothing": outlier_detection_pb2.OutlierDetection(max_ejection_percent=UInt32Value()),
    "may be empty": protocol_pb2.UpstreamHttpProtocolOptions(override_auto_sni_header=""),
    "header that need not be strict": header("a b", "\x01"),
    "one of a choice that is the default": Match(prefix=""),
    "unknown type": chain(base_pb2.Node()),
    "unknown field's name": listener_pb2.Listener(
        filter_chains=[
            listener_components_pb2.FilterChain(
                filters=[
                    listener_components_pb2.Filter(
                        name="f", typed_config=Any(type_url="type.googleapis.com/no.such.Type", value=b"\xff")
                    )
                ]
            )
        ]
    ),
    "endpoints": endpoint_pb2.ClusterLoadAssignment(
        cluster_name="x", endpoints=[endpoint_components_pb2.LocalityLbEndpoints()]
    ),
}


@pytest.mark.parametrize("message", SOUND.values(), ids=SOUND)
def test_what_breaks_none_is_sound(message: Message) -> None:
    """An empty value is one where it may be, and none where there is none."""
    assert list(violations(message)) == []


def test_several_are_all_found() -> None:
    """In the order of the fields, and then what lacks."""
    message = Cluster(connect_timeout=Duration(seconds=-1), lb_policy=99)  # type: ignore[arg-type]
    assert [each.path for each in violations(message)] == ["connect_timeout", "lb_policy", "name"]


def test_what_is_sensitive_is_not_shown() -> None:
    """The API itself says what is: a private key never stands in a problem."""
    source = base_pb2.DataSource(filename="")
    secret = secret_pb2.Secret(name="x", tls_certificate=common_pb2.TlsCertificate(private_key=source))
    (found,) = violations(secret)
    assert (found.path, found.value) == ("tls_certificate.private_key.filename", "[redacted]")


def test_every_rule_of_the_types_that_are_made_is_known() -> None:
    """A new version of the API with a rule of a new kind shows here."""
    apart = {
        "required",
        "skip",
        "ignore_empty",
        "strict",
        "defined_only",
        "well_known_regex",
        "items",
        "keys",
        "values",
    }
    known = apart | rules._TESTS.keys() | rules._BOUNDS.keys()
    roots = (Cluster, listener_pb2.Listener, route_pb2.RouteConfiguration, endpoint_pb2.ClusterLoadAssignment)
    more = (secret_pb2.Secret, http_connection_manager_pb2.HttpConnectionManager, tls_pb2.DownstreamTlsContext)
    others = (tls_pb2.UpstreamTlsContext, tcp_proxy_pb2.TcpProxy, accesslog_pb2.AccessLog)
    used = {rule for root in (*roots, *more, *others) for rule in _used(root.DESCRIPTOR)}
    assert len(used) > 15
    assert used <= known


def _used(root: Descriptor) -> Iterator[str]:
    seen, ahead = set[str](), [root]
    while ahead:
        each = ahead.pop()
        if each.full_name in seen:
            continue
        seen.add(each.full_name)
        for field in each.fields:
            yield from _of(field.GetOptions().Extensions[validate_pb2.rules])
            ahead += [field.message_type] if field.message_type is not None else []


def _of(given: Message) -> Iterator[str]:
    for field, value in given.ListFields():
        if isinstance(value, Message) and not isinstance(value, Duration):
            yield from [field.name] if field.name in ("items", "keys", "values") else []
            yield from _of(value)
        else:
            yield field.name
