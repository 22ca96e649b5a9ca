"""Stack files in the shapes that public ones have, with the mistakes that occur in them: what is said of each.

A folder each in ``shapes/``: ``stack.yml``, and what ``validate`` and ``migrate`` print. ``pytest --update-golden``
rewrites the outputs.
"""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from swarm_xds.cli.main import application

SHAPES = Path(__file__).with_name("shapes")
SESSION = {"SESSION_DOMAIN": None}


def run(*words: str) -> str:
    """Return what a command prints, and its exit status."""
    result = CliRunner().invoke(application(), words, env=SESSION)
    return f"{result.output}(exit status {result.exit_code})\n"


@pytest.mark.parametrize("case", sorted(SHAPES.iterdir()), ids=lambda case: case.name)
def test_what_is_said_of_it(case: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By both commands."""
    monkeypatch.chdir(case)
    for command in ("validate", "migrate"):
        said, kept = run(command, "stack.yml"), case / f"{command}.txt"
        if request.config.getoption("--update-golden"):
            kept.write_text(said, encoding="utf-8")
        assert said == kept.read_text(encoding="utf-8")


def test_the_stacks_name_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `docker stack deploy`: labels may name it."""
    monkeypatch.chdir(SHAPES / "network-by-stack-name")
    assert run("validate", "--stack", "portal", "stack.yml") == "(exit status 0)\n"
    assert "portal_web" in run("migrate", "--stack", "portal", "stack.yml")
    assert run("validate", "--stack", "a b", "stack.yml").endswith("(exit status 2)\n")
