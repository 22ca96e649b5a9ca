"""The PKI as Docker secrets: versions, and what is removed."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from support.engine import FakeEngine
from swarm_xds.pki import issue, secrets
from swarm_xds.pki.store import Store
from swarm_xds.sources.docker import Endpoint, EngineError
from swarm_xds.sources.docker.api import Engine

STACK = Path(__file__).parent.parent.parent / "deploy" / "tls.yml"
FILES = {"ca.crt": b"authority", "relay.crt": b"certificate", "relay.key": b"key"}
NAMES = ["swarm-xds-ca", "swarm-xds-relay.crt", "swarm-xds-relay.key"]


@pytest.fixture
def swarm() -> Iterator[FakeEngine]:
    """A swarm with a secret of somebody else's."""
    with FakeEngine() as swarm:
        swarm.write_secret({"Name": "swarm-xds-other.v7", "Data": "", "Labels": {}})
        swarm.write_secret({"Name": "site.key", "Data": "", "Labels": None})
        yield swarm


@pytest.fixture
async def engine(swarm: FakeEngine) -> AsyncIterator[Engine]:
    """A connection to it."""
    engine = await Engine.connect(Endpoint(url=swarm.url))
    yield engine
    engine.close()


def ours(swarm: FakeEngine) -> list[str]:
    """Return the names of our secrets."""
    return [name for name in swarm.secret_names() if name not in {"swarm-xds-other.v7", "site.key"}]


async def test_a_set_is_published_once(swarm: FakeEngine, engine: Engine) -> None:
    """The same again does nothing; a changed one is a new version, of all files."""
    first = await secrets.publish(engine, FILES)
    assert first == secrets.Published(version=1, made=tuple(f"{name}.v1" for name in NAMES))
    assert swarm.secret("swarm-xds-relay.key.v1") == b"key"
    assert await secrets.publish(engine, FILES) == secrets.Published(version=1)
    second = await secrets.publish(engine, FILES | {"relay.crt": b"new", "relay.key": b"other"})
    assert second == secrets.Published(version=2, made=tuple(f"{name}.v2" for name in NAMES))
    assert swarm.secret("swarm-xds-ca.v2") == b"authority"


async def test_what_was_broken_off_is_completed(swarm: FakeEngine, engine: Engine) -> None:
    """Under the same version, also if an answer was lost."""
    for lost in (False, True):
        swarm.stop_writes(after=1, lose_answer=lost)
        with pytest.raises(EngineError):
            await secrets.publish(engine, FILES)
        swarm.mend()
    assert (await secrets.publish(engine, FILES)).version == 1
    assert ours(swarm) == [f"{name}.v1" for name in NAMES]


async def test_old_versions_go_when_nobody_uses_them(swarm: FakeEngine, engine: Engine) -> None:
    """The one before stays, since it runs until the stack is deployed."""
    service = swarm.add_service("edge", labels={}, networks=[])
    for content in (b"1", b"2"):
        await secrets.publish(engine, FILES | {"ca.crt": content})
    swarm.use_secret("swarm-xds-ca.v1", service)
    third = await secrets.publish(engine, FILES | {"ca.crt": b"3"})
    assert third.removed == ("swarm-xds-relay.crt.v1", "swarm-xds-relay.key.v1")
    assert len(ours(swarm)) == 1 + 3 + 3


async def test_uninstall_removes_all_of_ours(swarm: FakeEngine, engine: Engine) -> None:
    """And tells of those in use."""
    service = swarm.add_service("edge", labels={}, networks=[])
    await secrets.publish(engine, FILES)
    swarm.use_secret("swarm-xds-ca.v1", service)
    removed, in_use = await secrets.remove(engine)
    assert removed == ["swarm-xds-relay.crt.v1", "swarm-xds-relay.key.v1"]
    assert [name for name, _ in in_use] == ["swarm-xds-ca.v1"]
    assert "in use by the following service: edge" in in_use[0][1]
    assert "site.key" in swarm.secret_names()


async def test_a_name_that_somebody_else_has_is_told(swarm: FakeEngine, engine: Engine) -> None:
    """Nothing of theirs is touched, and no content is in the message."""
    swarm.write_secret({"Name": "swarm-xds-relay.key.v1", "Data": "", "Labels": {}})
    with pytest.raises(EngineError, match=r"there is a secret swarm-xds-relay\.key\.v1") as failure:
        await secrets.publish(engine, FILES)
    assert "a2V5" not in str(failure.value)


async def test_the_stack_mounts_what_is_published(swarm: FakeEngine, engine: Engine, tmp_path: Path) -> None:
    """`deploy/tls.yml` names secrets that exist, and points at where they are mounted."""
    store = Store(tmp_path)
    store.init([issue.control_plane(), issue.fleet("default"), issue.relay()], datetime.now(UTC))
    await secrets.publish(engine, store.contents())
    stack = yaml.safe_load(STACK.read_text(encoding="utf-8"))
    names = {key: each["name"].replace("${PKI_VERSION:-1}", "1") for key, each in stack["secrets"].items()}
    assert set(names.values()) <= set(swarm.secret_names())
    for service in stack["services"].values():
        mounted = {f"/run/secrets/{each['target']}": names[each["source"]] for each in service["secrets"]}
        paths = {path for path in service["environment"].values() if path.startswith("/")}
        assert paths == set(mounted)
        for path, name in mounted.items():
            assert name.endswith(".key.v1") is path.endswith(".key")
    settings = stack["services"]["control-plane"]["environment"]
    names_of_settings = ("HTTP3", "HTTPS_PUBLIC_PORT", "INSECURE_XDS", "TLS_CA", "TLS_CERT", "TLS_KEY")
    assert sorted(settings) == [f"SWARM_XDS_{each}" for each in names_of_settings]
