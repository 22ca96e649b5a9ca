"""Where intended, acknowledged and an Envoy's own configuration differ. Pure.

In: the snapshot of the Envoy's fleet, what the control plane knows of its answers, and the Envoy's ``Dump``. Out: a
``Finding`` for each resource that is not the same in all three. Messages are compared, field by field, not texts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from swarm_xds.cli.ask.envoy import Dump, Held, plain
from swarm_xds.debug.redact import REDACTED
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

_TYPES = (CLUSTER, ENDPOINT, SECRET, LISTENER, ROUTE)
_ACKNOWLEDGED = {
    pb.Difference.KIND_MISSING: "no",
    pb.Difference.KIND_OTHER: "another version",
    pb.Difference.KIND_EXTRA: "still",
    pb.Difference.KIND_UNKNOWN: "not known",
}
#: How protobuf's JSON writes the redacted content of a field of bytes.
_REDACTED_BYTES = "W3JlZGFjdGVkXQ=="


class Has(StrEnum):
    """What an Envoy has of a resource that it is to have, or is not."""

    SAME = "as intended"
    MISSING = "missing"
    DIFFERENT = "different"
    EXTRA = "too much"
    WARMING = "not in use yet"
    """A newer one waits for something; the fields are those of the one that is in use, if there is one."""
    UNREADABLE = "not readable here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unequal:
    """A field that is not the same.

    Attributes:
        path: Such as ``virtual_hosts[app.example.org].routes[0].route.cluster``; elements with names go by them.
        intended: Plain values, as the next; None where it is not set.
        envoy: What the Envoy has.
    """

    path: str
    intended: Any
    envoy: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A resource that is not the same everywhere.

    Attributes:
        acknowledged: What the control plane knows: ``yes``, ``no``, ``another version``, ``still`` for one that is to
            be gone, ``not known``, or ``not connected``.
        intended_version: Empty if it is not intended; the next is empty if the Envoy has it not, or keeps none.
        envoy_version: Of what the Envoy has.
        since: When the Envoy was updated, as it writes it; may be empty.
        fields: Where the two differ, if both have it.
        reason: Why an update was refused; empty if none was.
    """

    type_url: str
    name: str
    envoy: Has
    acknowledged: str
    intended_version: str = ""
    envoy_version: str = ""
    since: str = ""
    fields: tuple[Unequal, ...] = ()
    reason: str = ""


def compare(
    snapshot: pb.GetSnapshotResponse, node: pb.Node | None, answered: Iterable[pb.Difference], dump: Dump
) -> list[Finding]:
    """Return all findings, by type and name.

    Args:
        snapshot: What each proxy of the fleet is to have.
        node: The Envoy as the control plane sees it; None if it has no stream there.
        answered: What that Envoy has not acknowledged.
        dump: What it has.
    """
    intended = {(each.resource.type_url, each.name): each for each in snapshot.resources}
    intended = {place: each for place, each in intended.items() if place[0] in _TYPES}
    unanswered = {(each.type_url, each.name): each for each in answered}
    # Envoy makes its endpoints up from its clusters, also those that it has from DNS: they never are too many.
    held = {place: each for place, each in dump.held.items() if place[0] != ENDPOINT or place in intended}
    # In the state-of-the-world variant a version is the whole type's, of whichever response a resource came with.
    versioned = node is not None and node.variant == "delta"
    found = []
    named = {place for place in unanswered if place[1] and place[0] in _TYPES}
    for place in sorted(intended.keys() | held.keys() | named, key=lambda place: (_TYPES.index(place[0]), place[1])):
        resource, have = intended.get(place), held.get(place)
        fields = tuple(_fields(resource, have, versioned=versioned)) if resource and have else ()
        difference = unanswered.get(place) or unanswered.get((place[0], ""))
        finding = Finding(
            type_url=place[0],
            name=place[1],
            envoy=_has(resource, have, fields),
            acknowledged=_acknowledged(node, difference, intended=resource is not None),
            intended_version=resource.version if resource else "",
            envoy_version=have.version if have else "",
            since=have.since if have else "",
            fields=fields,
            reason=(have.error if have else "") or (difference.refused if difference else ""),
        )
        certain = difference is None or difference.kind == pb.Difference.KIND_UNKNOWN
        if finding.envoy is not Has.SAME or not certain or (resource and finding.reason):
            found.append(finding)
    return found


