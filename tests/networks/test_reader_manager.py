"""The network manager and readers of secrets over a fake engine: what a removal does not know of holds no secret."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.engine import FakeEngine
from swarm_xds.labels import parse
from swarm_xds.networks.plan import Configure, NetworkOptions, plan_networks
from swarm_xds.networks.wanted import NetworkPlan
from swarm_xds.swarm import SwarmState
from swarm_xds.translate import reader_configuration, relay_configuration

from .conftest import World, eventually

STACK = "com.docker.stack.namespace"
LABELS = {
    "com.docker.lb.hosts": "a.example.org",
    "com.docker.lb.port": "80",
    "com.docker.lb.network": "edge",
    "com.docker.lb.ssl_cert": "site.crt",
    "com.docker.lb.ssl_key": "site.key",
    STACK: "shop",
}


class ReadWorld(World):
    """A swarm with a fleet, our own certificates, and a stack whose service names secrets."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine)
        engine.remove_service(self.web)
        engine.remove_network(self.front)
        engine.add_service("edge", labels={"swarm-xds.fleet": ""}, networks=[self.edge], image="edge:1")
        for what in ("ca", "relay.crt", "relay.key"):
            self.add_secret(f"swarm-xds-{what}.v1", {"swarm-xds.pki": "fp"})
        self.plan = self._planned
        self.deploy()

    def add_secret(self, name: str, labels: dict[str, str]) -> None:
        """Create a secret."""
        data = base64.b64encode(b"nobody reads this").decode()
        assert self.engine.write_secret({"Name": name, "Labels": labels, "Data": data})[0] == 201

    def deploy(self) -> None:
        """Do what ``docker stack deploy`` does."""
        for name in ("shop_site.crt", "shop_site.key"):
            self.add_secret(name, {STACK: "shop"})
        self.web = self.engine.add_service("shop_web", labels=LABELS, networks=[self.edge], tasks=1)

    def _planned(self, state: SwarmState) -> NetworkPlan:
        pairs = [(each, parse(each)[0]) for each in state.services]
        configure = Configure(
            relay=lambda fleet, net: relay_configuration(fleet, net, 500), reader=reader_configuration
        )
        return plan_networks(state, pairs, "default", NetworkOptions(), configure)[0]

    def reader(self) -> dict[str, Any]:
        """Return the reader's specification; empty while there is none."""
        return next((raw["Spec"] for raw in self.engine.specs("service")), {})

    def handed(self) -> list[str]:
        """Return the names of the secrets that the reader mounts."""
        container = self.reader().get("TaskTemplate", {}).get("ContainerSpec", {})
        return [each["SecretName"] for each in container.get("Secrets") or ()]


OWN = ["swarm-xds-ca.v1", "swarm-xds-relay.crt.v1", "swarm-xds-relay.key.v1"]


@pytest.fixture
async def read_world() -> AsyncIterator[ReadWorld]:
    """A swarm of which nobody keeps the readers yet."""
    with FakeEngine() as engine:
        made = ReadWorld(engine)
        yield made
        await made.stop()


async def test_a_reader_is_begun_without_secrets_and_then_has_them(read_world: ReadWorld) -> None:
    """In its stack; and a new version is added to the old one, by an update."""
    read_world.start(settle=30.0)
    await eventually(lambda: bool(read_world.reader()))
    assert read_world.handed() == []
    assert read_world.configs() == []
    await read_world.stop()
    read_world.start()
    await eventually(lambda: read_world.handed() == [*OWN, "shop_site.crt", "shop_site.key"])
    assert read_world.reader()["Labels"][STACK] == "shop"
    (config,) = read_world.engine.specs("config")
    assert b"nobody reads this" not in base64.b64decode(config["Spec"]["Data"])
    read_world.add_secret("shop_site.crt.v2", {STACK: "shop"})
    await eventually(lambda: "shop_site.crt.v2" in read_world.handed())
    assert len(read_world.engine.specs("service")) == 1


async def test_a_label_that_names_no_secret_any_more(read_world: ReadWorld) -> None:
    """The reader goes, and so the secret can be removed."""
    read_world.start()
    await eventually(lambda: len(read_world.handed()) == 5)
    read_world.engine.update_service(read_world.web, labels={k: v for k, v in LABELS.items() if "ssl" not in k})
    await eventually(read_world.bare)


async def test_the_stack_is_removed_at_the_first_try(read_world: ReadWorld) -> None:
    """With its secrets, while a manager and its source follow."""
    read_world.start(linger=30.0, recreate_after=30.0, resync=0.02)
    for _ in range(3):
        await eventually(lambda: len(read_world.handed()) == 5)
        for said in read_world.engine.remove_stack("shop"):
            assert said == ""
            await read_world.seen()
        assert read_world.bare()
        assert read_world.engine.secret_names() == OWN
        read_world.deploy()


async def test_a_removal_that_does_not_know_of_the_reader(read_world: ReadWorld) -> None:
    """What was listed before the reader was begun is removed all the same."""
    removal = read_world.engine.remove_stack("shop")
    read_world.start(settle=30.0, resync=0.02)
    await eventually(lambda: bool(read_world.reader()))
    assert list(removal) == [""] * 3
    await eventually(read_world.bare)


@pytest.mark.parametrize("after", range(1, 5))
async def test_stopped_between_two_writes(read_world: ReadWorld, after: int) -> None:
    """Whoever goes on gets to the same, after any write."""
    read_world.engine.stop_writes(after=after)
    manager = read_world.start()
    await eventually(read_world.engine.writes_stopped.is_set, lambda: _idle(manager))
    await read_world.stop()
    read_world.engine.mend()
    read_world.start()
    await eventually(lambda: len(read_world.handed()) == 5 and len(read_world.configs()) == 1)


def _idle(manager: Any) -> bool:
    return manager.latest is not None and not manager.latest.steps and not manager.latest.later


async def test_uninstall_takes_readers_too(read_world: ReadWorld) -> None:
    """Before our own certificates, which nothing holds then."""
    manager = read_world.start(linger=60.0)
    await eventually(lambda: len(read_world.handed()) == 5)
    await read_world.stop()
    done = await manager.uninstall()
    assert done.failed == ()
    assert read_world.bare()
