"""Labels in; model, Envoy's resources and problems out. ``pytest --update-golden`` rewrites the outputs."""

import os
from pathlib import Path

import pytest
from support import golden

OUTPUTS = ("model.yaml", "envoy.yaml", "problems.txt")


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_case_comes_to_its_outputs(case: Path, request: pytest.FixtureRequest) -> None:
    """Each case's outputs are what its folder holds, byte for byte."""
    got = golden.outputs(case)
    if request.config.getoption("--update-golden"):
        assert os.environ.get("CI") != "true", "golden files are not written by CI"
        for name, content in got.items():
            (case / name).write_text(content, encoding="utf-8")
    assert set(got) == set(OUTPUTS)
    for name in OUTPUTS:
        assert got[name] == (case / name).read_text(encoding="utf-8")
    assert len({"stack.yml", "state.yaml"} & {path.name for path in case.iterdir()}) == 1
