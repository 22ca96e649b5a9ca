"""A real multi-node Docker Swarm on one Linux machine.

Each node is a Docker engine in network, mount, UTS and PID namespaces of its own, wired to one bridge, so that overlays
really cross VXLAN between "hosts". Everything of a node lives in its PID namespace: ending that namespace's first
process ends engine and containers at once, as a power cut does, and nothing else.

Only addresses inside the lab are reachable from its nodes: they have no default route.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import docker
import httpx
import requests

T = TypeVar("T")
TOOLS = ("busybox", "docker", "dockerd", "containerd", "ip", "iptables", "mount", "nsenter", "setpriv", "unshare")
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
#: Of memory that has to be free for a lab to have all its files there; it uses a fifth of it.
PLENTY_KIB = 4 * 1024 * 1024
#: Of a busy machine's time, what all containers of a node get, as a multiple of what a process gets.
SHARE = 4

# Not `ip netns exec`: that remounts /sys and loses the cgroup mounts an engine needs. Here /sys is mounted afresh
# (libnetwork writes bridge attributes there) with the cgroups bound back in. /run is the node's own, so that
# /var/run/docker.sock is this node's engine for whoever mounts it; resolv.conf leads nowhere, so that look-ups of
# images fail at once. The shell stays as the namespace's first process, to reap what containerd's shims leave.
NODE_SCRIPT = """
set -e
dir=$1 name=$2 bip=$3 parent=$4
hostname "$name"
mkdir -p "$dir/cgroup"; mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys; mount --rbind "$dir/cgroup" /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
echo "nameserver 127.0.0.1" >"$dir/resolv.conf"
target=$(readlink -m /etc/resolv.conf); mkdir -p "${target%/*}"; [ -e "$target" ] || : >"$target"
mount --bind "$dir/resolv.conf" "$target"
rm -f "$dir/docker.sock" "$dir/pid"
dockerd --data-root "$dir/data" --exec-root /run/docker --pidfile "$dir/pid" --bip "$bip" \
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$parent" \
  -H unix:///run/docker.sock -H "unix://$dir/docker.sock" &
trap 'kill -TERM $!' TERM
wait $! || wait $!
"""


class LabError(RuntimeError):
    """The lab, or a command in it, failed; the message carries what was printed."""


def available() -> str | None:
    """Say why a lab can't run on this machine; None if it can."""
    if not Path("/proc/self/status").exists():
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root"
    status = Path("/proc/self/status").read_text()
    capabilities = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)
    if not (capabilities >> CAP_NET_ADMIN & 1 and capabilities >> CAP_SYS_ADMIN & 1):
        return "it needs the capabilities NET_ADMIN and SYS_ADMIN"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(missing)} not found" if missing else None


def run(
    *command: str,
    check: bool = True,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    stderr: bool = False,
) -> str:
    """Run a command and return what it printed, with ``stderr`` both streams.

    Raises:
        LabError: It failed (unless ``check`` is off), or did not end in ``timeout`` seconds.
    """
    environ = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")} | dict(env or {})
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environ, check=False)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: not done after {timeout:g} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return (done.stdout + (done.stderr if stderr else "")).strip()


