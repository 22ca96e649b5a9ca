"""Labels in; model, Envoy's resources and problems out. ``pytest --update-golden`` rewrites the outputs."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import golden


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_case_comes_to_its_outputs(case: Path, request: pytest.FixtureRequest) -> None:
    """Each case's outputs are what its folder holds, byte for byte, and it holds nothing else."""
    got = golden.outputs(case)
    assert tuple(got) == golden.OUTPUTS
    given = golden.inputs(case)
    assert all(path.read_text(encoding="utf-8").startswith("# ") for path in given), "say what the case shows"
    if request.config.getoption("--update-golden"):
        _write(case, got)
        for path in set(case.iterdir()).difference(given, (case / name for name in got)):
            path.unlink()
    assert {path.name for path in case.iterdir()} == {path.name for path in given} | set(got)
    for name, content in got.items():
        assert content == (case / name).read_text(encoding="utf-8")


def test_what_all_resources_have_in_common(request: pytest.FixtureRequest) -> None:
    """The listener, and the parts that the cases leave out because each of them has them."""
    if request.config.getoption("--update-golden"):
        _write(golden.CASES, {golden.COMMON.name: golden.common()})
    assert golden.common() == golden.COMMON.read_text(encoding="utf-8")


def _write(folder: Path, contents: Mapping[str, str]) -> None:
    assert os.environ.get("CI") != "true", "golden files are not written by CI"
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
