"""`swarm-xds networks --plan` and `swarm-xds uninstall` against an engine."""

import json
from collections.abc import Iterator

import pytest
import yaml

from support.command import command
from support.engine import FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """A swarm with the fleet on its own network, and a routed service on another."""
    with FakeEngine() as engine:
        edge = engine.add_network("swarm-xds", subnet="10.9.0.0/24")
        front = engine.add_network("shop_front", subnet="10.1.0.0/24", stack="shop")
        engine.add_service("swarm-xds_edge", labels={"swarm-xds.fleet": "default"}, networks=[edge], tasks=1)
        labels = {"com.docker.lb.hosts": "shop.example.org", "com.docker.lb.port": "8080"}
        engine.add_service("shop_web", labels=labels, networks=[front], tasks=1)
        yield engine


def test_the_plan_names_each_network_its_way_and_its_relay(engine: FakeEngine) -> None:
    """A table for people, JSON for programs; nothing is written."""
    result = command("networks", "--plan", "--docker-host", engine.url, env={"SWARM_XDS_RELAY_IMAGE": "edge:1"})
    assert result.returncode == 0, result.stderr
    assert "shop_front" in result.stdout
    assert "relay" in result.stdout
    args = ("networks", "--plan", "--docker-host", engine.url, "--format", "json")
    document = json.loads(command(*args, env={"SWARM_XDS_RELAY_IMAGE": "edge:1"}).stdout)
    assert [use["way"] for use in document["networks"]] == ["relay"]
    assert document["relays"][0]["stack"] == "shop"
    assert [(step["action"], step["network"]) for step in document["steps"]] == [("create relay", "shop_front")]
    assert not [path for path in engine.asked if "create" in path]


def test_the_plan_of_a_network_that_the_fleet_is_attached_to(engine: FakeEngine) -> None:
    """What waits says for what, and nothing is written."""
    env = {"SWARM_XDS_NETWORK_VIA": "direct"}
    args = ("networks", "--plan", "--docker-host", engine.url, "--format", "json")
    document = json.loads(command(*args, env=env).stdout)
    assert [use["way"] for use in document["networks"]] == ["direct"]
    assert [each["network_name"] for each in document["attachments"]] == ["shop_front"]
    (step,) = document["steps"]
    assert (step["action"], step["name"], step["network"]) == ("update fleet", "swarm-xds_edge", "shop_front")
    assert "one update is enough for all" in step["waits_for"]
    assert not engine.written


def test_the_plan_names_readers_of_secrets(engine: FakeEngine) -> None:
    """Also where this machine has no certificate of a control plane; no content of a secret is known."""
    for name, labels in (
        ("shop_site.pem", {"com.docker.stack.namespace": "shop"}),
        *((f"swarm-xds-{what}.v1", {"swarm-xds.pki": "fp"}) for what in ("ca", "relay.crt", "relay.key")),
    ):
        engine.write_secret({"Name": name, "Labels": labels, "Data": "c2VjcmV0"})
    engine.written.clear()
    network = engine.add_network("shop_own", stack="shop")
    labels = {"xds.hosts": "tls.example.org", "xds.port": "80", "xds.ssl_cert": "site.pem"}
    labels["com.docker.stack.namespace"] = "shop"
    engine.add_service("shop_tls", labels=labels, networks=[network], tasks=1)
    args, env = ("networks", "--plan", "--docker-host", engine.url), {"SWARM_XDS_RELAY_IMAGE": "edge:1"}
    result = command(*args, env=env)
    assert "reader" in result.stdout
    for style in ("json", "yaml"):
        printed = command(*args, "--format", style, env=env).stdout
        (reader,) = [each for each in yaml.safe_load(printed)["relays"] if each["secrets"]]
        assert [secret["name"] for secret in reader["secrets"]] == ["shop_site.pem"]
        assert len(reader["identity"]) == 3
    assert not engine.written


def test_uninstall_says_what_it_found(engine: FakeEngine) -> None:
    """Without a relay there is nothing to remove, and services of others are left alone."""
    result = command("uninstall", "--docker-host", engine.url)
    assert (result.returncode, result.stdout) == (0, "nothing to remove\n")


def test_no_manager_is_status_1_with_the_reason() -> None:
    """Not a stack trace."""
    result = command("uninstall", "--docker-host", "unix:///nonexistent.sock")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
