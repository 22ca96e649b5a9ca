"""Variables in stack files, substituted as ``docker stack deploy`` does it.

``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}`` and ``${NAME:+other}``, the last three also without
their colon, which then take an empty value for a value; and ``$$`` for a dollar sign (Compose specification,
"Interpolation").
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from swarm_xds.sources.compose.document import DocumentError

T = TypeVar("T")

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = re.compile(
    rf"\$(?:(?P<dollar>\$)|(?P<plain>{_NAME})|\{{(?P<braced>{_NAME})(?:(?P<operator>:?[-?+])(?P<word>[^{{}}]*))?\}}|(?P<bad>))"
)


def substitute(value: T, environ: Mapping[str, str], missing: set[str]) -> T:
    """Return a document with its variables substituted; names without a value are added to ``missing``.

    Raises:
        DocumentError: A dollar sign that begins no variable, or ``${NAME:?message}`` without a value.
    """
    result: Any = value
    if isinstance(value, str) and "$" in value:
        result = _in_text(value, environ, missing)
    elif isinstance(value, dict):
        result = {key: substitute(each, environ, missing) for key, each in value.items()}
    elif isinstance(value, list):
        result = [substitute(each, environ, missing) for each in value]
    return cast("T", result)


def _in_text(text: str, environ: Mapping[str, str], missing: set[str]) -> str:
    def one(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        name = match["plain"] or match["braced"]
        if not name:
            raise DocumentError(f'invalid variable in "{text[:80]}": write $$ for a dollar sign')
        value, operator, word = environ.get(name), match["operator"] or "", match["word"] or ""
        given = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return word if given else ""
        if given and value is not None:
            return value
        if operator.endswith("-"):
            return word
        if operator.endswith("?"):
            raise DocumentError(f"variable {name} is needed: {word or 'it is not set'}")
        missing.add(name)
        return ""

    return _VARIABLE.sub(one, text)
