"""The HTTP connection manager of every listener: how requests are read, and what is added to them and to answers."""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2, protocol_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value
from xds.core.v3 import extension_pb2 as xds_extension_pb2
from xds.type.matcher.v3 import matcher_pb2, regex_pb2, string_pb2

from swarm_xds.model import EdgeOptions
from swarm_xds.translate import access_log, names
from swarm_xds.translate.tracing import tracing
from swarm_xds.translate.wire import ads, milliseconds, packed

_EQUAL = accesslog_pb2.ComparisonFilter.EQ
# Bytes and counts as Envoy's edge best practices have them.
_STREAM_WINDOW = 65_536
_CONNECTION_WINDOW = 1_048_576
_MAX_STREAMS = 100
#: Milliseconds until the headers of a request must have come.
_HEADERS_TIMEOUT = 60_000
_IDLE_TIMEOUT = 3_600_000


def connection_manager(
    options: EdgeOptions,
    name: str,
    routes: str | route_pb2.RouteConfiguration,
    *,
    client_certificates: bool = False,
) -> listener_components_pb2.Filter:
    """Return the network filter that reads requests.

    Args:
        options: The operator's choices.
        name: The listener's; begins the names of its statistics.
        routes: Name of the route configuration; or itself, where it is always the same.
        client_certificates: Whether tasks are told whose certificate the client came with.
    """
    manager = _manager(options, name)
    if isinstance(routes, str):
        manager.rds.config_source.CopyFrom(ads())
        manager.rds.route_config_name = routes
    else:
        manager.route_config.CopyFrom(routes)
    if name == names.HTTP3:
        manager.codec_type = hcm_pb2.HttpConnectionManager.HTTP3
        manager.http3_protocol_options.SetInParent()
    if client_certificates:
        # What clients say of themselves is taken away, here as on all other hosts.
        manager.forward_client_cert_details = hcm_pb2.HttpConnectionManager.SANITIZE_SET
        details = manager.set_current_client_cert_details
        details.subject.value = details.dns = details.uri = True
    return listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
    )


def _manager(options: EdgeOptions, name: str) -> hcm_pb2.HttpConnectionManager:
    """Return Envoy's edge best practices, and headers that tell the task of the client but no client of the task."""
    return hcm_pb2.HttpConnectionManager(
        stat_prefix=name,
        access_log=access_log.of_requests(options, name),
        tracing=tracing(options),
        http_filters=[
            *access_log.path_keeper(options),
            hcm_pb2.HttpFilter(name="swarm_xds.retry_safe_methods", typed_config=packed(_retry_safe_methods())),
            hcm_pb2.HttpFilter(
                name="envoy.filters.http.router", typed_config=packed(router_pb2.Router(suppress_envoy_headers=True))
            ),
        ],
        use_remote_address=BoolValue(value=True),
        xff_num_trusted_hops=options.trusted_hops,
        append_x_forwarded_port=True,
        server_header_transformation=hcm_pb2.HttpConnectionManager.PASS_THROUGH,
        strip_trailing_host_dot=True,
        normalize_path=BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=(
            hcm_pb2.HttpConnectionManager.KEEP_UNCHANGED
            if options.keep_escaped_slashes
            else hcm_pb2.HttpConnectionManager.UNESCAPE_AND_REDIRECT
        ),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=milliseconds(_IDLE_TIMEOUT),
            headers_with_underscores_action=protocol_pb2.HttpProtocolOptions.REJECT_REQUEST,
        ),
        # What some balancers before an edge speak, NGINX by default.
        http_protocol_options=protocol_pb2.Http1ProtocolOptions(accept_http_10=True),
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions(
            max_concurrent_streams=UInt32Value(value=_MAX_STREAMS),
            initial_stream_window_size=UInt32Value(value=_STREAM_WINDOW),
            initial_connection_window_size=UInt32Value(value=_CONNECTION_WINDOW),
        ),
        stream_idle_timeout=milliseconds(options.stream_idle_timeout),
        request_timeout=milliseconds(options.request_timeout),
        request_headers_timeout=milliseconds(_HEADERS_TIMEOUT),
        upgrade_configs=[hcm_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        local_reply_config=_local_replies(options),
    )


def _local_replies(options: EdgeOptions) -> hcm_pb2.LocalReplyConfig:
    """Return what adds ``Retry-After`` to the 503 of a service without a running task, and hides Envoy's own words."""
    no_task = accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=["UH"]))
    retry_after = base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key="retry-after", value=str(options.retry_after)),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    # The answer to an ACME authority has a body of its own.
    good = accesslog_pb2.StatusCodeFilter(comparison=accesslog_pb2.ComparisonFilter(op=_EQUAL))
    good.comparison.value.default_value = 200
    good.comparison.value.runtime_key = "swarm_xds.good_answer"
    as_it_is = substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=base_pb2.DataSource(inline_string="%LOCAL_REPLY_BODY%")
    )
    return hcm_pb2.LocalReplyConfig(
        mappers=[
            hcm_pb2.ResponseMapper(filter=no_task, headers_to_add=[retry_after]),
            hcm_pb2.ResponseMapper(
                filter=accesslog_pb2.AccessLogFilter(status_code_filter=good), body_format_override=as_it_is
            ),
        ],
        # By itself it tells why a task was not reached.
        body_format=substitution_format_string_pb2.SubstitutionFormatString(
            text_format_source=base_pb2.DataSource(inline_string="%RESPONSE_CODE%\n")
        ),
    )


def _retry_safe_methods() -> extension_matcher_pb2.ExtensionWithMatcher:
    """Return the filter that lets a request be repeated after a reset, if its method is safe.

    A task that stops closes its idle connections, and a request may be on its way on one of them. A retry policy
    cannot look at the method, but the router adds the conditions of this header to the policy's; it comes from
    here only, since those of clients are taken away at the edge.
    """
    set_header = mutation_rules_pb2.HeaderMutation(
        append=base_pb2.HeaderValueOption(
            header=base_pb2.HeaderValue(key="x-envoy-retry-on", value="reset"),
            append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    )
    mutation = header_mutation_pb2.HeaderMutation(
        mutations=header_mutation_pb2.Mutations(request_mutations=[set_header])
    )
    method = xds_extension_pb2.TypedExtensionConfig(
        name="method", typed_config=packed(http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=":method"))
    )
    safe = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex="GET|HEAD|OPTIONS|TRACE"))
    safe.safe_regex.google_re2.SetInParent()
    single = matcher_pb2.Matcher.MatcherList.Predicate.SinglePredicate(input=method, value_match=safe)
    predicate = matcher_pb2.Matcher.MatcherList.Predicate(
        not_matcher=matcher_pb2.Matcher.MatcherList.Predicate(single_predicate=single)
    )
    skip = xds_extension_pb2.TypedExtensionConfig(name="skip", typed_config=packed(skip_action_pb2.SkipFilter()))
    matcher = matcher_pb2.Matcher(
        matcher_list=matcher_pb2.Matcher.MatcherList(
            matchers=[
                matcher_pb2.Matcher.MatcherList.FieldMatcher(
                    predicate=predicate, on_match=matcher_pb2.Matcher.OnMatch(action=skip)
                )
            ]
        )
    )
    return extension_matcher_pb2.ExtensionWithMatcher(
        xds_matcher=matcher,
        extension_config=extension_pb2.TypedExtensionConfig(
            name="envoy.filters.http.header_mutation", typed_config=packed(mutation)
        ),
    )
