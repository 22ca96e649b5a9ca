"""The lab itself leaves nothing behind, whatever happens to the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.lab import Lab, LabError, available, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

SCRIPT = """
import sys, time
from support.lab import Lab
lab = Lab(1, 1, prefix="sxk", subnet="10.79.0", bridge_net="172.30")
lab.up()
print(lab.pid(1), flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := available():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no lab on this machine: {reason}")


def names() -> list[str]:
    """Return what on this machine has the lab's name."""
    paths = [*Path("/sys/class/net").glob("sxk*"), *Path("/run/netns").glob("sxk*"), *Path("/tmp").glob("sxk-lab/*")]  # noqa: S108
    rules = [line for line in run("iptables", "-w", "-S", "FORWARD").splitlines() if "sxk" in line]
    return [*map(str, paths), *rules]


def test_a_killed_run_leaves_no_process_and_the_next_clears_the_rest() -> None:
    """SIGKILL leaves no time to clean up: the kernel ends the nodes, the next lab removes the names."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        node = int(process.stdout.readline())
        with pytest.raises(LabError, match="another lab"):
            Lab(1, 1, prefix="sxk").up()
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{node}").exists():
        assert time.monotonic() < deadline, "the node outlived the run"
        time.sleep(0.05)
    assert names()
    with Lab(1, 1, prefix="sxk", subnet="10.79.0", bridge_net="172.30") as lab:
        assert "Leader" in lab.docker(1, "node", "ls")
    assert names() == []


def test_a_lab_that_fails_to_boot_leaves_nothing() -> None:
    """What stood when the failure came is taken down again."""

    def fail(lab: Lab) -> None:
        raise RuntimeError("no images")

    with pytest.raises(RuntimeError, match="no images"):
        Lab(1, 1, prefix="sxk", subnet="10.79.0", bridge_net="172.30", seed=fail).up()
    assert names() == []
