"""Fixtures that every kind of test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The real Envoy, which `make test` installs; its absence is a failure, never a skip."""
    binary = ROOT / ".envoy" / "envoy" / "_bin" / "envoy"
    assert binary.is_file(), f"no Envoy at {binary}: run `make envoy` first"
    return binary


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """Undo what a command has set up for its process: a later test would log into a file that is closed."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites golden files."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the outputs of the golden cases")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first: where several processes share the tests, the short ones even out when each ends."""
    items.sort(key=lambda item: item.path.parent.name != "features")
