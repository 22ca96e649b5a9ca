"""Single fields of the engine's JSON."""

import pytest

from swarm_xds.sources.docker import fields


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("2026-11-23T20:35:36.756006565Z", 1795466136756006565),
        ("2026-11-23T22:35:36.756006565+02:00", 1795466136756006565),
        ("2026-13-01T00:00:00Z", 0),
        ("", 0),
    ],
)
def test_nanoseconds(text: str, want: int) -> None:
    """To the nanosecond, in any zone, and 0 for what is no time."""
    assert fields.nanoseconds(text) == want
