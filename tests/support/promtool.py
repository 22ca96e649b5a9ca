"""Prometheus' own checks (Debian package `prometheus`)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*args: str, stdin: str = "", cwd: Path | None = None) -> str:
    """Run `promtool` and return what it printed; it must succeed."""
    binary = shutil.which("promtool")
    if binary is None:
        reason = "no promtool on this machine: install Debian's package prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    result = subprocess.run(
        [binary, *args], input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=cwd
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
