"""The API's definition, and the code that is generated from it."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFINITION = ROOT / "protos" / "swarm_xds" / "debug" / "v1" / "debug.proto"
GENERATED = ("debug_pb2.py", "debug_pb2.pyi", "debug_pb2_grpc.py")


@pytest.mark.parametrize("name", GENERATED)
def test_the_generated_code_is_that_of_the_definition(tmp_path: Path, name: str) -> None:
    """`make protos` writes it."""
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    arguments = ["-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}", *outputs, str(DEFINITION)]
    subprocess.run([sys.executable, *arguments], check=True, timeout=60)
    fresh = tmp_path / "swarm_xds" / "debug" / "v1" / name
    there = ROOT / "xds" / "swarm_xds" / "debug" / "v1" / name
    assert there.read_text(encoding="utf-8") == fresh.read_text(encoding="utf-8"), "run `make protos`"


def test_every_message_and_method_says_what_it_is() -> None:
    """And every field that its name does not explain: a comment stands before it or before a run of such fields."""
    lines = DEFINITION.read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        declares = line.strip().startswith(("message ", "enum ", "rpc ", "service "))
        plumbing = line.startswith("message ") and line.split()[1].endswith(("Request", "Response"))
        if declares and not plumbing:
            assert before.strip().startswith("//"), line


def test_no_line_is_longer_than_those_of_the_code() -> None:
    """No linter looks at the definition."""
    assert [line for line in DEFINITION.read_text(encoding="utf-8").splitlines() if len(line) > 120] == []
