"""What is published is shown to an Envoy that only looks at it: what it says, and what is left behind."""

import asyncio
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from support.certificates import authority
from support.spoil import (
    SPOILT,
    spoil_cluster_alone,
    spoil_endpoints,
    spoil_routes,
    spoiling,
)
from swarm_xds.app import App
from swarm_xds.examine import Examiner, Finding
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Pipeline, Translator
from swarm_xds.problem import Kind
from swarm_xds.settings import Settings
from swarm_xds.snapshot import CLUSTER, ENDPOINT, ROUTE, Snapshots
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.swarm import Network, Service, SwarmState, Task
from swarm_xds.translate import translate


def snapshots(*hosts: str, translator: Translator = translate) -> Snapshots:
    """Return what services for these hosts come to, each named by its number."""
    services = tuple(
        Service(
            id=f"s{number}",
            name=f"s{number}",
            labels=(("xds.hosts", host), ("xds.port", "80")),
            network_ids=("n1",),
            tasks=(Task(id=f"t{number}", addresses=(("n1", f"10.0.0.{number}"),)),),
        )
        for number, host in enumerate(hosts, 1)
    )
    pipeline = Pipeline(EdgeOptions(), "default", translator=translator)
    return pipeline.build(SwarmState(services=services, networks=(Network(id="n1", name="edge"),))).snapshots


async def found(binary: Path, *wanted: Snapshots, limit: float = 60) -> list[Finding]:
    """Have snapshots examined one after the other, and return what is found."""
    findings: asyncio.Queue[Finding] = asyncio.Queue()
    examiner = Examiner(binary, limit, findings.put_nowait)
    running = asyncio.create_task(examiner.run())
    try:
        told = []
        for each in wanted:
            examiner.want(each)
            told.append(await asyncio.wait_for(findings.get(), 60))
        return told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("type_name", "spoil", "type_url"),
    [
        pytest.param("clusters", spoil_cluster_alone, CLUSTER, id="cluster"),
        pytest.param("endpoints", spoil_endpoints, CLUSTER, id="endpoints of a new cluster"),
        pytest.param("routes", spoil_routes, ROUTE, id="routes"),
    ],
)
async def test_envoy_says_what_is_wrong_and_it_is_put_down_to_what_is_new(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], type_url: str
) -> None:
    """Types are tried in the order in which Envoys are sent them."""
    good = snapshots("a.example.org")
    bad = snapshots("a.example.org", f"{SPOILT}.example.org", translator=spoiling(type_name, spoil))
    first, second = await found(envoy_binary, good, bad)
    assert first == Finding(fleet="default", version=good.of("").version)
    assert (second.version, second.type_url) == (bad.of("").version, type_url)
    assert second.message
    assert [(name, before) for name, _, before in second.suspects] == [
        ("http", good.of("").of(ROUTE)["http"].version) if type_url == ROUTE else ("s2", "")
    ]


@pytest.mark.envoy
async def test_endpoints_that_change_alone_are_put_down_to_themselves(envoy_binary: Path) -> None:
    """Their cluster is as it was."""
    host = f"{SPOILT}.example.org"
    good, bad = snapshots(host), snapshots(host, translator=spoiling("endpoints", spoil_endpoints))
    _, finding = await found(envoy_binary, good, bad)
    assert finding.type_url == ENDPOINT
    assert [name for name, *_ in finding.suspects] == ["s1"]


@pytest.mark.envoy
async def test_the_culprit_is_held_back_where_no_proxy_says_so(envoy_binary: Path, tmp_path: Path) -> None:
    """Of several new services that one alone, and the problem says who minds it."""
    labels = "x-tasks: [10.0.0.1], deploy: {labels: {xds.port: 80, xds.hosts"
    hosts = {"one": "one.example.org", "two": f"{SPOILT}.example.org", "three": "three.example.org"}
    lines = ["services:", *(f"  {name}: {{image: app, {labels}: {host}}}}}}}" for name, host in hosts.items())]
    (tmp_path / "stack.yml").write_text("\n".join(lines), encoding="utf-8")
    settings = Settings(
        source="compose", files=(tmp_path / "stack.yml",), listen="127.0.0.1:0", envoy_binary=envoy_binary
    )
    published: list[Any] = []
    translator = spoiling("clusters", spoil_cluster_alone)
    source = ComposeSource(settings.files, {})
    app = App(settings, source, translator=translator, on_published=published.append)
    tasks = [asyncio.create_task(each) for each in (app.follow(), app.examiner.run())]
    try:
        async with asyncio.timeout(30):
            while not published or not published[-1].build.problems:
                await asyncio.sleep(0.01)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    (problem,) = published[-1].build.problems
    assert (problem.kind, problem.service) == (Kind.REJECTED, "stack_two")
    assert problem.reason.startswith('proxy "envoy --mode validate" of fleet "default" rejects the Cluster: ')
    assert published[-1].build.snapshots.of("").of(CLUSTER).keys() == {"stack_one", "stack_three"}


