"""From bytes to a document: text stays text, and nothing in a file can hang or end the reader."""

import pytest

from swarm_xds.sources.compose.document import MAX_SIZE, DocumentError, Twice, load


def test_scalars_stay_as_they_are_written() -> None:
    """A port of 0080, a yes and a date are text; only nothing is nothing."""
    document, _ = load(
        b"a: 0080\nb: yes\nc: 2001-01-01\nd: 1e3\ne: ~\nf:\ng: 'null'\nh: !!int 5\ni: 0x50\nj: 12:30:45\n"
    )
    assert document == {
        "a": "0080",
        "b": "yes",
        "c": "2001-01-01",
        "d": "1e3",
        "e": None,
        "f": None,
        "g": "null",
        "h": "5",
        "i": "0x50",
        "j": "12:30:45",
    }


def test_merge_keys_and_aliases() -> None:
    """As docker reads them: the nearer key wins."""
    document, twice = load(b"x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}\n")
    assert document["y"] == {"a": "1", "b": "3"}
    assert document["z"] == {"a": "1", "b": "2", "c": "4"}
    assert twice == ()


def test_keys_that_stand_twice_are_told_with_line_and_place() -> None:
    """The last one holds; a mapping that has two aliases is looked through once."""
    document, twice = load(b"a:\n  b: 1\n  c: &c {d: 1, d: 2}\n  b: 2\ne: *c\n")
    assert document["a"]["b"] == "2"
    assert set(twice) == {Twice(("a",), "b", 4), Twice(("a", "c"), "d", 3)}


def test_a_byte_order_mark_is_no_harm() -> None:
    """Some editors write one."""
    assert load(b"\xef\xbb\xbfa: 1")[0] == {"a": "1"}


def lists_of_lists(key: str) -> bytes:
    """Return a small file whose aliases come to ten billion values."""
    lines = [f"a0: &a0 {key}"] + [
        f"a{each}: &a{each} {'{<<: [' if key.startswith('{') else '['}{', '.join([f'*a{each - 1}'] * 10)}"
        f"{']}' if key.startswith('{') else ']'}"
        for each in range(1, 11)
    ]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b" \n\t\n", "the file is empty", id="blank"),
        pytest.param(b"# nothing\n", "not a mapping", id="comment"),
        pytest.param(b"- a", "not a mapping", id="list"),
        pytest.param(b"5", "not a mapping", id="number"),
        pytest.param(b"a: \xff", "line 1: not UTF-8 (byte 0xff)", id="not UTF-8"),
        pytest.param(b"a: 1\nb: \xc3", "line 2: not UTF-8 (byte 0xc3)", id="cut in the middle of a letter"),
        pytest.param(b"a: \x00", "control characters are not allowed", id="control character"),
        pytest.param(b"a: [1", "while parsing a flow sequence", id="half a list"),
        pytest.param(b"a: 'x\n", "line 2: ", id="half a text"),
        pytest.param(b"a:\n\tb: 1", "line 2: ", id="tab"),
        pytest.param(b"a: *b", "undefined alias", id="alias of nothing"),
        pytest.param(b"a: &a [*a]", "an alias stands inside of what it stands for", id="endless list"),
        pytest.param(b"a: &a {b: *a}", "an alias stands inside of what it stands for", id="endless mapping"),
        pytest.param(lists_of_lists("[x]"), "its aliases come to more than 1000000 values", id="billion laughs"),
        pytest.param(lists_of_lists("{x: y}"), "its aliases come to more than 1000000 values", id="billion merges"),
        pytest.param(b"a: " + b"[" * 100_000, "line 1: nested deeper than 64", id="deep"),
        pytest.param(b"".join(b" " * each + b"a:\n" for each in range(99)), "line 65: nested deeper", id="deep blocks"),
        pytest.param(b"a: !!python/object/apply:os.getcwd []", "could not determine a constructor", id="code"),
        pytest.param(b"a: !!binary aGk=", "could not determine a constructor", id="bytes"),
        pytest.param(b"a: 1\n---\nb: 2", "another document", id="two documents"),
        pytest.param(b"? [a, b]\n: c", "unhashable key", id="a list for a key"),
        pytest.param(b"a: " + b"x" * MAX_SIZE, "larger than 8388608 bytes", id="large"),
    ],
)
def test_what_is_no_document(content: bytes, reason: str) -> None:
    """Each says in one line what is wrong, and where if that is known."""
    with pytest.raises(DocumentError) as raised:
        load(content)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
