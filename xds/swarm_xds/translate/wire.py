"""Small parts that several messages have in common."""

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
