"""Fixtures that every kind of test may use."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The real Envoy, which `make test` installs; its absence is a failure, never a skip."""
    binary = ROOT / ".envoy" / "envoy" / "_bin" / "envoy"
    assert binary.is_file(), f"no Envoy at {binary}: run `make envoy` first"
    return binary


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites golden files."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the outputs of the golden cases")
