"""Single fields of the engine's JSON, read so that an odd shape is an error and an absent field is not.

In: decoded JSON. Out: plain values. Pure: it must not know which object a field belongs to.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")


def nanoseconds(timestamp: str) -> int:
    """Return an RFC 3339 time as nanoseconds since the epoch, or 0 if it is none."""
    found = _TIMESTAMP.fullmatch(timestamp)
    if not found:
        return 0
    whole, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
    except ValueError:
        return 0
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + int((fraction or "").ljust(9, "0"))


def addresses(values: Iterable[Any]) -> list[str]:
    """Return the values that are IP addresses, without the length of a prefix."""
    found = []
    for value in values:
        if isinstance(value, str):
            bare = value.partition("/")[0]
            try:
                ip_address(bare)
            except ValueError:
                continue
            found.append(bare)
    return found


def subnet(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return the value if it is a network in CIDR notation, else nothing."""
    try:
        return str(ip_network(value, strict=False)) if isinstance(value, str) else ""
    except ValueError:
        return ""


def mapping(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object under ``key``; absent and null are empty, anything else is an error."""
    value = raw.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{key} is not an object")
    return value


def sequence(raw: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list under ``key``; absent and null are empty, anything else is an error."""
    value = raw.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{key} is not a list")
    return value


def text(raw: Mapping[str, Any], key: str) -> str:
    """Return the string under ``key``; absent and null are empty, anything else is an error."""
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a string")
    return value
