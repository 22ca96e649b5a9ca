"""An edge that is told to stop, with the real Envoy on loopback: every request that it has taken is answered."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.lab import wait_for
from support.ports import free_port

pytestmark = pytest.mark.envoy

ENVOY = Path(__file__).parent.parent.parent / "envoy"
APP = Path(__file__).parent / "app.py"
#: What the scripts need: from Debian as in Envoy's image (bash, but no HTTP client), and from busybox as in the lab's.
TOOLS = {
    "debian": ("sh", "bash", "sed", "sleep", "timeout", "date", "cat", "hostname"),
    "busybox": ("sh", "sed", "sleep", "timeout", "date", "wget", "hostname"),
}


@dataclass(frozen=True)
class Edge:
    """A started entrypoint."""

    process: subprocess.Popen[bytes]
    environ: dict[str, str]
    port: int
    log: Path

    def get(self, path: str = "/") -> http.client.HTTPResponse:
        """Ask on a new connection; the body is read."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            response.body = response.read()  # type: ignore[attr-defined]
            return response

    def accepts(self) -> bool:
        """Tell whether a new connection is taken; one that the kernel held when the listener closed is reset."""
        try:
            return self.get().status == 200
        except ConnectionError:
            return False

    def healthy(self) -> bool:
        """Run the health check, as Docker does."""
        return subprocess.run(["healthcheck.sh"], env=self.environ, check=False, timeout=10).returncode == 0

    def end(self, timeout: float) -> int:
        """Wait for the end; nothing that it started may be left."""
        status = self.process.wait(timeout)
        assert members(self.process.pid) == []
        return status


def members(group: int) -> list[str]:
    """Return the processes of a group, by their command; not such as have ended and nobody has asked about."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, rest = stat.read_text().rpartition(")")
            state, _, mine, *_ = rest.split()
            if int(mine) == group and state != "Z":
                found.append((stat.parent / "cmdline").read_text())
    return found


@pytest.fixture(scope="module")
def application() -> Iterator[int]:
    """The lab's application; its port."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(APP)], env={**os.environ, "PORTS": str(port)}) as process:
        yield port
        process.kill()


