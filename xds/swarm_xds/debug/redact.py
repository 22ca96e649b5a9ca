"""Takes secrets out of Envoy's messages.

Envoy's API marks each field that holds one (``udpa.annotations.sensitive``), and Envoy's own ``/config_dump`` goes by
the same mark. What cannot be read cannot be redacted, so a message of an unknown type is emptied.
"""

from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.symbol_database import Default
from udpa.annotations import sensitive_pb2

REDACTED = "[redacted]"
_POOL = Default()


def redacted(type_url: str, value: bytes) -> Any:
    """Return a serialised message in an ``Any``, without its secrets."""
    box = Any(type_url=type_url, value=value)
    _any(box)
    return box


def redact(message: Message) -> None:
    """Take the secrets out of a message, in place."""
    if isinstance(message, Any):
        _any(message)
        return
    for field, value in message.ListFields():
        if field.GetOptions().Extensions[sensitive_pb2.sensitive]:
            _blank(message, field)
        elif field.message_type is not None:
            for each in _messages(field, value):
                redact(each)


def _any(box: Any) -> None:
    name = box.type_url.rpartition("/")[2]
    try:
        inner = _POOL.GetSymbol(name)()
        inner.ParseFromString(box.value)
    except (KeyError, DecodeError):
        box.value = b""
        return
    redact(inner)
    box.value = inner.SerializeToString(deterministic=True)


def _messages(field: FieldDescriptor, value: object) -> list[Message]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return [each for each in value.values() if isinstance(each, Message)]  # type: ignore[attr-defined]
    return list(value) if field.is_repeated else [value]  # type: ignore[call-overload, list-item]


def _blank(message: Message, field: FieldDescriptor) -> None:
    """Put a text in the place of whatever a field holds, in all depths of it."""
    if field.message_type is None:
        blank = REDACTED.encode() if field.type == FieldDescriptor.TYPE_BYTES else REDACTED
        texts = field.type in {FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING}
        if not texts:
            message.ClearField(field.name)
        elif field.is_repeated:
            held = getattr(message, field.name)
            held[:] = [blank] * len(held)
        else:
            setattr(message, field.name, blank)
        return
    if field.message_type.GetOptions().map_entry or field.message_type.full_name == Any.DESCRIPTOR.full_name:
        message.ClearField(field.name)
        return
    for each in _messages(field, getattr(message, field.name)):
        for inner, _ in each.ListFields():
            _blank(each, inner)