def _has(resource: pb.Resource | None, have: Held | None, fields: tuple[Unequal, ...]) -> Has:
    if resource is None:
        return Has.SAME if have is None or have.content == {} else Has.EXTRA
    if have is None or have.content == {}:
        return Has.MISSING
    if have.content is None:
        return Has.UNREADABLE
    if have.warming:
        return Has.WARMING
    return Has.DIFFERENT if fields else Has.SAME


def _acknowledged(node: pb.Node | None, difference: pb.Difference | None, *, intended: bool) -> str:
    if node is None or node.standing == pb.STANDING_GONE:
        return "not connected"
    if difference is not None:
        return _ACKNOWLEDGED[difference.kind]
    return "yes" if intended else "no"


def _fields(resource: pb.Resource, have: Held, *, versioned: bool) -> Iterator[Unequal]:
    if not have.content:
        return
    wanted, content = plain(resource.resource), have.content
    if resource.resource.type_url == ENDPOINT:
        yield from unequal(_endpoints(wanted), _endpoints(content))
        return
    found = tuple(unequal(wanted, content))
    yield from found
    # Of what is redacted only the version can tell.
    if versioned and not found and _redacted(wanted) and have.version != resource.version:
        yield Unequal(path="(redacted)", intended=f"version {resource.version}", envoy=f"version {have.version}")


def unequal(intended: object, envoy: object, path: str = "") -> Iterator[Unequal]:
    """Return where two trees of plain values differ."""
    if isinstance(intended, Mapping) and isinstance(envoy, Mapping):
        for name in sorted(intended.keys() | envoy.keys()):
            yield from unequal(intended.get(name), envoy.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(intended, list) and isinstance(envoy, list):
        key = _names if _names(intended) and _names(envoy) else _places
        wanted, has = (dict(zip(key(each), each, strict=True)) for each in (intended, envoy))
        if wanted.keys() == has.keys() and list(wanted) != list(has):
            # Envoy takes the first that matches, so the order counts.
            yield Unequal(path=f"{path}(order)", intended=list(wanted), envoy=list(has))
        for name in (*wanted, *(each for each in has if each not in wanted)):
            yield from unequal(wanted.get(name), has.get(name), f"{path}[{name}]")
    elif intended != envoy:
        yield Unequal(path=path, intended=intended, envoy=envoy)


def shown(value: object) -> str:
    """Return a field's value as short text."""
    if value is None:
        return "(not set)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _names(values: list[Any]) -> list[str]:
    """Return the names of a list's elements if all have one, and no two the same; else nothing."""
    names = [str(each.get("name", "")) if isinstance(each, Mapping) else "" for each in values]
    return names if all(names) and len(set(names)) == len(names) else []


def _places(values: list[Any]) -> list[str]:
    return [str(place) for place in range(len(values))]


def _endpoints(assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the endpoints by address, with what we say of them; Envoy adds health, weights and policies of its own."""
    found = {}
    for group in assignment.get("endpoints", ()):
        for each in group.get("lb_endpoints", ()):
            address = each["endpoint"]["address"].get("socket_address", {})
            place = f"{address.get('address', '')}:{address.get('port_value', 0)}"
            found[place] = {"metadata": each["metadata"]} if each.get("metadata") else {}
    return found


def _redacted(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_redacted, value.values()))
    if isinstance(value, list):
        return any(map(_redacted, value))
    return value in {REDACTED, _REDACTED_BYTES}