@pytest.fixture(params=TOOLS)
def start(
    request: pytest.FixtureRequest, tmp_path: Path, envoy_binary: Path, application: int
) -> Iterator[Callable[..., Edge]]:
    """Starts the entrypoint with the tools of an image and nothing else on its path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS[request.param]:
        source = shutil.which("dash" if (tool, request.param) == ("sh", "debian") else tool)
        assert source, f"{tool} not found"
        (folder / tool).symlink_to(source if request.param == "debian" else shutil.which("busybox") or "")
    (folder / "envoy").symlink_to(envoy_binary)
    for script in ENVOY.glob("*.sh"):
        (folder / script.name).symlink_to(script)
    started: list[Edge] = []

    def run(template: Path | None = None, **environ: str) -> Edge:
        port = free_port()
        environ = {
            "PATH": str(folder),
            "TMPDIR": str(tmp_path),
            "XDS_HOST": "127.0.0.1",
            "ADMIN_PORT": str(free_port()),
            "PREDRAIN_SECONDS": "1",
            "LOG_LEVEL": "warning",
            "BOOTSTRAP": str(template or listening(tmp_path, port, application)),
            **environ,
        }
        log = tmp_path / "log"
        with log.open("wb") as output:
            # `sh` is looked for here, not on the path given.
            command = [str(folder / "sh"), str(ENVOY / "entrypoint.sh"), "--concurrency", "2"]
            process = subprocess.Popen(command, env=environ, stdout=output, stderr=output, start_new_session=True)
        started.append(Edge(process, environ, port, log))
        return started[-1]

    yield run
    for edge in started:
        with suppress(ProcessLookupError):
            os.killpg(edge.process.pid, signal.SIGKILL)
        edge.process.wait(10)


def listening(folder: Path, port: int, upstream: int) -> Path:
    """Write the shipped template with a listener in it."""
    bootstrap = (ENVOY / "bootstrap.yaml").read_text()
    for key in ("XDS_PORT", "ADMIN_PORT", "HEAP_BYTES", "MAX_CONNECTIONS"):
        bootstrap = bootstrap.replace(f"${{{key}}}", f'"${{{key}}}"')
    message = yaml.safe_load(bootstrap)
    del message["dynamic_resources"]
    address = {"address": "127.0.0.1", "port_value": port}
    extension = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{extension}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{extension}.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}],
                }
            ]
        },
    }
    resources = message["static_resources"]
    resources["listeners"] = [
        {
            "name": "http",
            "address": {"socket_address": address},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }
    ]
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}
    assignment = {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
    resources["clusters"].append({"name": "app", "type": "STATIC", "load_assignment": assignment})
    path = folder / "listening.yaml"
    path.write_text(yaml.safe_dump(message))
    return path


class Download(threading.Thread):
    """A request that takes a while; it runs once the first byte has come."""

    def __init__(self, edge: Edge, seconds: float) -> None:
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
        self.connection.request("GET", f"/slow?seconds={seconds}")
        self.response = self.connection.getresponse()
        self.lines, self.whole = 0, False
        self.start()

    def run(self) -> None:
        """Read to the end, which may come too early."""
        with suppress(OSError, http.client.HTTPException), closing(self.connection):
            self.lines = len(self.response.read().splitlines())
            self.whole = True


def ready(edge: Edge) -> Edge:
    """Wait until an edge serves."""
    wait_for("a healthy edge", edge.healthy, timeout=20)
    wait_for("an answer", edge.accepts, timeout=20)
    return edge


def test_a_running_request_completes_before_the_end(start: Callable[..., Edge]) -> None:
    """First it is unhealthy and still takes connections, to answer once each; then none; then it ends."""
    edge = ready(start())
    download = Download(edge, 4)
    begin = time.monotonic()
    edge.process.send_signal(signal.SIGTERM)
    wait_for("a failing health check", lambda: not edge.healthy(), timeout=2)
    answer = edge.get()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    wait_for("the listener's end", lambda: not edge.accepts(), timeout=5)
    assert download.is_alive()
    assert not edge.healthy()
    assert edge.end(10) == 0, edge.log.read_text()
    assert 4 <= time.monotonic() - begin < 8
    download.join(1)
    assert (download.whole, download.lines) == (True, 40)


def test_requests_may_take_no_longer_than_the_limit(start: Callable[..., Edge]) -> None:
    """What has not ended by then is cut off, and the log says how much it was."""
    edge = ready(start(DRAIN_LIMIT_SECONDS="2"))
    download = Download(edge, 30)
    begin = time.monotonic()
    edge.process.send_signal(signal.SIGTERM)
    assert edge.end(10) == 0
    assert 2 <= time.monotonic() - begin < 8
    download.join(1)
    assert not download.whole
    assert "requests under way after 2 s: 1" in edge.log.read_text()


def test_an_idle_connection_may_still_bring_a_request(start: Callable[..., Edge]) -> None:
    """It is answered and closed; one that brings nothing holds the end up for a moment only."""
    edge = ready(start())
    kept, silent = (http.client.HTTPConnection("127.0.0.1", edge.port, timeout=10) for _ in range(2))
    with closing(kept), closing(silent):
        for connection in (kept, silent):
            connection.request("GET", "/")
            assert connection.getresponse().read()
        begin = time.monotonic()
        edge.process.send_signal(signal.SIGTERM)
        wait_for("the listener's end", lambda: not edge.accepts(), timeout=5)
        kept.request("GET", "/")
        answer = kept.getresponse()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        assert edge.end(10) == 0
        assert time.monotonic() - begin < 8


def test_a_second_signal_ends_it_at_once(start: Callable[..., Edge]) -> None:
    """Whoever asks twice does not want to wait."""
    edge = ready(start(PREDRAIN_SECONDS="60"))
    download = Download(edge, 30)
    edge.process.send_signal(signal.SIGTERM)
    wait_for("a failing health check", lambda: not edge.healthy(), timeout=2)
    edge.process.send_signal(signal.SIGTERM)
    assert edge.end(3) == 0
    download.join(1)
    assert not download.whole


@pytest.mark.parametrize("draining", [False, True], ids=["serving", "draining"])
def test_an_envoy_that_dies_is_not_outlived(start: Callable[..., Edge], draining: bool) -> None:
    """The container ends with Envoy's status, so that the swarm replaces it."""
    edge = ready(start(PREDRAIN_SECONDS="60"))
    if draining:
        edge.process.send_signal(signal.SIGTERM)
        wait_for("a failing health check", lambda: not edge.healthy(), timeout=2)
    children = Path(f"/proc/{edge.process.pid}/task/{edge.process.pid}/children").read_text().split()
    envoy = next(int(child) for child in children if "envoy" in Path(f"/proc/{child}/comm").read_text())
    os.kill(envoy, signal.SIGKILL)
    assert edge.end(3) == 128 + signal.SIGKILL


@pytest.mark.parametrize("seconds", [0, 0.01, 0.05, 0.2, 1])
def test_a_signal_during_the_start_ends_it(start: Callable[..., Edge], seconds: float) -> None:
    """Before there is an Envoy, while it boots, and while it waits for its control plane: no signal is lost."""
    edge = start(ENVOY / "bootstrap.yaml", PREDRAIN_SECONDS="60")
    wait_for("the shell's first step", lambda: has_trap(edge.process.pid), timeout=5, interval=0)
    # The moment itself is what is tried here, not a fact to wait for.
    time.sleep(seconds)
    edge.process.send_signal(signal.SIGTERM)
    assert edge.end(4) in {0, 128 + signal.SIGTERM}, edge.log.read_text()


def has_trap(pid: int) -> bool:
    """Tell whether a process catches SIGTERM: as a container's first process it would be deaf before."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
