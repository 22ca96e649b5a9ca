"""Snapshots as the content of a file, and back: with a schema version and a checksum, so that damage is noticed.

One line of JSON says what follows; then come the snapshots as JSON with the resources' bytes in base64,
each with its lifetime where it has one. Pure.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf.message import DecodeError

from swarm_xds.snapshot.resources import SECRET, Resource, Resources, Snapshot, Snapshots

#: To be raised whenever a file of before would be read wrongly.
SCHEMA = 1


class Failure(StrEnum):
    """Why a file is of no use."""

    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    NOT_WRITTEN = "not_written"


class DamagedError(ValueError):
    """The content is not what was written; the text says how that shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a file holds.

    Attributes:
        written: When, with a time zone.
    """

    snapshots: Snapshots
    written: datetime

    @property
    def has_keys(self) -> bool:
        """Whether private keys are in it, and not only whom to trust."""
        return any(not secret.HasField("validation_context") for secret in _secrets(self.snapshots))


def dump(kept: Kept) -> bytes:
    """Return the content of the file."""
    body = json.dumps(
        {
            "written": kept.written.isoformat(),
            "default": kept.snapshots.default,
            "empty": _plain(kept.snapshots.empty),
            "fleets": {name: _plain(fleet) for name, fleet in kept.snapshots.fleets.items()},
        },
        sort_keys=True,
    ).encode()
    head = {"schema": SCHEMA, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


def parse(content: bytes) -> Kept:
    """Read the content of a file.

    Raises:
        DamagedError: It is cut off, changed, of another schema, or no such file at all.
    """
    line, _, body = content.partition(b"\n")
    try:
        head = json.loads(line)
        schema, checksum = head["schema"], head["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError("not a file of snapshots") from error
    if schema != SCHEMA:
        raise DamagedError(f"of schema {schema!r}, and this version reads {SCHEMA}")
    if hashlib.sha256(body).hexdigest() != checksum:
        raise DamagedError("the checksum is wrong")
    try:
        document = json.loads(body)
        written = datetime.fromisoformat(document["written"])
        kept = Kept(
            snapshots=Snapshots(
                fleets={name: _snapshot(fleet) for name, fleet in document["fleets"].items()},
                empty=_snapshot(document["empty"]),
                default=document["default"],
            ),
            written=written,
        )
        _secrets(kept.snapshots)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, DecodeError) as error:
        raise DamagedError(f"not what this schema has: {error}") from error
    if written.tzinfo is None:
        raise DamagedError("not what this schema has: a time without a zone")
    return kept


def _secrets(snapshots: Snapshots) -> list[secret_pb2.Secret]:
    """Return the secrets of all fleets.

    Raises:
        DecodeError: One of them is none.
    """
    resources = (each for fleet in snapshots.fleets.values() for each in fleet.of(SECRET).values())
    return [secret_pb2.Secret.FromString(each.value) for each in resources]


def _plain(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    return {
        type_url: {name: _plain_resource(resource) for name, resource in resources.items()}
        for type_url, resources in snapshot.resources.items()
    }


def _plain_resource(resource: Resource) -> str | list[Any]:
    value = b64encode(resource.value).decode()
    return [value, resource.ttl] if resource.ttl else value


def _snapshot(plain: Mapping[str, Mapping[str, Any]]) -> Snapshot:
    return Snapshot(
        {
            type_url: Resources(_resource(name, each) for name, each in resources.items())
            for type_url, resources in plain.items()
        }
    )


def _resource(name: str, plain: str | list[Any]) -> Resource:
    value, ttl = (plain, 0) if isinstance(plain, str) else plain
    return Resource.of(name, b64decode(value), int(ttl))
