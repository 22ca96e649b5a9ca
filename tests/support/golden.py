"""Golden cases: a folder each, with stack files (``*.yml``, as a user writes them) or ``state.yaml`` (a swarm's state).

The outputs stand beside it: ``model.yaml``, ``envoy.yaml`` and ``problems.txt``. What every host, cluster and route
configuration has in common is left out of ``envoy.yaml``: ``common.yaml`` has it once, and so are fields of the model
that have their default, so that a case shows what its labels do and nothing else.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from swarm_xds.cli.output import plain
from swarm_xds.memo import Memo
from swarm_xds.model import Backend, EdgeOptions, Endpoint, Fleet, VirtualHost
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Problem
from swarm_xds.sources.compose.files import read, together
from swarm_xds.swarm import SwarmState
from swarm_xds.translate import FleetMessages, translate
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.route import virtual_host

CASES = Path(__file__).parent.parent / "golden"
COMMON = CASES / "common.yaml"
OUTPUTS = ("model.yaml", "envoy.yaml", "problems.txt")
OPTIONS = EdgeOptions()
_STATE = TypeAdapter(SwarmState)


def cases() -> list[Path]:
    """Return the folder of each case."""
    return sorted(path for path in CASES.iterdir() if path.is_dir())


def inputs(case: Path) -> list[Path]:
    """Return a case's input: stack files, or one state of a swarm."""
    return sorted(case.glob("*.yml")) or [case / "state.yaml"]


def state(case: Path) -> tuple[SwarmState, tuple[Problem, ...]]:
    """Return what a case's input means."""
    first, *others = inputs(case)
    if first.suffix == ".yaml":
        assert not others
        return _STATE.validate_python(yaml.safe_load(first.read_text(encoding="utf-8"))), ()
    return together(read(Path(path.name), path.read_bytes(), {}) for path in (first, *others))


def build(case: Path) -> Build:
    """Return what the pipeline makes of a case."""
    given, problems = state(case)
    return Pipeline(OPTIONS, "default").build(given, problems)


def messages(case: Path) -> list[FleetMessages]:
    """Return what each fleet of a case is to have."""
    return [translate(fleet, OPTIONS, Memo()) for fleet in build(case).model.fleets]


def outputs(case: Path) -> dict[str, str]:
    """Return the content of each output file of a case."""
    made = build(case)
    envoy = {fleet.name: _resources(translate(fleet, OPTIONS, Memo())) for fleet in made.model.fleets}
    return {
        "model.yaml": _yaml([_plain(fleet) for fleet in made.model.fleets]),
        "envoy.yaml": _yaml(envoy),
        "problems.txt": "".join(f"{problem}\n" for problem in made.problems),
    }


def common() -> str:
    """Return what every fleet's resources have in common: the content of ``common.yaml``."""
    empty = translate(Fleet(name="default"), OPTIONS, Memo())
    return _yaml(
        {
            "listener": plain(empty.listeners[0]),
            "route_configuration": plain(empty.routes[0]),
            "virtual_host": plain(_HOST),
            "cluster": plain(_CLUSTER),
            "cluster_by_name": _less(plain(_CLUSTER_BY_NAME), plain(_CLUSTER)),
        }
    )


_HOST = virtual_host(VirtualHost(host="", routes=()))
_CLUSTER = cluster(Backend(name="", service=""), OPTIONS)
_NAMED = Backend(name="", service="", endpoints=(Endpoint("app.internal", 80),), by_name=True)
_CLUSTER_BY_NAME = cluster(_NAMED, OPTIONS)


def _resources(messages: FleetMessages) -> dict[str, Any]:
    (configuration,) = messages.routes
    hosts = [_less(plain(host), plain(_HOST)) for host in configuration.virtual_hosts]
    unknown = {"name": "*", "domains": ["*"], "routes": [_UNKNOWN]}
    return {
        "hosts": {host.pop("name"): host for host in hosts if host != unknown},
        "clusters": {each.name: _less(plain(each), _like(plain(each))) for each in messages.clusters},
        "endpoints": {each.cluster_name: _endpoints(plain(each)) for each in messages.endpoints},
    }


_UNKNOWN = {"match": {"prefix": "/"}, "direct_response": {"status": OPTIONS.unknown_host_status}}


def _like(cluster_: dict[str, Any]) -> dict[str, Any]:
    """Return the common form of a cluster's kind."""
    kinds = [plain(_CLUSTER), plain(_CLUSTER_BY_NAME)]
    kind = next(each for each in kinds if each.get("cluster_type") == cluster_.get("cluster_type"))
    return {**kind, "name": cluster_["name"]}


def _endpoints(assignment: dict[str, Any]) -> list[Any]:
    return [each for locality in assignment.get("endpoints", []) for each in locality["lb_endpoints"]]


def _less(document: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """Return what a document has beside what it has in common."""
    return {key: value for key, value in document.items() if common.get(key) != value}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        shown = {each.name: (getattr(value, each.name), _default(each)) for each in fields(value)}
        return {name: _plain(given) for name, (given, default) in shown.items() if given != default}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _default(field: "Field[Any]") -> Any:
    return field.default if field.default is not MISSING else object()


class _Dumper(yaml.SafeDumper):
    """Writes what is the same in two places twice: an anchor would hide it from a reader."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class has it
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
