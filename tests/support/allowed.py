"""The calls of the engine's API that the documentation lists, for whoever puts a proxy in front of the socket."""

import re
from functools import cache
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "security.md"
_ROW = re.compile(r"^\| (GET|POST|DELETE) \| `(/[^`]*)`", re.MULTILINE)


@cache
def calls() -> tuple[tuple[str, str], ...]:
    """Return method and path of each row; ``{id}`` stands for anything but a slash."""
    return tuple(_ROW.findall(_PAGE.read_text(encoding="utf-8")))


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((method, re.compile(path.replace("{id}", "[^/]+"))) for method, path in calls())


def allowed(method: str, path: str) -> bool:
    """Tell whether a call is on the list."""
    return any(method == listed and pattern.fullmatch(path) for listed, pattern in _patterns())
