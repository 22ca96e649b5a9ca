"""What is emitted is good for those who read it: the real Envoy, and a decoder that nobody here wrote."""

import importlib
import subprocess
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message

from support import golden
from swarm_xds.snapshot.static import static

ADMIN_PORT = 9901


@pytest.mark.envoy
@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_envoy_accepts_each_case(case: Path, envoy_binary: Path) -> None:
    """Each fleet's static form is a good configuration, in which nothing is deprecated."""
    for fleet, snapshot in golden.build(case).snapshots.fleets.items():
        assert _validated(envoy_binary, MessageToJson(static(snapshot, ADMIN_PORT))) == (0, ""), fleet


@cache
def _validated(envoy: Path, content: str) -> tuple[int, str]:
    """Return what Envoy says of a configuration, which several cases come to: those of bad labels among them."""
    with NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as config:
        config.write(content)
        config.flush()
        command = [str(envoy), "--mode", "validate", "-c", config.name, "--log-level", "warning"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stderr


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_each_case_reads_back_equal_in_another_implementation(case: Path) -> None:
    """envoy-data-plane decodes every message, and those inside of it, to the same fields with the same values."""
    for messages in golden.messages(case):
        for message in (*messages.listeners, *messages.routes, *messages.clusters, *messages.endpoints):
            _check(type(message), message.SerializeToString(deterministic=True))


def test_the_other_implementation_can_disagree() -> None:
    """The comparison sees a field that only one side has."""
    (messages,) = golden.messages(golden.CASES / "key-max-fails")
    cluster = messages.clusters[0]
    changed = type(cluster)()
    changed.CopyFrom(cluster)
    changed.outlier_detection.consecutive_5xx.value += 1
    assert _lower(MessageToDict(changed)) != _decoded(type(cluster), cluster.SerializeToString())


@cache
def _check(kind: type[Message], value: bytes) -> None:
    assert _decoded(kind, value) == _lower(MessageToDict(kind.FromString(value)))


def _decoded(kind: type[Message], value: bytes) -> Any:
    for name in set(_inner(MessageToDict(kind.FromString(value)))):
        _class(name)
    return _lower(_class(kind.DESCRIPTOR.full_name).parse(value).to_dict())


def _inner(document: Any) -> Iterator[str]:
    """Yield the names of the messages inside of an ``Any``, which have to be imported before they are read."""
    if isinstance(document, dict):
        if "@type" in document:
            yield document["@type"].rpartition("/")[2]
        for value in document.values():
            yield from _inner(value)
    elif isinstance(document, list):
        for value in document:
            yield from _inner(value)


def _lower(document: Any) -> Any:
    """Return a document with the names of its fields in lower case: the two write ``consecutive5xx`` differently."""
    if isinstance(document, dict):
        return {key.lower(): _lower(value) for key, value in document.items()}
    return [_lower(value) for value in document] if isinstance(document, list) else document


def _class(name: str) -> Any:
    package, _, message = name.rpartition(".")
    with warnings.catch_warnings():
        # It uses what pydantic has deprecated.
        warnings.simplefilter("ignore")
        return getattr(importlib.import_module(f"envoy_data_plane.{package}"), message)
