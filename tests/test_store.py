"""The file of the last good snapshots: whole at any time, read back equal, and never believed when it is damaged."""

import asyncio
import errno
import hashlib
import json
import math
import os
import stat
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from support.engine import FakeEngine
from support.ports import free_port
from support.world import HOSTS, PORT
from support.xds_client import PATIENCE, Client
from swarm_xds import store
from swarm_xds.app import App
from swarm_xds.observe import Standing
from swarm_xds.operations import Operations
from swarm_xds.settings import Settings
from swarm_xds.snapshot import ADS_ORDER, CLUSTER, SECRET, Resource, Resources, Snapshot, Snapshots
from swarm_xds.snapshot.kept import SCHEMA, DamagedError, Failure, Kept, dump, parse
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints
from swarm_xds.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def these(*names: str) -> Snapshots:
    """Return snapshots with clusters of these names, which are not real ones."""
    clusters = Resources(Resource.of(name, name.encode()) for name in names)
    return Snapshots(fleets={"default": Snapshot({CLUSTER: clusters})}, empty=Snapshot(), default="default")


def secret_named(name: str) -> bytes:
    """Return a secret, which alone of all types is looked into."""
    return secret_pb2.Secret(name=name).SerializeToString(deterministic=True)


SNAPSHOT = st.builds(
    lambda types: Snapshot(
        {
            url: Resources(
                Resource.of(name, secret_named(name) if url == SECRET else value, ttl)
                for name, (value, ttl) in items.items()
            )
            for url, items in types.items()
        }
    ),
    st.dictionaries(
        st.sampled_from(ADS_ORDER),
        st.dictionaries(st.text(max_size=8), st.tuples(st.binary(max_size=20), st.sampled_from((0, 60))), max_size=3),
        max_size=3,
    ),
)
SNAPSHOTS = st.builds(
    Snapshots, fleets=st.dictionaries(st.text(max_size=8), SNAPSHOT, max_size=3), empty=SNAPSHOT, default=st.text()
)


@given(snapshots=SNAPSHOTS)
def test_what_is_written_is_read_back_equal(snapshots: Snapshots) -> None:
    """Versions included, so that Envoys are sent nothing; and equal content is equal bytes."""
    kept = Kept(snapshots=snapshots, written=NOW)
    assert parse(dump(kept)) == kept
    for fleet, snapshot in snapshots.fleets.items():
        assert parse(dump(kept)).snapshots.of(fleet or "x").version == snapshots.of(fleet or "x").version
        assert snapshot.version


@given(data=st.data())
def test_damage_anywhere_is_noticed(data: st.DataObject) -> None:
    """Cut off, a byte changed, or something else altogether."""
    content = dump(Kept(snapshots=these("a", "b"), written=NOW))
    place = data.draw(st.integers(0, len(content) - 1))
    cut, changed = content[:place], bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    for damaged in (cut, data.draw(st.binary(max_size=50))):
        with pytest.raises(DamagedError):
            parse(damaged)
    # Spaces in its head mean nothing.
    with suppress(DamagedError):
        assert parse(bytes(changed)).snapshots == these("a", "b")


def test_another_schema_is_not_read() -> None:
    """One of the future, or of a past that means something else."""
    content = dump(Kept(snapshots=these("a"), written=NOW))
    with pytest.raises(DamagedError, match="schema"):
        parse(content.replace(f'"schema": {SCHEMA}'.encode(), b'"schema": 77'))


def _body(type_url: str, resource: object) -> bytes:
    """Return the content, without its head, of a file with one resource."""
    fleets = {"default": {type_url: {"a": resource}}}
    return json.dumps({"default": "", "empty": {}, "fleets": fleets, "written": NOW.isoformat()}).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="nested without an end"),
        pytest.param(
            b'{"default": "", "empty": {}, "fleets": {}, "written": "2026-01-02T03:04:05"}', id="a time of no zone"
        ),
        pytest.param(_body(SECRET, b64encode(b"no secret").decode()), id="a secret that is none"),
        pytest.param(_body(CLUSTER, ["", math.inf]), id="a lifetime without an end"),
    ],
)
def test_what_no_version_wrote_is_damaged_whatever_its_checksum(body: bytes) -> None:
    """A control plane starts all the same."""
    head = json.dumps({"schema": SCHEMA, "sha256": hashlib.sha256(body).hexdigest()}).encode()
    for content in (head + b"\n" + body, body):
        with pytest.raises(DamagedError):
            parse(content)


