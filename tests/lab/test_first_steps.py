"""The README's first steps, as they are written, on a swarm that had nothing of ours; conftest.py installs by them."""

import json
from pathlib import Path

import pytest

from support.lab import Lab, wait_for
from support.lab_swarm import FLEET, Edges, left, node_of, remove, running
from support.manager import Manager, blocks, commands

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

README = Path(__file__).parents[2] / "README.md"


def test_a_first_service_over_tls_and_the_first_questions(fleet: Lab, manager: Manager, edges: Edges) -> None:
    """Each command succeeds, and the last of the first service prints what the service answers."""
    (service,), (questions,) = (
        blocks("README.md", heading) for heading in ("### First service", "### First questions")
    )
    try:
        answer = manager.run(service)
        assert json.loads(answer.splitlines()[-1])["port"] == 8080
        edges.await_status("app.example.org", 200)
        # Of each, whichever the edges are connected to.
        for task in running(fleet, f"{FLEET}_control-plane").values():
            node = node_of(fleet, task)
            # An edge that has not answered the newest yet is told too.
            wait_for(
                "an answer to each question",
                lambda node=node: manager.run(questions, node).count("app.example.org") >= 2,
            )
    finally:
        remove(fleet, "example")
    wait_for("the end of the stack", lambda: not left(fleet, "example"))


def test_the_number_of_commands_is_told() -> None:
    """To a first service over TLS."""
    steps = [*blocks("README.md", "### Install"), *blocks("README.md", "### First service")]
    count = sum(len(commands(block)) for block in steps)
    assert f"first service over TLS it takes {count} commands" in README.read_text(encoding="utf-8")


def test_the_site_says_the_same() -> None:
    """Its page about the installation has the commands of the README."""
    assert blocks("docs/install.md", "## On a manager") == blocks("README.md", "### Install")
