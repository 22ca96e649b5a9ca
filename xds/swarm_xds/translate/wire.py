"""Small parts that several messages have in common."""

from functools import cache

from envoy.config.core.v3 import config_source_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message


def packed(message: Message) -> Any:
    """Return a message inside an ``Any``, with deterministic bytes."""
    return Any(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(deterministic=True),
    )


def milliseconds(value: int) -> Duration:
    """Return a duration."""
    return Duration(seconds=value // 1_000, nanos=value % 1_000 * 1_000_000)


@cache
def ads() -> config_source_pb2.ConfigSource:
    """Return the source of everything that is named, the aggregated stream; to be copied, never changed."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )
