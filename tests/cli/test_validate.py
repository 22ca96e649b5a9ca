"""`swarm-xds validate`: what is wrong with stack files, and where."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import typer

from support.command import command
from support.spoil import SPOILT, spoil_cluster_by_rule, spoiling
from swarm_xds.cli import translate, validate
from swarm_xds.cli.locate import locate
from swarm_xds.pipeline import Pipeline

GOOD = """\
services:
  web:
    image: app
    deploy:
      labels:
        com.docker.lb.hosts: app.example.org
        com.docker.lb.port: "8080"
"""
BAD = """\
name: shop
services:
  web:
    image: app
    deploy:
      labels:
        com.docker.lb.hosts: app.example.org
        com.docker.lb.port: eighty
        com.docker.lb.contxt_root: /a
  api:
    image: app
    deploy:
      labels:
        - xds.hosts=api.example.org
        - xds.port=0
  db:
    image: app
    networks: [fornt]
networks:
  front: {}
"""


def write(folder: Path, name: str, text: str) -> str:
    """Write a file and return its path."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("asked", [validate.validate, translate.translate])
def test_what_breaks_a_rule_of_envoys_api_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: Callable[..., None]
) -> None:
    """And which: it would be left out, as Envoy would reject it."""
    spoilt = partial(Pipeline, translator=spoiling("clusters", spoil_cluster_by_rule))
    monkeypatch.setattr(sys.modules[asked.__module__], "Pipeline", spoilt)
    two = GOOD + GOOD.removeprefix("services:\n").replace("web:", "bad:").replace("app.example", f"{SPOILT}.example")
    with pytest.raises(typer.Exit):
        asked([Path(write(tmp_path, "stack.yml", two))])
    printed = capsys.readouterr()
    (line,) = [each for each in printed.err.splitlines() if "error:" in each]
    assert "bad" in line
    assert "duration.gt 0s" in line
    assert ("app.example.org" in printed.out, SPOILT in printed.out) == (asked is translate.translate, False)


def test_a_good_file_says_nothing(tmp_path: Path) -> None:
    """As a compiler."""
    result = command("validate", write(tmp_path, "good.yml", GOOD))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_each_error_is_said_and_the_status_is_1(tmp_path: Path) -> None:
    """With "did you mean", also for networks of the file."""
    result = command("validate", write(tmp_path, "bad.yml", BAD))
    assert result.returncode == 1
    for text in ("did you mean com.docker.lb.context_root?", '"eighty"', 'label "xds.port"="0"', "fornt"):
        assert text in result.stderr, result.stderr


def test_annotations_stand_at_the_line(tmp_path: Path) -> None:
    """In the form that GitHub's workflows read, on standard output."""
    (tmp_path / "a,b").mkdir()
    file = write(tmp_path / "a,b", "bad.yml", BAD)
    result = command("validate", "--format", "github", file)
    lines = result.stdout.splitlines()
    escaped = file.replace(",", "%2C")
    assert any(each.startswith(f"::error file={escaped},line=8,title=bad-value::") for each in lines), lines
    assert any("line=9,title=unknown-key::" in each for each in lines), lines
    assert any("line=15,title=bad-value::" in each for each in lines), lines
    assert any("line=16,title=bad-file::" in each for each in lines), lines
    assert result.returncode == 1


def test_services_of_two_files_on_one_host_are_told_and_no_error(tmp_path: Path) -> None:
    """It is how a canary is made; with --strict only warnings count, and this is none."""
    one, two = write(tmp_path, "one.yml", GOOD), write(tmp_path, "two.yml", GOOD)
    result = command("validate", "--strict", one, two)
    assert (result.returncode, "app.example.org/ is claimed by one_web too" in result.stderr) == (0, True), (
        result.stderr
    )


def test_strict_counts_warnings(tmp_path: Path) -> None:
    """For those who want none."""
    file = write(tmp_path, "twice.yml", GOOD + "        xds.port: '8080'\n")
    assert command("validate", file).returncode == 0
    assert command("validate", "--strict", file).returncode == 1


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Broken, or not there."""
    for file in (write(tmp_path, "broken.yml", "services: ["), str(tmp_path / "none.yml")):
        result = command("validate", file, "--format", "github")
        assert (result.returncode, result.stdout.startswith("::error file=")) == (1, True), result.stdout


@pytest.mark.parametrize(
    ("service", "label", "line"),
    [
        ("shop_web", "com.docker.lb.port", 8),
        ("shop_web", "", 3),
        ("shop_web", "nothing", 3),
        ("shop_api", "xds.port", 15),
        ("other", "xds.port", 1),
        ("", "", 1),
    ],
)
def test_the_line_of_a_problem(service: str, label: str, line: int) -> None:
    """Its label's, else its service's, else the first."""
    assert locate(BAD, service, label) == line


@pytest.mark.parametrize("content", ["", "services: [", "- a", "services: {a: 1, b: [x]}", "[" * 5000])
def test_no_content_breaks_the_search_for_a_line(content: str) -> None:
    """The problem is shown all the same."""
    assert locate(content, "shop_a", "x") == 1
