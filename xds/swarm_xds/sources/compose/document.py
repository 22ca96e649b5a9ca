"""From the bytes of a stack file to plain values: every scalar a string, and each key that stands twice.

Scalars stay as they are written, as labels need it: ``port: 0080`` is the text "0080".
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

#: Largest stack file that is read, in bytes.
MAX_SIZE = 8 * 1024 * 1024
_MERGE = "tag:yaml.org,2002:merge"


class DocumentError(ValueError):
    """A file that is no stack file; the message says where and why, in one line."""


@dataclass(frozen=True, slots=True)
class Twice:
    """A key that stands twice in one mapping.

    Attributes:
        path: Keys from the top of the document to the mapping.
    """

    path: tuple[str, ...]
    key: str
    line: int


class _Loader(yaml.SafeLoader):
    """Safe, with no type but text, and with merge keys."""


_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [each for each in resolvers if each[0] == _MERGE])
}


def load(content: bytes) -> tuple[Mapping[str, Any], tuple[Twice, ...]]:
    """Return a stack file's document and its double keys, of which the last one holds.

    Raises:
        DocumentError: Not UTF-8, not YAML, not a mapping, empty, too large or too deep.
    """
    if len(content) > MAX_SIZE:
        raise DocumentError(f"larger than {MAX_SIZE} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DocumentError(f"line {line}: not UTF-8 (byte 0x{content[error.start]:02x})") from error
    if not text.strip():
        raise DocumentError("the file is empty")
    try:
        return _parse(text)
    except yaml.YAMLError as error:
        raise DocumentError(_one_line(error)) from error
    except RecursionError:
        raise DocumentError("nested too deeply") from None


def _parse(text: str) -> tuple[Mapping[str, Any], tuple[Twice, ...]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise DocumentError("not a mapping of services, networks and so on")
        # Before construction, which folds merge keys and double keys together.
        twice = tuple(_double_keys(node, (), set()))
        document = loader.construct_document(node)
    finally:
        loader.dispose()
    return document, twice


def _double_keys(node: yaml.Node, path: tuple[str, ...], seen: set[int]) -> list[Twice]:
    if id(node) in seen:
        return []
    seen.add(id(node))
    found: list[Twice] = []
    if isinstance(node, yaml.MappingNode):
        keys: set[Hashable] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in keys and key.tag != _MERGE:
                found.append(Twice(path, name, key.start_mark.line + 1))
            keys.add(name)
            found += _double_keys(value, (*path, name), seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += _double_keys(value, path, seen)
    return found


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        context = f" {error.context}" if error.context else ""
        return f"line {error.problem_mark.line + 1}: {error.problem}{context}"
    return " ".join(str(error).split())
