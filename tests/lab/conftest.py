"""The swarm that all lab tests share: three managers, the project's own stack on them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.images import import_all
from support.lab import Lab, available
from support.lab_swarm import FLEET, Edges, await_fleet, clear, report, running
from support.manager import Manager, blocks

LAB = pytest.StashKey[Lab]()
#: Where the whole state of the lab is written when a test fails, and how much of it stands in the test's own report.
REPORTS, LINES, WIDTH = Path(__file__).parents[2] / ".cache" / "reports", 30, 160


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
def manager(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Manager:
    """A shell on the lab's managers."""
    return Manager(lab, tmp_path_factory.mktemp("manager"))


@pytest.fixture(scope="session")
def fleet(lab: Lab, manager: Manager) -> Lab:
    """The lab with the project's own stack, installed by the README's own commands.

    It has two control planes, an edge that takes traffic on every node, and mutual TLS between them.
    """
    (install,) = blocks("README.md", "### Install")
    manager.run(install)
    await_fleet(lab)
    return lab


@pytest.fixture(scope="module", autouse=True)
def _cleared(request: pytest.FixtureRequest) -> Iterator[None]:
    """Take away what a module's tests have left, as those that fail do: it would meet the next one's requests."""
    yield
    if LAB in request.config.stash:
        clear(request.config.stash[LAB])


@pytest.fixture
def client(fleet: Lab) -> Iterator[Edges]:
    """A client of the edges."""
    with Edges(fleet) as client:
        yield client


@pytest.fixture
def edges(fleet: Lab, client: Edges) -> Iterator[Edges]:
    """A client of the edges, none of which may be replaced while the test runs."""
    before = set(running(fleet, f"{FLEET}_edge"))
    yield client
    assert set(running(fleet, f"{FLEET}_edge")) == before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that leave the stack other than they found it."""
    items.sort(key=lambda item: item.path.name == "test_own_removal.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the state of the lab to the report of a test that failed: its beginning, and where all of it is."""
    result = yield
    if result.failed and LAB in item.config.stash:
        REPORTS.mkdir(parents=True, exist_ok=True)
        path = REPORTS / f"{re.sub(r'[^a-z0-9]+', '-', item.name)}-{result.when}.txt"
        path.write_text(report(item.config.stash[LAB]), encoding="utf-8")
        lines = [line[:WIDTH] for line in path.read_text(encoding="utf-8").splitlines()[:LINES]]
        result.sections.append(("lab", "\n".join([*lines, f"(all of it: {path.relative_to(REPORTS.parents[1])})"])))
    return result
