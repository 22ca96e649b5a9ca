"""A shell on a manager of the lab, and the commands of the documentation to be run in it.

Commands run as they are written, in a copy of the project's folder. No registry is there: ``docker build`` gives the
lab's own image its name, on every node, ``docker push`` finds it there, and a deployment asks nobody for a digest.
"""

import re
import shutil
from pathlib import Path

from support.images import APP, CONTROL_PLANE, EDGE, ROOT
from support.lab import Lab, run

_DOCKER = """#!/bin/sh
set -eu
case "$1" in
build)
  file='' tag='' context=''
  while shift && [ $# -gt 0 ]; do
    case $1 in
    --file) shift; file=$1 ;;
    --tag) shift; tag=$1 ;;
    *) context=$1 ;;
    esac
  done
  case ${file:=$context/Dockerfile} in
  envoy/Dockerfile) image=@edge@ ;;
  deploy/Dockerfile) image=@control_plane@ ;;
  esac
  [ -f "$file" ]
  for socket in @sockets@; do @docker@ -H "unix://$socket" tag "$image" "$tag"; done ;;
push) @docker@ image inspect "$2" >/dev/null ;;
stack)
  if [ "$2" = deploy ]; then shift 2; set -- stack deploy --resolve-image never "$@"; fi
  exec @docker@ "$@" ;;
*) exec @docker@ "$@" ;;
esac
"""


def blocks(page: str, heading: str) -> list[str]:
    """Return the blocks of commands below a heading of a page, as far as the next heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{page} has no {heading!r}"
    section = re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """Return the commands of a block."""
    return block.replace("\\\n", " ").splitlines()


class Manager:
    """A shell in the namespaces of a manager, in a copy of what the commands need of the project's folder."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder / "swarm-xds"
        for part in ("deploy", "envoy"):
            shutil.copytree(ROOT / part, self.folder / part)
        self._tools = folder / "tools"
        self._tools.mkdir()
        values = {
            "edge": EDGE,
            "control_plane": CONTROL_PLANE,
            "docker": shutil.which("docker") or "docker",
            "sockets": " ".join(str(lab.socket(node)) for node in lab.nodes),
        }
        shim = self._tools / "docker"
        shim.write_text(re.sub("@(\\w+)@", lambda found: values[found[1]], _DOCKER))
        shim.chmod(0o755)

    def run(self, script: str, node: int = 1) -> str:
        """Run a block of commands on a manager and return what they printed; each must succeed.

        Raises:
            LabError: One did not.
        """
        enter = ("nsenter", "--target", str(self.lab.pid(node)), "--mount", "--uts", "--net", "--pid")
        path = f"{self._tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environ = {"PATH": path, "EXAMPLE_IMAGE": APP}
        whole = f"set -euo pipefail\ncd {self.folder}\n{script}"
        return run(*enter, "bash", "-c", whole, env=environ, timeout=150)
