"""Finds the line of a stack file that a problem is about. Pure."""

import yaml

_MAPPING = yaml.MappingNode
#: A parse of a file that is nested deeper than this is given up, as everywhere where stack files are read.
_ERRORS = (yaml.YAMLError, RecursionError, ValueError)


def locate(content: str, service: str, label: str) -> int:
    """Return the line, from 1, of a service's label; of the service if that has no such label; 1 if there is neither.

    Args:
        content: Of the file.
        service: The service's name in the swarm, with its stack's name in front; empty for the file as a whole.
        label: The label's key; empty for the service as a whole.
    """
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except _ERRORS:
        return 1
    services = _get(root, "services")
    if not isinstance(services, _MAPPING):
        return 1
    # Of two services that end alike, such as web and shop_web, the longer name is meant.
    named = [(key, value) for key, value in services.value if f"_{service}".endswith(f"_{key.value}")]
    if not service or not named:
        return 1
    key, definition = max(named, key=lambda each: len(each[0].value))
    for place in (_get(_get(definition, "deploy"), "labels"), _get(definition, "labels")):
        line = _line_of(place, label)
        if label and line:
            return line
    return int(key.start_mark.line) + 1


def _get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, _MAPPING):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _line_of(labels: yaml.Node | None, label: str) -> int:
    """Return the line of a label in a mapping, or in a list of ``key=value``; 0 if it is in neither."""
    if isinstance(labels, _MAPPING):
        found = [key for key, _ in labels.value if key.value == label]
    elif isinstance(labels, yaml.SequenceNode):
        found = [each for each in labels.value if str(each.value).partition("=")[0] == label]
    else:
        found = []
    return int(found[0].start_mark.line) + 1 if found else 0
