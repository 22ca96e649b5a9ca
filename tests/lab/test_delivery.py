"""What is shipped beside the package: the entrypoint, the bootstrap template, the stack files."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf.json_format import ParseDict

from swarm_xds.translate import BootstrapOptions
from swarm_xds.translate import bootstrap as generated

ROOT = Path(__file__).parent.parent.parent
ENVOY = ROOT / "envoy"
SHELLS = [("sh",), ("busybox", "sh"), ("bash", "--posix")]


def enter(folder: Path, shell: tuple[str, ...] = ("sh",), **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint with an `envoy` that prints its arguments."""
    stub = folder / "envoy"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [*shell, str(ENVOY / "entrypoint.sh"), "--concurrency", "2"],
        env={"PATH": path, "TMPDIR": str(folder), "BOOTSTRAP": str(ENVOY / "bootstrap.yaml"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", [pytest.param(shell, id=shell[0]) for shell in SHELLS])
def test_the_template_is_what_the_command_prints(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """The filled-in template and the generated bootstrap are one message, in any shell."""
    environ = {
        "XDS_HOST": "control-plane",
        "XDS_PORT": "18001",
        "FLEET": "internal",
        "NODE_ID": "edge-node1",
        "ADMIN_PORT": "9902",
        "HEAP_BYTES": "2147483648",
        "MAX_CONNECTIONS": "1000",
    }
    done = enter(tmp_path, shell, **environ)
    assert done.returncode == 0, done.stderr
    filled = yaml.safe_load((tmp_path / "envoy-bootstrap.yaml").read_text())
    options = BootstrapOptions(
        node="edge-node1",
        fleet="internal",
        host="control-plane",
        port=18001,
        admin_port=9902,
        max_heap=2_147_483_648,
        max_connections=1000,
    )
    assert ParseDict(filled, bootstrap_pb2.Bootstrap()) == generated(options)


def test_envoy_gets_its_options(tmp_path: Path) -> None:
    """Drain time and log level come from the environment, further arguments are passed on."""
    done = enter(tmp_path, XDS_HOST="control-plane", DRAIN_SECONDS="45", LOG_LEVEL="warning")
    arguments = done.stdout.split()
    assert arguments[arguments.index("--config-path") + 1] == str(tmp_path / "envoy-bootstrap.yaml")
    assert arguments[arguments.index("--drain-time-s") + 1] == "45"
    assert arguments[arguments.index("--log-level") + 1] == "warning"
    assert arguments[-2:] == ["--concurrency", "2"]


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        pytest.param({}, "XDS_HOST is not set", id="nothing set"),
        pytest.param({"XDS_HOST": 'a" #'}, 'XDS_HOST="a" #": only letters', id="a value that ends the quotes"),
        pytest.param({"XDS_HOST": "a\nb: c"}, "only letters", id="a value of two lines"),
        pytest.param({"XDS_HOST": "a", "XDS_PORT": "70000"}, "XDS_PORT=70000: the highest", id="port too high"),
        pytest.param({"XDS_HOST": "a", "XDS_PORT": "http"}, 'XDS_PORT="http": not a whole number', id="port a name"),
        pytest.param({"XDS_HOST": "a", "HEAP_BYTES": "1G"}, 'HEAP_BYTES="1G": not a whole number', id="a unit"),
        pytest.param({"XDS_HOST": "a", "LOG_LEVEL": "loud"}, 'LOG_LEVEL="loud": not one of trace', id="log level"),
        pytest.param({"XDS_HOST": "a", "BOOTSTRAP": "/none"}, 'BOOTSTRAP="/none": no such file', id="no template"),
    ],
)
def test_a_bad_environment_is_told_at_once(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    """Envoy is not started, and the message names the variable, its value and the reason."""
    done = enter(tmp_path, **environ)
    assert done.returncode == 64
    assert message in done.stderr
    assert not done.stdout


@pytest.mark.envoy
def test_envoy_takes_the_template(tmp_path: Path, envoy_binary: Path) -> None:
    """The real Envoy finds nothing to object to."""
    enter(tmp_path, XDS_HOST="control-plane")
    config = str(tmp_path / "envoy-bootstrap.yaml")
    done = subprocess.run(
        [str(envoy_binary), "--mode", "validate", "--config-path", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_stack_marks_its_fleet_and_needs_no_virtual_address() -> None:
    """The control plane finds the proxies by their label; their names resolve to tasks' own addresses."""
    stack = yaml.safe_load((ROOT / "deploy" / "stack.yml").read_text())
    edge, control_plane = stack["services"]["edge"], stack["services"]["control-plane"]
    assert edge["deploy"]["labels"] == {"swarm-xds.fleet": "default"}
    assert edge["environment"]["XDS_HOST"] in stack["services"]
    assert {each["deploy"]["endpoint_mode"] for each in (edge, control_plane)} == {"dnsrr"}
    assert [(port["target"], port["mode"]) for port in edge["ports"]] == [(80, "host"), (443, "host")]
    assert set(control_plane["networks"]) == {"control"}


def test_the_example_has_interlocks_three_labels() -> None:
    """The example is what Interlock's users have, label by label."""
    example = yaml.safe_load((ROOT / "deploy" / "example.yml").read_text())
    labels = example["services"]["app"]["deploy"]["labels"]
    assert json.loads(json.dumps(labels)) == {
        "com.docker.lb.hosts": "app.example.org",
        "com.docker.lb.port": "8080",
        "com.docker.lb.network": "swarm-xds",
    }


def test_an_edge_has_the_time_that_its_end_may_take() -> None:
    """The swarm kills what has not ended when the grace period is over."""
    stack = yaml.safe_load((ROOT / "deploy" / "stack.yml").read_text())
    defaults = dict(
        re.findall(r"\{(PREDRAIN_SECONDS|DRAIN_LIMIT_SECONDS):=(\d+)\}", (ENVOY / "entrypoint.sh").read_text())
    )
    grace = int(stack["services"]["edge"]["stop_grace_period"].removesuffix("s"))
    assert len(defaults) == 2
    assert grace >= sum(map(int, defaults.values())) + 5


def test_the_fleets_network_belongs_to_no_stack() -> None:
    """The swarm refuses to remove a network that others' services are on."""
    stack = yaml.safe_load((ROOT / "deploy" / "stack.yml").read_text())
    assert stack["networks"]["fleet"] == {"name": "swarm-xds", "external": True}
