"""When a request is tried again: a part of each cluster, so that routes stay small."""

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from swarm_xds.translate.wire import packed

_RETRIES = 3
#: How often another task is looked for. With a consistent hash the looks of each retry are the same ones, so that too
#: few would leave some clients on a task that refuses: one in 64 with 5 looks and one task of two, none with 20.
_OTHER_TASKS = 20
_PREVIOUS_HOSTS = route_components_pb2.RetryPolicy.RetryHostPredicate(
    name="envoy.retry_host_predicates.previous_hosts",
    typed_config=packed(previous_hosts_pb2.PreviousHostsPredicate()),
)


def retry_policy() -> route_components_pb2.RetryPolicy:
    """Return the fleet's retry policy: another task, wherever none has seen the request.

    The listener adds ``reset`` to the conditions for methods that are safe to repeat.
    """
    return route_components_pb2.RetryPolicy(
        retry_on="connect-failure,refused-stream,reset-before-request",
        num_retries=UInt32Value(value=_RETRIES),
        retry_host_predicate=[_PREVIOUS_HOSTS],
        host_selection_retry_max_attempts=_OTHER_TASKS,
        retry_back_off=route_components_pb2.RetryPolicy.RetryBackOff(
            base_interval=Duration(nanos=5_000_000), max_interval=Duration(nanos=50_000_000)
        ),
    )
