"""Golden cases: a folder each, with ``stack.yml`` (as a user writes it) or ``state.yaml`` (a swarm's state) as input.

The outputs stand beside it: ``model.yaml``, ``envoy.yaml`` and ``problems.txt``.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from swarm_xds.cli.output import plain
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Problem
from swarm_xds.sources.compose.files import read, together
from swarm_xds.swarm import SwarmState
from swarm_xds.translate import translate

CASES = Path(__file__).parent.parent / "golden"
OPTIONS = EdgeOptions()
_STATE = TypeAdapter(SwarmState)


def cases() -> list[Path]:
    """Return the folder of each case."""
    return sorted(path for path in CASES.iterdir() if path.is_dir())


def state(case: Path) -> tuple[SwarmState, tuple[Problem, ...]]:
    """Return a case's input."""
    if (case / "state.yaml").exists():
        return _STATE.validate_python(yaml.safe_load((case / "state.yaml").read_text(encoding="utf-8"))), ()
    names = sorted(path for path in case.glob("*.yml"))
    return together(read(Path(path.name), path.read_bytes(), {}) for path in names)


def build(case: Path) -> Build:
    """Return what the pipeline makes of a case."""
    given, problems = state(case)
    return Pipeline(OPTIONS, "default").build(given, problems)


def outputs(case: Path) -> dict[str, str]:
    """Return the content of each output file of a case."""
    made = build(case)
    envoy = {fleet.name: _resources(translate(fleet, OPTIONS, Memo())) for fleet in made.model.fleets}
    return {
        "model.yaml": _yaml(_plain(asdict(made.model))),
        "envoy.yaml": _yaml(envoy),
        "problems.txt": "".join(f"{problem}\n" for problem in made.problems),
    }


def _resources(messages: Any) -> dict[str, Any]:
    # The listener is the same in each case: tests/translate has it.
    kinds = ("routes", "clusters", "endpoints")
    return {kind: [plain(message) for message in getattr(messages, kind)] for kind in kinds}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes what is the same in two places twice: an anchor would hide it from a reader."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