def gone(*paths: str) -> bool:
    """Whether none of these is there any more."""
    return not any(Path(path).exists() for path in paths)


def script(folder: Path, *lines: str) -> Path:
    """Return a program that stands in for Envoy; its fourth argument is the file."""
    path = folder / "envoy"
    path.write_text("\n".join(("#!/bin/sh", *lines)), encoding="utf-8")
    path.chmod(0o755)
    return path


async def test_keys_are_in_a_file_that_nobody_else_reads_and_that_is_gone_afterwards(tmp_path: Path) -> None:
    """Also from a folder that nobody else enters."""
    seen = tmp_path / "seen"
    binary = script(tmp_path, f'stat -c %a "$4" "$(dirname "$4")" > {seen}', f'echo "$4" >> {seen}')
    (finding,) = await found(binary, snapshots("a.example.org"))
    assert finding.type_url == ""
    file_mode, folder_mode, path = seen.read_text(encoding="utf-8").split()
    assert (int(file_mode, 8), int(folder_mode, 8)) == (stat.S_IRUSR | stat.S_IWUSR, stat.S_IRWXU)
    assert gone(path, str(Path(path).parent))


async def test_one_that_is_stuck_is_ended_and_the_next_is_examined(tmp_path: Path) -> None:
    """It holds up nothing but itself, and leaves nothing."""
    seen, again = tmp_path / "seen", tmp_path / "again"
    binary = script(tmp_path, f"[ -e {again} ] && exit 0", f'echo "$$ $4" > {seen}', f"touch {again}", "exec sleep 600")
    findings: asyncio.Queue[Finding] = asyncio.Queue()
    examiner = Examiner(binary, 0.5, findings.put_nowait)
    running = asyncio.create_task(examiner.run())
    try:
        with capture_logs() as logs:
            examiner.want(snapshots("a.example.org"))
            async with asyncio.timeout(30):
                while not logs:
                    await asyncio.sleep(0.005)
            assert logs[0]["event"] == "examination.too_long"
            if not again.exists():
                again.touch()
            wanted = snapshots("b.example.org")
            async with asyncio.timeout(30):
                while findings.empty():
                    examiner.want(wanted)
                    await asyncio.sleep(0.05)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert findings.get_nowait().version == wanted.of("").version
    if seen.exists():
        number, path = seen.read_text(encoding="utf-8").split()
        assert gone(f"/proc/{number}", path)


async def test_no_private_key_is_in_what_it_says(tmp_path: Path) -> None:
    """Whatever Envoy repeats of its configuration."""
    key = authority().key.decode()
    said = tmp_path / "said"
    said.write_text(f"error initializing configuration '/x': bad: {key}", encoding="utf-8")
    binary = script(tmp_path, f"cat {said} >&2", "exit 1")
    (finding,) = await found(binary, snapshots("a.example.org"))
    assert finding.message == "bad: [redacted]"
    assert "PRIVATE" not in repr(finding)


async def test_a_binary_that_is_none_is_told_and_nothing_more(tmp_path: Path) -> None:
    """The control plane goes on without it."""
    findings: list[Finding] = []
    examiner = Examiner(tmp_path / "none", 1, findings.append)
    running = asyncio.create_task(examiner.run())
    with capture_logs() as logs:
        examiner.want(snapshots("a.example.org"))
        async with asyncio.timeout(10):
            while not logs:
                await asyncio.sleep(0.005)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert logs[0]["event"] == "examination.failed"
    assert findings == []
