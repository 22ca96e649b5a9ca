"""How long an answer is doubted that names nothing of what was there."""

import pytest

from swarm_xds.sources.docker.doubts import Doubts


@pytest.mark.parametrize(
    ("story", "doubted"),
    [
        pytest.param([(0, "a", "")], [False], id="nothing is missing"),
        pytest.param([(0, "a", "a"), (9, "a", "a"), (10, "a", "a")], [True, True, False], id="believed after a while"),
        pytest.param([(0, "a", "a"), (9, "a", ""), (10, "a", "a")], [True, False, True], id="there again: anew"),
        pytest.param([(0, "a", "a"), (10, "a", "a"), (11, "a", "a")], [True, False, True], id="believed once: anew"),
        pytest.param([(0, "a", "a"), (6, "b", ""), (10, "a", "a")], [True, False, False], id="others tell nothing"),
        pytest.param([(0, "a", "a"), (6, "ab", "ab"), (10, "ab", "ab")], [True] * 3, id="the newest counts"),
        pytest.param([(0, "ab", "ab"), (10, "ab", "a")], [True, False], id="one is there again"),
    ],
)
def test_doubts(story: list[tuple[float, str, str]], doubted: list[bool]) -> None:
    """Each answer by its time, what was asked about, and what is missing."""
    doubts = Doubts(10.0)
    assert [doubts.about(asked, missing, now) for now, asked, missing in story] == doubted
