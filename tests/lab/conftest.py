"""The swarm that all lab tests share: three managers, the project's own stack on them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.images import import_all
from support.lab import Lab, available, wait_for
from support.lab_swarm import Edges, report, running, settled

ROOT = Path(__file__).parent.parent.parent
STACK = "swarm-xds"
LAB = pytest.StashKey[Lab]()


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, envoy_binary: Path) -> Iterator[Lab]:
    """Three managers with the project's images."""
    if reason := available():
        if os.environ.get("CI") == "true":
            pytest.fail(f"no lab on this machine: {reason}")
        pytest.skip(f"no lab on this machine: {reason}")
    with Lab(seed=lambda lab: import_all(lab, envoy_binary)) as lab:
        request.config.stash[LAB] = lab
        yield lab
        del request.config.stash[LAB]


@pytest.fixture(scope="session")
def fleet(lab: Lab) -> Lab:
    """The lab with `deploy/stack.yml` on it: two control planes, and an edge that takes traffic on every node."""
    lab.deploy(STACK, ROOT / "deploy" / "stack.yml", env={"TAG": "lab"})
    settled(lab, f"{STACK}_control-plane", 2)
    settled(lab, f"{STACK}_edge", len(lab.nodes))
    edges = Edges(lab)
    for node in lab.nodes:
        wait_for(f"an answer from edge {node}", lambda node=node: edges.status(node, "nobody.example.org") == 404)
    edges.close()
    return lab


@pytest.fixture
def edges(fleet: Lab) -> Iterator[Edges]:
    """A client of the edges; none of them may be replaced while the test runs."""
    before = set(running(fleet, f"{STACK}_edge"))
    client = Edges(fleet)
    yield client
    client.close()
    assert set(running(fleet, f"{STACK}_edge")) == before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the state of the lab to the report of a test that failed."""
    result = yield
    if result.failed and LAB in item.config.stash:
        result.sections.append(("lab", report(item.config.stash[LAB])))
    return result
