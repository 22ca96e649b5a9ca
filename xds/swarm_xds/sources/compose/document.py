"""From the bytes of a stack file to plain values: every scalar a text or None, and each key that stands twice.

Scalars stay as they are written, as labels need it: ``port: 0080`` is the text "0080".
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

#: Largest stack file that is read, in bytes.
MAX_SIZE = 8 * 1024 * 1024
#: Most values that a file may come to, each alias counted as what it stands for.
MAX_VALUES = 1_000_000
#: Deepest nesting; libyaml ends the process when it runs out of stack.
MAX_DEPTH = 64


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


if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:
    # With libyaml, which every wheel of PyYAML has, a file of a thousand services is read in a tenth of the time.
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """Safe, with no type but text and nothing, and with merge keys."""


#: libyaml's words for `replicas:2` with something below it.
_NO_SPACE = "mapping values are not allowed in this context"
_SPACES = " (is there a space after each colon, here and in the line before?)"
_TAG = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [each for each in resolvers if each[0] in {f"{_TAG}merge", f"{_TAG}null"}])
}
_Loader.yaml_constructors = {
    **{f"{_TAG}{name}": yaml.SafeLoader.construct_scalar for name in ("str", "int", "float", "bool", "timestamp")},
    **{each: yaml.SafeLoader.yaml_constructors[each] for each in (f"{_TAG}null", f"{_TAG}map", f"{_TAG}seq", None)},
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
        _check_depth(text)
        return _parse(text)
    except yaml.YAMLError as error:
        raise DocumentError(_one_line(error)) from error


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
            raise DocumentError(f"{line}nested deeper than {MAX_DEPTH}")


def _parse(text: str) -> tuple[Mapping[str, Any], tuple[Twice, ...]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise DocumentError("not a mapping of services, networks and so on")
        if _size(node, {}) > MAX_VALUES:
            raise DocumentError(f"its aliases come to more than {MAX_VALUES} values")
        # Before construction, which folds merge keys and double keys together.
        twice = tuple(_double_keys(node, (), set()))
        document = loader.construct_document(node)
    finally:
        loader.dispose()
    return document, twice


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node comes to with every alias written out."""
    size = known.get(id(node))
    if size == 0:
        raise DocumentError("an alias stands inside of what it stands for")
    if size is None:
        known[id(node)] = 0
        children = node.value if isinstance(node.value, list) else ()
        parts = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        size = known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return size


def _double_keys(node: yaml.Node, path: tuple[str, ...], seen: set[int]) -> list[Twice]:
    if id(node) in seen:
        return []
    seen.add(id(node))
    found: list[Twice] = []
    if isinstance(node, yaml.MappingNode):
        keys: set[Hashable] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in keys and key.tag != f"{_TAG}merge":
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
        # The place is where it cannot go on: what is wrong most often stands before it.
        hint = _SPACES if error.problem == _NO_SPACE else ""
        return f"line {error.problem_mark.line + 1}: {error.problem}{context}{hint}"
    return " ".join(str(error).split())
