"""The documentation: printed pages are current, the site builds, and every command in it is one that there is."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from support.command import command
from support.engine import FakeEngine
from swarm_xds.cli.main import application
from swarm_xds.cli.reference import KINDS, pages
from swarm_xds.problem import Kind

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"```(?:sh)?\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", sorted(pages()))
def test_printed_pages_are_those_of_the_code(name: str) -> None:
    """`make docs` writes them."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_every_kind_of_problem_has_its_cause_and_cure() -> None:
    """Also one that is new."""
    assert KINDS.keys() == set(Kind)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every link leads somewhere."""
    arguments = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "security" / "index.html").is_file()


def commands() -> Iterator[tuple[str, str]]:
    """Return each command of ours in the documentation, with its page."""
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                call = line.split(" > ")[0].split("#")[0].strip()
                if call.startswith("swarm-xds "):
                    yield page.name, call


@pytest.mark.parametrize("call", sorted({call for _, call in commands()}))
def test_each_command_is_one_that_there_is(call: str) -> None:
    """With options and arguments that it takes."""
    group = typer.main.get_command(application())
    words = shlex.split(call)[1:]
    while isinstance(group, click.Group):
        name = words.pop(0)
        found = group.get_command(click.Context(group), name)
        assert found is not None, name
        group = found
    group.make_context(group.name, [word for word in words if word not in {"--help"}])


def test_there_are_commands_to_be_tested() -> None:
    """Else the test above would pass on nothing."""
    assert len(set(commands())) > 20


def test_all_that_is_asked_of_an_engine_is_on_the_list() -> None:
    """The allow-list of the security page, for a reading, a plan and a removal."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    allowed = [path.replace("{id}", "[^/]+") for path in re.findall(r"^\| \w+ \| `(/[^`]*)`", text, re.MULTILINE)]
    with FakeEngine() as engine:
        edge = engine.add_network("swarm-xds", subnet="10.9.0.0/24")
        front = engine.add_network("shop_front", subnet="10.1.0.0/24", stack="shop")
        engine.add_service("swarm-xds_edge", labels={"swarm-xds.fleet": "default"}, networks=[edge], tasks=1)
        labels = {"com.docker.lb.hosts": "shop.example.org", "com.docker.lb.port": "8080"}
        engine.add_service("shop_web", labels=labels, networks=[front], tasks=1)
        assert command("networks", "--plan", "--docker-host", engine.url).returncode == 0
        assert command("uninstall", "--docker-host", engine.url).returncode == 0
        asked = set(engine.asked)
    assert {"/services", "/tasks", "/configs"} <= asked
    assert not {path for path in asked if not any(re.fullmatch(each, path) for each in allowed)}
