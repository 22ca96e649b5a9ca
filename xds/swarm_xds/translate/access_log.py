"""What proxies write of requests and connections: a JSON object a line, on Envoy's standard output.

Stage: translation. In: the operator's choices. Out: ``AccessLog`` messages, and the one HTTP filter that they need. It
must not know hosts or services: what a line says of them, Envoy reads from the cluster's metadata (``described``).

The names of the fields are those that Istio and Envoy Gateway write, where they have one, so that log pipelines know
them; what does not apply is left out. See
https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage.
"""

import json
from collections.abc import Mapping

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from swarm_xds.model import Backend, EdgeOptions
from swarm_xds.translate.wire import packed

#: Filter chains that refuse what they match.
REFUSED, UNKNOWN = "(refused)", "(unknown)"
_NAMESPACE = "swarm_xds"
#: Where the path is kept as it came, since a route may rewrite it.
_PATH = "swarm_xds.path"
#: Longest path, and longest header, in a line, in bytes: Docker cuts lines of more than 16 KiB in two.
_PATH_LIMIT, _HEADER_LIMIT = 4_096, 512

_CONNECTION: Mapping[str, str] = {
    "start_time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "duration": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "response_flags": "%RESPONSE_FLAGS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
}
_UPSTREAM: Mapping[str, str] = {
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "service": f"%METADATA(CLUSTER:{_NAMESPACE}:service)%",
    "stack": f"%METADATA(CLUSTER:{_NAMESPACE}:stack)%",
}
_REQUEST: Mapping[str, str] = {
    "method": "%REQ(:METHOD)%",
    "authority": f"%REQ(:AUTHORITY):{_HEADER_LIMIT}%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "route_name": "%ROUTE_NAME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
    "x_forwarded_for": f"%REQ(X-FORWARDED-FOR):{_HEADER_LIMIT}%",
    "user_agent": f"%REQ(USER-AGENT):{_HEADER_LIMIT}%",
    "downstream_tls_version": "%DOWNSTREAM_TLS_VERSION%",
    "upstream_request_attempt_count": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}
#: A handshake that came to nothing, or that was for a host that is not served over TLS here.
_IS_REFUSED = f"xds.filter_chain_name in ['{REFUSED}', '{UNKNOWN}'] || has(connection.transport_failure_reason)"


def of_requests(options: EdgeOptions, listener: str) -> list[accesslog_pb2.AccessLog]:
    """Return what writes a line when a request is answered; nothing unless that is asked for."""
    if not options.access_log:
        return []
    kept = {"command": "FILTER_STATE", "param": f"{_PATH}:PLAIN", "max_length": _PATH_LIMIT}
    # What is answered before any filter, such as a path that cannot be read, has no state.
    came = {"command": "PATH", "param": f"{_query(options)}:PATH", "max_length": _PATH_LIMIT}
    path = f"%COALESCE({json.dumps({'operators': [kept, came]}, separators=(',', ':'))})%"
    return [
        _to_stdout({"event": "request", "listener": listener, "path": path, **_CONNECTION, **_REQUEST, **_UPSTREAM})
    ]


def of_passed(options: EdgeOptions, listener: str) -> list[accesslog_pb2.AccessLog]:
    """Return what writes a line when a connection that was passed through ends; nothing unless that is asked for."""
    if not options.access_log:
        return []
    return [_to_stdout({"event": "connection", "listener": listener, **_CONNECTION, **_UPSTREAM})]


def of_refused(options: EdgeOptions, listener: str) -> list[accesslog_pb2.AccessLog]:
    """Return what writes a line for a connection that came to no request; nothing unless that is asked for."""
    if not options.access_log:
        return []
    reason = {"downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"}
    log = _to_stdout({"event": "refused", "listener": listener, **_CONNECTION, **reason})
    log.filter.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    log.filter.extension_filter.typed_config.CopyFrom(packed(cel_pb2.ExpressionFilter(expression=_IS_REFUSED)))
    return [log]


def path_keeper(options: EdgeOptions) -> list[hcm_pb2.HttpFilter]:
    """Return the HTTP filter that keeps the path for the line, before a route rewrites it."""
    if not options.access_log:
        return []
    value = value_pb2.FilterStateValue(object_key=_PATH, factory_key="envoy.string")
    value.format_string.text_format_source.inline_string = f"%PATH({_query(options)}:PATH)%"
    config = set_filter_state_pb2.Config(on_request_headers=[value])
    return [hcm_pb2.HttpFilter(name="swarm_xds.path", typed_config=packed(config))]


def described(backend: Backend) -> base_pb2.Metadata:
    """Return a cluster's metadata: whose it is."""
    metadata = base_pb2.Metadata()
    metadata.filter_metadata[_NAMESPACE].update({"service": backend.service})
    if backend.stack:
        metadata.filter_metadata[_NAMESPACE].update({"stack": backend.stack})
    return metadata


def _query(options: EdgeOptions) -> str:
    """Return whether the path has its query, in the words of Envoy's formatter."""
    return "WQ" if options.log_query else "NQ"


def _to_stdout(line: Mapping[str, str]) -> accesslog_pb2.AccessLog:
    form = substitution_format_string_pb2.SubstitutionFormatString(omit_empty_values=True)
    form.json_format.update(line)
    return accesslog_pb2.AccessLog(
        name="envoy.access_loggers.stdout", typed_config=packed(stream_pb2.StdoutAccessLog(log_format=form))
    )