def wait_for(what: str, probe: Callable[[], T], timeout: float = 120, interval: float = 0.1) -> T:
    """Return the first true answer of ``probe``; one that fails, as while managers elect a leader, has none yet.

    Raises:
        LabError: None came in ``timeout`` seconds; the message has the last answer.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            if answer := probe():
                return answer
            last = answer
        except docker.errors.APIError as error:
            if error.is_client_error() and not isinstance(error, docker.errors.NotFound):
                raise
            last = error
        except (LabError, httpx.TransportError, requests.ConnectionError, requests.Timeout) as error:
            last = error
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:g} s for {what}; last seen: {last!r}")
        time.sleep(interval)


class Lab:
    """A swarm of ``nodes`` engines, numbered from 1, the first ``managers`` of which are managers.

    Names of links, namespaces and folders begin with ``prefix``, and whatever an earlier run left under it is removed
    first. A second lab needs a prefix, a subnet and a ``bridge_net`` of its own.

    Attributes:
        subnet: First three octets of the network that the nodes share with this machine.
        bridge_net: First two octets of each engine's own bridge: node N gets ``<bridge_net>.<N>.1/24``.
        seed: Puts images on node 1 while no other node is up; they start with copies, which is many times faster.
    """

    def __init__(
        self,
        nodes: int = 3,
        managers: int = 3,
        *,
        prefix: str = "sxt",
        subnet: str = "10.78.0",
        bridge_net: str = "172.29",
        seed: "Callable[[Lab], None] | None" = None,
    ) -> None:
        self.nodes = range(1, nodes + 1)
        self.managers = managers
        self.prefix = prefix
        self.subnet = subnet
        self.bridge_net = bridge_net
        self.seed = seed
        self.directory = Path("/tmp") / f"{prefix}-lab"  # noqa: S108  paths of sockets must be short; root's alone
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Boot every engine and join them into one swarm; after a failure nothing is left."""
        self._lock = os.open(f"/tmp/{self.prefix}-lab.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)  # noqa: S108
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise LabError(f"another lab named {self.prefix!r} is running on this machine") from error
        try:
            self._clean()
            self._lay_out()
            self._wire()
            if self.seed:
                self.start(1)
                self.seed(self)
                self._copy_images()
            for node in set(self.nodes) - set(self._processes):
                self._spawn(node)
            for node in self.nodes:
                self._await_engine(node)
            self._join()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End every node and remove every namespace, link, rule and file; harmless if there are none."""
        for process in self._processes.values():
            self._end(process)
        self._processes.clear()
        if self._lock is not None:
            self._clean()
            os.close(self._lock)
            self._lock = None

    def docker(
        self,
        node: int,
        *args: str,
        check: bool = True,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        stderr: bool = False,
    ) -> str:
        """Run a ``docker`` command against a node's engine and return what it printed; see ``run``."""
        command = ("docker", "-H", f"unix://{self.socket(node)}", *args)
        return run(*command, check=check, timeout=timeout, env=env, stderr=stderr)

    def deploy(self, stack: str, *files: Path, env: Mapping[str, str] | None = None, node: int = 1) -> None:
        """Deploy a stack without asking a registry, and without waiting."""
        # Newer command lines wait or not by a flag that Debian's does not know.
        knows_detach = "--detach" in self.docker(node, "stack", "deploy", "--help")
        options = ["--resolve-image", "never", *(["--detach=true"] if knows_detach else [])]
        for file in files:
            options += ["--compose-file", str(file)]
        self.docker(node, "stack", "deploy", *options, stack, env=env)

    @property
    def up_nodes(self) -> list[int]:
        """Nodes whose engines run."""
        return sorted(self._processes)

    def socket(self, node: int) -> Path:
        """Return the path of a node's API socket."""
        return self._home(node) / "docker.sock"

    def address(self, node: int) -> str:
        """Return a node's address, which this machine reaches."""
        return f"{self.subnet}.{node}"

    def pid(self, node: int) -> int:
        """Return the first process of a node's namespaces."""
        outer = self._processes[node].pid
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])

    def import_image(self, tree: Path, tag: str, changes: Sequence[str] = ()) -> None:
        """Import a tar file as an image on every running node; ``changes`` are Dockerfile instructions."""
        options = [option for change in changes for option in ("--change", change)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self.docker(node, "import", *options, str(tree), tag), sorted(self._processes)))

    def derive_image(self, image: str, tag: str, changes: Sequence[str]) -> None:
        """Make an image that differs from another by Dockerfile instructions alone, on every running node."""
        options = [option for change in changes for option in ("--change", change)]
        for node in sorted(self._processes):
            container = self.docker(node, "create", image, "-")
            self.docker(node, "commit", *options, container, tag)
            self.docker(node, "rm", container)

    def kill(self, node: int) -> None:
        """Lose a node: engine and containers end at once, without a word."""
        self._end(self._processes.pop(node))

    def stop(self, node: int, timeout: float = 60) -> None:
        """Shut an engine down in good order."""
        process = self._processes.pop(node)
        inner = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        os.kill(inner, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        self._end(process)

    def start(self, node: int) -> None:
        """Bring a lost or stopped node's engine back, with the data it had."""
        self._spawn(node)
        self._await_engine(node)

    def cut(self, node: int) -> None:
        """Part a node from all others and from this machine; its API socket still answers."""
        run("ip", "link", "set", f"{self.prefix}{node}", "down")

    def mend(self, node: int) -> None:
        """Heal what ``cut`` did."""
        run("ip", "link", "set", f"{self.prefix}{node}", "up")

    @contextmanager
    def partition(self, node: int) -> Iterator[None]:
        """Part a node for the length of a block."""
        self.cut(node)
        try:
            yield
        finally:
            self.mend(node)

    def log(self, node: int, lines: int = 20) -> str:
        """Return the end of an engine's log."""
        path = self._home(node) / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _home(self, node: int) -> Path:
        return self.directory / f"node{node}"

    def _lay_out(self) -> None:
        """Make the folder of all files, in memory if there is plenty: managers wait for the disk at each word.

        And give the containers their share of the machine's time: together they would have that of one process.
        """
        self.directory.mkdir()
        meminfo = Path("/proc/meminfo").read_text()
        if int(meminfo.partition("MemAvailable:")[2].split()[0]) > PLENTY_KIB:
            run("mount", "-t", "tmpfs", "-o", "mode=700", f"{self.prefix}-lab", str(self.directory))
        groups = Path("/sys/fs/cgroup")
        unified = (groups / "cgroup.controllers").exists()
        group = groups / self.prefix if unified else groups / "cpu" / self.prefix
        knob, usual = (group / "cpu.weight", 100) if unified else (group / "cpu.shares", 1024)
        # A help on a busy machine; engines do without.
        with suppress(OSError):
            group.mkdir(exist_ok=True)
            knob.write_text(str(SHARE * len(self.nodes) * usual))

    def _wire(self) -> None:
        bridge = f"{self.prefix}0"
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.subnet}.254/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        # An engine of this machine may have set the FORWARD policy to DROP, which bridged frames obey too.
        for direction in ("-i", "-o"):
            run("iptables", "-w", "-I", "FORWARD", direction, bridge, "-j", "ACCEPT")
        for node in self.nodes:
            name = f"{self.prefix}{node}"
            run("ip", "netns", "add", name)
            run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", name, "master", bridge, "up")
            run("ip", "-n", name, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")

    def _spawn(self, node: int) -> None:
        home = self._home(node)
        home.mkdir(parents=True, exist_ok=True)
        # The signals of parents' deaths chain: when this process ends, however it ends, so does the node.
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{self.prefix}{node}"]
        command += ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["--propagation", "private", "bash", "-c", NODE_SCRIPT, "node"]
        command += [str(home), f"node{node}", f"{self.bridge_net}.{node}.1/24", f"/{self.prefix}/node{node}"]
        with (home / "log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _await_engine(self, node: int) -> None:
        process = self._processes[node]

        def answers_or_ended() -> bool:
            if process.poll() is not None:
                return True
            with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(str(self.socket(node)))
                client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in client.recv(100)
            return False

        try:
            wait_for(f"node {node}'s engine", answers_or_ended, interval=0.05)
        except LabError as error:
            raise LabError(f"{error}\n{self.log(node)}") from None
        if process.poll() is not None:
            raise LabError(f"node {node}'s engine ended:\n{self.log(node)}")

    def _copy_images(self) -> None:
        """Give every other node what node 1 has: layers, which never change, as hard links."""
        for node in self.nodes[1:]:
            # Which of the two storage drivers it is depends on the file system underneath.
            for folder, copy in (("image", shutil.copy2), ("overlay2", os.link), ("vfs", os.link)):
                source, target = (self._home(number) / "data" / folder for number in (1, node))
                if source.is_dir():
                    shutil.copytree(source, target, symlinks=True, copy_function=copy)

    def _join(self) -> None:
        self.docker(1, "swarm", "init", "--advertise-addr", self.address(1))
        token = {role: self.docker(1, "swarm", "join-token", "-q", role) for role in ("manager", "worker")}
        for node in self.nodes[1:]:
            role = "manager" if node <= self.managers else "worker"
            where = ("--advertise-addr", self.address(node), f"{self.address(1)}:2377")
            self.docker(node, "swarm", "join", "--token", token[role], *where)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(OSError, IndexError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            # Waits for the whole namespace: its first process ends last.
            os.kill(int(children[0]), signal.SIGKILL)
            process.wait(30)
        process.kill()
        process.wait(30)

    def _clean(self) -> None:
        """Remove what stands under the lab's names; its processes ended with the process that started them."""
        for path in Path("/run/netns").glob(f"{self.prefix}[0-9]*"):
            run("ip", "netns", "del", path.name)
        for path in Path("/sys/class/net").glob(f"{self.prefix}[0-9]*"):
            # The kernel may still be taking it down with its namespace.
            run("ip", "link", "del", path.name, check=False)
        for direction in ("-i", "-o"):
            rule = ("FORWARD", direction, f"{self.prefix}0", "-j", "ACCEPT")
            while subprocess.run(("iptables", "-w", "-D", *rule), capture_output=True, check=False).returncode == 0:
                pass
        for top in Path("/sys/fs/cgroup").glob(f"**/{self.prefix}"):
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        deadline = time.monotonic() + 10
        while self.directory.exists():
            if self.directory.is_mount():
                run("umount", str(self.directory), check=time.monotonic() > deadline)
            shutil.rmtree(self.directory, ignore_errors=time.monotonic() < deadline)
