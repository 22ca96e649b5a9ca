"""The table of conformance is true: each rule has its tests, and they are there."""

import ast
import re

import pytest
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from conftest import ROOT
from swarm_xds.server import Limits
from swarm_xds.server.server import _options
from swarm_xds.translate import BootstrapOptions, bootstrap

TABLE = ROOT / "docs" / "conformance.md"
LINK = re.compile(r"\[(\w+)\]\(([^)]+\.py)\)")
RULES = [
    pytest.param(line, id=line.strip("| ").partition(" |")[0][:60])
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| rule |", "| --- |"))
]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_linked_to_tests_that_exist(rule: str) -> None:
    """By the name of a test or of a class of them, and its file."""
    links = LINK.findall(rule)
    assert links, "no test shows this rule"
    assert rule.count("](") == len(links)
    for name, path in links:
        module = ast.parse((TABLE.parent / path).read_text(encoding="utf-8"))
        assert name.lower().startswith("test")
        assert name in _tests(module), f"there is no {name} in {path}"


def _tests(module: ast.Module) -> set[str]:
    named = {
        each.name for each in module.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assigned = (target for each in module.body if isinstance(each, ast.Assign) for target in each.targets)
    return named | {target.id for target in assigned if isinstance(target, ast.Name)}


def test_envoy_pings_no_more_often_than_the_server_allows() -> None:
    """A server that is pinged too often says "too_many_pings" and ends the connection."""
    options = dict(_options(Limits(), certified=True))
    message = bootstrap(BootstrapOptions(node="n", fleet="f", host="h", port=1))
    (any_options,) = message.static_resources.clusters[0].typed_extension_protocol_options.values()
    http = http_protocol_options_pb2.HttpProtocolOptions.FromString(any_options.value)
    interval = http.explicit_http_config.http2_protocol_options.connection_keepalive.interval.ToMilliseconds()
    assert 0 < options["grpc.http2.min_ping_interval_without_data_ms"] < interval
    assert options["grpc.http2.max_ping_strikes"] == 0
