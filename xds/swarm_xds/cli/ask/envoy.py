"""What an Envoy has by its own word: the answer of its admin interface to ``/config_dump?include_eds``. Pure.

In: the document. Out: a ``Dump``, each resource as plain values with its version and state. Envoy redacts secrets as we
do. See https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump.proto.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.timestamp_pb2 import Timestamp

from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

#: For each type the part of the dump; in it the lists, and whether what they hold is in use; the field of the resource.
_PARTS = {
    CLUSTER: (
        "ClustersConfigDump",
        (("dynamic_active_clusters", True), ("dynamic_warming_clusters", False)),
        "cluster",
    ),
    ENDPOINT: ("EndpointsConfigDump", (("dynamic_endpoint_configs", True),), "endpoint_config"),
    ROUTE: ("RoutesConfigDump", (("dynamic_route_configs", True),), "route_config"),
    SECRET: ("SecretsConfigDump", (("dynamic_active_secrets", True), ("dynamic_warming_secrets", False)), "secret"),
}
_LISTENERS = "ListenersConfigDump"


class DumpError(ValueError):
    """The document is not what Envoy answers; the message says what to ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A resource as Envoy has it.

    Attributes:
        version: Of the response that it came with; Envoy keeps none for endpoints.
        since: When it was updated, as Envoy writes it; empty for endpoints.
        content: Plain values; None if it cannot be read here.
        warming: It, or a newer one if it is in use, waits for something else.
        error: Why an update was refused, in Envoy's words; empty if the last one was not.
    """

    version: str = ""
    since: str = ""
    content: Mapping[str, Any] | None = None
    warming: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """Everything that an Envoy has from a control plane, by type and name; ``node`` and ``fleet`` say who it is."""

    node: str
    fleet: str
    held: Mapping[tuple[str, str], Held] = field(default_factory=dict)


def read(document: object) -> Dump:
    """Return what a dump says.

    Raises:
        DumpError: It is none, or not a whole one.
    """
    try:
        parts = {str(each["@type"]).rpartition(".")[2]: each for each in document["configs"]}  # type: ignore[index]
        missing = {name for name, _, _ in _PARTS.values()} | {"BootstrapConfigDump", _LISTENERS}
        missing -= parts.keys()
        if missing:
            raise DumpError(
                f"not a whole configuration, {', '.join(sorted(missing))} missing: ask for /config_dump?include_eds"
            )
        bootstrap = parts["BootstrapConfigDump"]["bootstrap"]
        own = set(_from_files(bootstrap))
        held = dict(_listeners(parts[_LISTENERS]))
        for type_url, (part, lists, inside) in _PARTS.items():
            for key, active in lists:
                for each in parts[part].get(key, ()):
                    resource = each.get(inside, {})
                    name = str(each.get("name") or resource.get("name") or resource.get("cluster_name") or "")
                    if type_url == SECRET and name in own:
                        continue
                    place = (type_url, name)
                    # What is in use goes first, also where another one waits to take its place.
                    if place in held:
                        held[place] = replace(held[place], warming=True)
                    else:
                        held[place] = _held(each, resource, warming=not active)
        node = bootstrap["node"]
        return Dump(node=str(node.get("id", "")), fleet=str(node.get("cluster", "")), held=held)
    except (KeyError, TypeError, AttributeError) as error:
        raise DumpError("not what Envoy answers to /config_dump?include_eds") from error


def plain(packed: Packed) -> dict[str, Any]:
    """Return a packed message as plain values, with the field names of Envoy's documentation."""
    found: dict[str, Any] = MessageToDict(packed, preserving_proto_field_name=True)
    return found


def _held(state: Mapping[str, Any], resource: Mapping[str, Any], *, warming: bool, error: str = "") -> Held:
    try:
        # Through the message and back: Envoy writes some values in another form than we do.
        content = plain(ParseDict(dict(resource), Packed())) if resource else {}
    except (ParseError, TypeError):
        content = None
    return Held(
        version=str(state.get("version_info", "")),
        since=_time(state.get("last_updated", "")),
        content=content,
        warming=warming,
        error=error,
    )


def _time(text: object) -> str:
    try:
        Timestamp().FromJsonString(str(text))
    except ValueError:
        return ""
    return str(text)


def _listeners(part: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Held]]:
    """Return the listeners; one that is only being drained is on its way out, and is nobody's any more."""
    for each in part.get("dynamic_listeners", ()):
        error = str(each.get("error_state", {}).get("details", ""))
        state = each.get("active_state") or each.get("warming_state")
        if state:
            held = _held(state, state.get("listener", {}), warming="warming_state" in each, error=error)
            yield (LISTENER, str(each["name"])), held
        elif error:
            yield (LISTENER, str(each["name"])), Held(content={}, error=error)


def _from_files(value: object) -> Iterator[str]:
    """Return the names of secrets that a bootstrap takes from files: the Envoy's own, for its talk with us."""
    if isinstance(value, Mapping):
        source = value.get("sds_config")
        if isinstance(source, Mapping) and ("path_config_source" in source or "path" in source):
            yield str(value.get("name", ""))
        for each in value.values():
            yield from _from_files(each)
    elif isinstance(value, list):
        for each in value:
            yield from _from_files(each)