def files(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return [each.name for each in folder.iterdir()]


async def written(store_: Store, snapshots: Snapshots) -> None:
    """Keep snapshots and have them written."""
    store_.keep(snapshots)
    await store_.flush()


async def test_the_file_is_its_owners_only_and_replaced_in_one_step(tmp_path: Path) -> None:
    """It may hold keys, and a reader sees the old or the new one."""
    path = tmp_path / "snapshot"
    kept = Store(path, now=lambda: NOW)
    assert kept.restore() is None
    await written(kept, these("a"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat().st_ino
    await written(kept, these("a"))
    assert path.stat().st_ino == before, "nothing new, nothing written"
    await written(kept, these("a", "b"))
    assert path.stat().st_ino != before
    assert Store(path).restore() == Kept(snapshots=these("a", "b"), written=NOW)
    assert files(tmp_path) == ["snapshot"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense\n", None])
async def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: bytes | None) -> None:
    """Never trusted, and not lost: somebody may want to look at it."""
    path = tmp_path / "snapshot"
    await written(Store(path), these("a"))
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    with capture_logs() as logs:
        assert Store(path).restore() is None
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("snapshot.damaged", "error")
    assert files(tmp_path) == ["snapshot.damaged"]
    await written(Store(path), these("a"))
    assert Store(path).restore() is not None


def test_two_that_write_at_once_do_not_share_what_they_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as two containers on one volume, whose processes have one number: the last has the file, and it is whole."""
    path, fsync = tmp_path / "snapshot", os.fsync

    def meanwhile(handle: int) -> None:
        monkeypatch.setattr(store.os, "fsync", fsync)
        store.write(path, b"inner")
        fsync(handle)

    monkeypatch.setattr(store.os, "fsync", meanwhile)
    store.write(path, b"outer")
    assert path.read_bytes() == b"outer"
    assert files(tmp_path) == ["snapshot"]


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once; what comes when there is room again is kept."""
    path = tmp_path / "snapshot"
    kept = Store(path)
    await written(kept, these("a"))
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", _full)
        for name in "bcd":
            await written(kept, these(name))
    assert [entry["event"] for entry in logs] == ["snapshot.not_kept"]
    assert files(tmp_path) == ["snapshot"]
    restored = Store(path).restore()
    assert restored is not None
    assert restored.snapshots == these("a")
    await written(kept, these("e"))
    restored = Store(path).restore()
    assert restored is not None
    assert restored.snapshots == these("e")


async def test_only_the_latest_is_written(tmp_path: Path) -> None:
    """A busy swarm costs one writing a second at most."""
    path = tmp_path / "snapshot"
    kept = Store(path, pause=60)
    run = asyncio.create_task(kept.run())
    try:
        kept.keep(these("first"))
        await _until(path.exists)
        for number in range(100):
            kept.keep(these(str(number)))
        first = Store(path).restore()
        assert first is not None
        assert first.snapshots == these("first")
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    await kept.flush()
    last = Store(path).restore()
    assert last is not None
    assert last.snapshots == these("99")


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fact():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def control_plane(engine: FakeEngine, path: Path, after: float = 0.1) -> AsyncIterator[tuple[App, int, str]]:
    """A control plane on an engine, which keeps what it serves; its port and the address of its metrics."""
    settings = Settings(
        listen="127.0.0.1:0",
        metrics_listen=f"127.0.0.1:{free_port()}",
        debug_listen="",
        snapshot_file=path,
        snapshot_after_seconds=after,
    )
    timings = Timings(slow=0.3, retry_cap=0.2)
    source = DockerSource(find_endpoints([engine.url]), fleet_networks=(("default", ("edge",)),), timings=timings)
    app = App(settings, source)
    port = await app.start()
    operations = Operations(settings, app.record, source, None)
    await operations.start()
    tasks = [asyncio.create_task(app.follow()), asyncio.create_task(app.keep())]
    try:
        yield app, port, f"http://{settings.metrics_listen}"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await operations.stop()
        await app.stop()


async def _health(port: int) -> int:
    """Return what gRPC's health service says."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status


async def test_a_control_plane_without_a_manager_serves_what_it_kept(tmp_path: Path) -> None:
    """It says how old that is; and what a manager says takes its place, once there is one."""
    path = tmp_path / "snapshot"
    with FakeEngine() as engine:
        network = engine.add_network("edge")
        labels = {HOSTS: "shop.example.org", PORT: "80"}
        engine.add_service("shop", labels=labels, networks=[network], tasks=1)
        async with control_plane(engine, path) as (app, _, _):
            version = (await app.publisher.published()).of("").version
        restored = store.read(path)
        assert restored.snapshots.of("").version == version
        engine.stop()
        with capture_logs() as logs:
            async with control_plane(engine, path) as (app, port, url), httpx.AsyncClient(base_url=url) as client:
                assert app.publisher.latest is None
                async with asyncio.timeout(PATIENCE):
                    assert (await app.publisher.published()).of("").version == version
                assert app.record.restored == restored.written
                since = restored.written.isoformat(timespec="seconds")
                told = {
                    "status": "last-good",
                    "reasons": [f"the source was not read yet: serving the last good from {since}"],
                }
                for page in ("/readyz", "/healthz"):
                    found = await client.get(page)
                    assert (found.status_code, found.json()) == (200, told)
                assert await _health(port) == health_pb2.HealthCheckResponse.SERVING
                async with Client(port, variant="delta") as proxy:
                    assert (await proxy.have(CLUSTER)).names == ("shop",)
                    await _until(lambda: app.record.members[0].standing is Standing.CURRENT)
                (entry,) = [each for each in logs if each["event"] == "snapshot.restored"]
                assert entry["log_level"] == "warning"
                assert timedelta(seconds=entry["age_seconds"] - 0.5) <= datetime.now(UTC) - restored.written
                engine.start()
                engine.add_service("other", labels={**labels, HOSTS: "b.example.org"}, networks=[network], tasks=1)
                await _until(lambda: app.record.restored is None)
                assert (await client.get("/healthz")).json() == {"status": "well", "reasons": []}
                await _until(lambda: "other" in app.publisher.latest.of("").of(CLUSTER))


async def test_a_control_plane_with_a_manager_serves_the_present_only(tmp_path: Path) -> None:
    """What it kept is of the past: tasks in it may be gone."""
    path = tmp_path / "snapshot"
    await written(Store(path), these("past"))
    with FakeEngine() as engine:
        engine.add_network("edge")
        async with control_plane(engine, path, after=30) as (app, _, _):
            async with asyncio.timeout(PATIENCE):
                snapshots = await app.publisher.published()
            assert list(snapshots.of("").of(CLUSTER)) == []
            assert app.record.restored is None


@pytest.mark.parametrize(
    ("listen", "insecure", "served"),
    [
        pytest.param("127.0.0.1:0", {}, True, id="loopback"),
        pytest.param("0.0.0.0:0", {"insecure_xds": True}, False, id="any address, not encrypted"),
        pytest.param("0.0.0.0:0", {"insecure_xds": True, "insecure_xds_secrets": True}, True, id="asked for by name"),
    ],
)
async def test_private_keys_in_the_file_go_out_only_where_they_may(
    tmp_path: Path, listen: str, insecure: dict[str, bool], served: bool
) -> None:
    """Also if they might when it was written, before the settings were changed."""
    key = secret_pb2.Secret(name="certificate/a")
    key.tls_certificate.private_key.inline_string = "its key"
    secrets = Resources([Resource.of(key.name, key.SerializeToString(deterministic=True))])
    fleets = {"default": Snapshot({SECRET: secrets})}
    await written(Store(tmp_path / "snapshot"), Snapshots(fleets=fleets, empty=Snapshot(), default="default"))
    settings = Settings(
        source="compose",
        files=(tmp_path / "none.yml",),
        listen=listen,
        snapshot_file=tmp_path / "snapshot",
        snapshot_after_seconds=0,
        **insecure,
    )
    app = App(settings, ComposeSource(settings.files, {}))
    keep = asyncio.create_task(app.keep())
    try:
        with capture_logs() as logs:
            await _until(lambda: bool(logs))
    finally:
        keep.cancel()
        await asyncio.gather(keep, return_exceptions=True)
    assert [each["event"] for each in logs] == ["snapshot.restored" if served else "snapshot.withheld"]
    assert (app.publisher.latest is not None) is served


@pytest.mark.parametrize("failure", ["damaged", "not_written"])
async def test_a_file_of_no_use_is_counted_and_stands_in_no_ones_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """What is read is served all the same, and nothing is left lying about."""
    path = tmp_path / "snapshot"
    path.write_bytes(b"nonsense")
    if failure == "not_written":
        path.unlink()
        monkeypatch.setattr(store.os, "fsync", _full)
    with FakeEngine() as engine:
        engine.add_network("edge")
        async with control_plane(engine, path) as (app, port, url), httpx.AsyncClient(base_url=url) as client:
            async with asyncio.timeout(PATIENCE):
                await app.publisher.published()
            await _until(lambda: app.record.totals.file_failures)
            assert await _health(port) == health_pb2.HealthCheckResponse.SERVING
            assert (await client.get("/readyz")).json() == {"status": "well", "reasons": []}
            counted = [line for line in (await client.get("/metrics")).text.splitlines() if "_failures_total{" in line]
            assert {line for line in counted if not line.endswith(" 0.0")} == {
                f'swarm_xds_snapshot_file_failures_total{{failure="{failure}"}} 1.0'
            }
            if failure == "damaged":
                await _until(path.exists)
                assert sorted(files(tmp_path)) == ["snapshot", "snapshot.damaged"]
            else:
                assert files(tmp_path) == []


async def test_what_a_killed_process_began_to_write_is_taken_away(tmp_path: Path) -> None:
    """And the file that it would have replaced is whole."""
    path = tmp_path / "snap[shot]"
    await written(Store(path), these("a"))
    for name in (".snap[shot].12345", ".other.1"):
        (tmp_path / name).write_bytes(b"half")
    assert Store(path).restore() is not None
    assert sorted(files(tmp_path)) == [".other.1", "snap[shot]"]


async def test_a_file_that_could_not_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing changes any more."""
    path = tmp_path / "snapshot"
    failures: list[Failure] = []
    kept = Store(path, pause=0, retry=0.01, on_failure=failures.append)
    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", _full)
        run = asyncio.create_task(kept.run())
        kept.keep(these("a"))
        await _until(lambda: len(failures) > 2)
    try:
        await _until(path.exists)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert set(failures) == {Failure.NOT_WRITTEN}
