"""The command line, as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path


def command(
    *args: str, env: dict[str, str] | None = None, cwd: Path | None = None, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `swarm-xds`, with something on its standard input or not, and return what it printed."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "swarm-xds"), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        input=given,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
    )
