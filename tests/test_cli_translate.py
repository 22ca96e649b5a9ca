"""`swarm-xds translate` on every golden case's stack files: what it prints, and its exit status."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from support import golden
from swarm_xds.cli.main import application
from swarm_xds.problem import Severity

STACKS = [case for case in golden.cases() if all(path.suffix == ".yml" for path in golden.inputs(case))]


@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_it_prints_resources_and_problems_of_any_stack(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resources on standard output whatever is wrong, each problem on standard error, and 1 if one is an error."""
    monkeypatch.chdir(case)
    result = CliRunner().invoke(application("translate"), ["translate", *(path.name for path in golden.inputs(case))])
    build = golden.build(case)
    assert result.exit_code == any(problem.severity is Severity.ERROR for problem in build.problems)
    assert result.stderr == (case / "problems.txt").read_text(encoding="utf-8")
    printed = yaml.load(result.stdout, yaml.CSafeLoader)
    default = next(fleet for fleet in build.model.fleets if fleet.name == "default")
    assert [each["name"] for each in printed["clusters"]] == [backend.name for backend in default.backends]
    hosts = [host["name"] for host in printed["routes"][0]["virtual_hosts"]]
    assert [host for host in hosts if host != "*"] == [each.host for each in default.virtual_hosts if each.host != "*"]


def test_another_fleet_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--fleet` names it; without, the default fleet's are printed."""
    case = golden.CASES / "key-service-cluster"
    monkeypatch.chdir(case)
    (fleet,) = [fleet for fleet in golden.build(case).model.fleets if fleet.name != "default"]
    result = CliRunner().invoke(application("translate"), ["translate", "stack.yml", "--fleet", fleet.name])
    assert [each["name"] for each in yaml.safe_load(result.stdout)["clusters"]] == [
        backend.name for backend in fleet.backends
    ]
