"""Docker secrets as the source reads them: names, never contents, and not at any price."""

from collections.abc import Callable
from typing import Any

import pytest

from support.engine import FakeEngine
from swarm_xds.problem import Kind
from swarm_xds.sources.docker import convert
from swarm_xds.swarm import Secret

from .conftest import Reader

Read = Callable[..., Reader]


def create(engine: FakeEngine, name: str, **labels: str) -> str:
    """Create a secret and return its id."""
    given = {key.replace("_", "-"): value for key, value in labels.items()}
    assert engine.write_secret({"Name": name, "Labels": given, "Data": "c2VjcmV0"})[0] == 201
    return next(i for i, raw in engine.secrets.items() if raw["Spec"]["Name"] == name)


async def test_secrets_are_followed(engine: FakeEngine, read: Read) -> None:
    """Those there are, a new one, and one that goes; each by an event."""
    first = create(engine, "one")
    reader = read()
    assert (await reader.next()).state.secrets == (Secret(id=first, name="one"),)
    second = create(engine, "two")
    reading = await reader.next()
    assert [secret.name for secret in reading.state.secrets] == ["one", "two"]
    assert reading.cause == "secret two created"
    assert engine.erase_secret(first)[0] == 204
    assert (await reader.next()).state.secrets == (Secret(id=second, name="two"),)


@pytest.mark.parametrize("status", [401, 403, 405])
async def test_who_may_not_list_them_reads_everything_else(engine: FakeEngine, read: Read, status: int) -> None:
    """A proxy before the engine that forbids it is told of, with the cure."""
    create(engine, "one")
    engine.add_service("web", labels={"xds.hosts": "a.example"})
    engine.fail(status=status, times=1_000, for_path="/secrets")
    reading = await read().next()
    assert [service.name for service in reading.state.services] == ["web"]
    assert reading.state.secrets == ()
    (problem,) = reading.problems
    assert problem.kind is Kind.UNREAD
    assert "GET /secrets" in problem.cure


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"Name": "a"}, Secret(id="s", name="a"), id="no labels"),
        pytest.param(
            {"Name": "a", "Labels": {"com.docker.stack.namespace": "shop", "swarm-xds.pki": "fp", "x": "y"}},
            Secret(id="s", name="a", stack="shop", pki="fp"),
            id="labels",
        ),
        pytest.param({"Labels": {}}, None, id="no name"),
        pytest.param({"Name": 5}, None, id="odd name"),
        pytest.param(None, None, id="no specification"),
    ],
)
def test_convert(spec: Any, expected: Secret | None) -> None:
    """One that cannot be read is told and takes no other with it."""
    batch = convert.secrets([{"ID": "s", "Spec": spec}, {"ID": "t", "Spec": {"Name": "t"}}])
    assert batch.records.get("s") == expected
    assert batch.records["t"] == Secret(id="t", name="t")
    assert bool(batch.problems) == (expected is None)
