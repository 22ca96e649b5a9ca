"""Variables as `docker stack deploy` substitutes them."""

import pytest

from swarm_xds.sources.compose.document import DocumentError
from swarm_xds.sources.compose.variables import substitute

ENVIRON = {"A": "1", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("x$A/${A}y", "x1/1y"),
        ("$$A $${A}", "$A ${A}"),
        ("${NONE:-d}${EMPTY:-e}${A:-f}", "de1"),
        ("[${NONE-d}${EMPTY-e}]", "[d]"),
        ("${A:+x}${EMPTY:+y}${NONE:+z}", "x"),
        ("[${EMPTY+y}${NONE+z}]", "[y]"),
        ("${A:?needed}", "1"),
        ("[$EMPTY]", "[]"),
        ("no variable", "no variable"),
    ],
)
def test_substitution(text: str, result: str) -> None:
    """In every place of a document, also inside of lists and mappings, but never in a key."""
    missing: set[str] = set()
    document = {"$A": [text, {"b": text}], "c": None}
    assert substitute(document, ENVIRON, missing) == {"$A": [result, {"b": result}], "c": None}
    assert not missing


def test_a_variable_that_is_not_set_is_told() -> None:
    """Its place is empty, as docker leaves it."""
    missing: set[str] = set()
    assert substitute("[$B${C}]", ENVIRON, missing) == "[]"
    assert missing == {"B", "C"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("costs $5", "write $$"),
        ("${}", "write $$"),
        ("${A", "write $$"),
        ("$", "write $$"),
        ("${B:?say so}", "variable B is needed: say so"),
        ("${B?}", "variable B is needed"),
    ],
)
def test_bad_variables(text: str, reason: str) -> None:
    """A dollar sign that begins no variable is an error, as docker has it."""
    with pytest.raises(DocumentError) as raised:
        substitute({"a": [text]}, ENVIRON, set())
    assert reason in str(raised.value)
