"""A relay as the engine is to run it, and as it reads back."""

import re
from dataclasses import replace
from typing import Any

import pytest

from swarm_xds.networks import specification
from swarm_xds.networks.observed import UnreadableError, observed

from .conftest import SPEC


def test_service() -> None:
    """The whole of it."""
    assert specification.service(replace(SPEC, constraints=("node.role==worker",)), "c1") == {
        "name": SPEC.name,
        "labels": {
            "com.docker.stack.namespace": "shop",
            "swarm-xds.relay": "n1",
            "swarm-xds.relay.fleet": "edge",
            "swarm-xds.relay.fingerprint": replace(SPEC, constraints=("node.role==worker",)).fingerprint,
        },
        "task_template": {
            "ContainerSpec": {
                "Image": "envoy:1",
                "Command": [
                    "envoy",
                    "--config-path",
                    "/etc/envoy/relay.yaml",
                    "--disable-hot-restart",
                    "--log-level",
                    "warning",
                ],
                "Init": False,
                "StopGracePeriod": 5_000_000_000,
                "Healthcheck": {"Test": ["NONE"]},
                "CapabilityDrop": ["ALL"],
                "ReadOnly": True,
                "Mounts": [{"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": 8_388_608}}],  # noqa: S108
                "Configs": [
                    {
                        "ConfigID": "c1",
                        "ConfigName": SPEC.config_name,
                        "File": {"Name": "/etc/envoy/relay.yaml", "UID": "0", "GID": "0", "Mode": 0o444},
                    }
                ],
            },
            "Resources": {"Limits": {"MemoryBytes": 2**27}},
            "RestartPolicy": {"Condition": "any", "Delay": 1_000_000_000},
            "Placement": {
                "Constraints": ["node.role==worker"],
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.id"}}],
            },
            "Networks": [{"Target": "n1"}, {"Target": "n9"}],
        },
        "mode": {"Replicated": {"Replicas": 2}},
        "update_config": {"Parallelism": 1, "Order": "start-first", "FailureAction": "pause"},
        "endpoint_spec": {"Mode": "dnsrr"},
    }


def test_seed() -> None:
    """A relay that is just begun holds on to nothing of its stack: no network, no config, no task."""
    begun, made = specification.seed(SPEC), specification.service(SPEC, "c1")
    assert begun["task_template"]["Networks"] == [{"Target": "n9"}]
    assert "Configs" not in begun["task_template"]["ContainerSpec"]
    assert begun["mode"] == {"Replicated": {"Replicas": 0}}
    assert made["labels"] == begun["labels"] | {"swarm-xds.relay.fingerprint": SPEC.fingerprint}
    assert begun["name"] == made["name"]


def test_no_stack() -> None:
    """A network of no stack has a relay of no stack."""
    assert "com.docker.stack.namespace" not in specification.service(replace(SPEC, stack=""), "c1")["labels"]


@pytest.mark.parametrize("stack", ["my.stack", "My Stack", "-shop", "żółw", "a" * 40, "shop_", "x/y"])
def test_stack_whose_name_is_no_part_of_a_service_name(stack: str) -> None:
    """Networks and secrets may carry any label; the engine would refuse a service named like that."""
    spec = replace(SPEC, stack=stack)
    assert re.fullmatch(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*", spec.name)
    assert len(spec.name) <= 63
    assert specification.service(spec, "c1")["labels"]["com.docker.stack.namespace"] == stack


def listed(**more: Any) -> dict[str, Any]:
    """Return a relay as the engine lists it."""
    body = specification.service(SPEC, "c1")
    spec = {"Name": body["name"], "Labels": body["labels"], "TaskTemplate": body["task_template"]}
    return {"ID": "s1", "Version": {"Index": 3}, "Spec": spec} | more


@pytest.mark.parametrize(
    ("state", "config_ids"),
    [
        pytest.param(None, ("c1",), id="never updated"),
        pytest.param("completed", ("c1",), id="updated"),
        pytest.param("updating", ("c0", "c1"), id="old tasks still run"),
        pytest.param("paused", ("c0", "c1"), id="the update failed"),
    ],
)
def test_what_is_written_reads_back(state: str | None, config_ids: tuple[str, ...]) -> None:
    """A relay is known by its labels; the configs of tasks that still run are in use."""
    previous = {"TaskTemplate": {"ContainerSpec": {"Configs": [{"ConfigID": "c0"}]}}}
    (relay,) = observed([listed(UpdateStatus=state and {"State": state}, PreviousSpec=previous)], []).relays
    assert (relay.id, relay.version, relay.fleet, relay.network_id, relay.stack) == ("s1", 3, "edge", "n1", "shop")
    assert (relay.fingerprint, relay.network_ids) == (SPEC.fingerprint, specification.network_ids(SPEC))
    assert relay.config_ids == config_ids


@pytest.mark.parametrize("raw", [None, {}, {"ID": "x", "Spec": None}, {"ID": "x", "Spec": {"Labels": {}}}])
def test_what_cannot_be_read(raw: Any) -> None:
    """Half a view would have relays made anew or removed: it is an error."""
    with pytest.raises(UnreadableError):
        observed([raw], [])
    with pytest.raises(UnreadableError):
        observed([], [raw])
