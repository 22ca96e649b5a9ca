"""The dashboard and the alerts of `deploy/monitoring` speak of metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.promtool import promtool
from swarm_xds.metrics import TABLE
from swarm_xds.metrics.table import Form

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
#: By the name of each series: the labels that it has.
SERIES = {
    f"{metric.full_name}{ending}": {*metric.labels, *(["le"] if ending == "_bucket" else [])}
    for metric in TABLE
    for ending in (("_bucket", "_sum", "_count") if metric.form is Form.HISTOGRAM else ("",))
}
_SERIES = re.compile(r"(swarm_xds_\w+)(?:\{([^}]*)\})?")
_GROUPS = re.compile(r"(?:by|ignoring|on|without) \(([^)]*)\)")


def rules() -> list[dict[str, Any]]:
    """Return all alerts."""
    document = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return all panels."""
    found: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[Any]:
    """Return each expression with the labels that its legend or text uses."""
    for rule in rules():
        text = " ".join(rule["annotations"].values())
        yield pytest.param(rule["expr"], re.findall(r"\$labels\.(\w+)", text), id=rule["alert"])
    for panel in panels():
        for target in panel["targets"]:
            used = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            yield pytest.param(target["expr"], used, id=f"{panel['title']} {target['refId']}")


@pytest.mark.parametrize(("expression", "used"), list(expressions()))
def test_each_expression_is_about_series_that_are_exposed(expression: str, used: list[str]) -> None:
    """Also its labels: one that no series has selects nothing, and nobody sees it."""
    series = _SERIES.findall(expression)
    assert series
    labels: set[str] = set()
    for name, selector in series:
        assert name in SERIES, name
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= SERIES[name], name
        labels |= SERIES[name]
    groups = {label.strip() for group in _GROUPS.findall(expression) for label in group.split(",")}
    assert groups <= labels
    assert set(used) <= (groups & labels if " by (" in expression else labels)


def test_every_metric_is_on_the_dashboard_or_known_not_to_be() -> None:
    """A metric that nobody looks at is forgotten."""
    shown = {name for panel in panels() for target in panel["targets"] for name, _ in _SERIES.findall(target["expr"])}
    shown = {name.removesuffix("_bucket") for name in shown}
    left_out = {"info", "readings", "resources", "streams", "responses_accepted"}
    assert {metric.full_name for metric in TABLE if metric.name not in left_out} == shown


def test_no_two_panels_overlap() -> None:
    """Each cell of the grid has one owner."""
    cells: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= own


def test_the_alerts_fire_when_they_should() -> None:
    """As `alerts-test.yml` has it: all of them, and none when all is well."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml", cwd=FOLDER)
    promtool("test", "rules", "alerts-test.yml", cwd=FOLDER)
    tried = (FOLDER / "alerts-test.yml").read_text(encoding="utf-8")
    assert all(f'alertname="{rule["alert"]}"' in tried for rule in rules())
