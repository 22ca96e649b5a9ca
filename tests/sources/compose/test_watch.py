"""The source on real files: what it yields after each kind of change."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.following import Following
from swarm_xds.problem import Kind
from swarm_xds.sources import Reading
from swarm_xds.sources.compose import ComposeSource, watch
from swarm_xds.swarm import Service

SECONDS = 10


def text(host: str = "a.example.org", extra: str = "") -> str:
    """Return a stack file with one service."""
    return f"services:\n  web:\n    image: app\n    deploy: {{labels: {{xds.hosts: {host}, xds.port: 80}}}}\n{extra}"


def follow(*paths: Path) -> Following[Reading]:
    """Return a source and its readings one by one."""
    return Following(ComposeSource(paths, {}).readings())


def service(reading: Reading, name: str = "shop_web") -> Service:
    """Return a service of a reading."""
    return next(each for each in reading.state.services if each.name == name)


def host(reading: Reading, name: str = "shop_web") -> str:
    """Return a service's host."""
    return dict(service(reading, name).labels)["xds.hosts"]


def write(path: Path, content: str) -> None:
    """Write a file in place."""
    path.write_text(content, encoding="utf-8")


def remove(path: Path) -> None:
    """Take a file away."""
    path.unlink()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files looked at ten times as often, with and without a notice: a test writes before anybody watches."""
    monkeypatch.setattr(watch, "_LOOK_AGAIN", 50)
    monkeypatch.setattr(watch, "_RETRY_SECONDS", 0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good stack file."""
    path = tmp_path / "shop.yml"
    write(path, text())
    return path


async def test_an_edit_in_place_is_read(path: Path) -> None:
    """The first reading comes at once, the next one after the edit."""
    following = follow(path)
    first = await following.next()
    assert host(first) == "a.example.org"
    assert not first.problems
    write(path, text("b.example.org"))
    reading = await following.until(lambda reading: host(reading) == "b.example.org")
    assert reading.cause == f"{path} changed"


async def test_an_edit_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look without a notice would be a minute away."""
    monkeypatch.setattr(watch, "_LOOK_AGAIN", 60_000)
    following = follow(path)
    await following.next()
    second, number = asyncio.ensure_future(following.next()), 0
    while not second.done():  # the first edits may come before anybody watches
        number += 1
        write(path, text(f"edit{number}.example.org"))
        await asyncio.wait({second}, timeout=0.05)
    await second
    write(path, text("last.example.org"))
    await following.until(lambda reading: host(reading) == "last.example.org")


async def test_a_replacement_by_rename_is_read(path: Path) -> None:
    """As editors and configuration management write."""
    following = follow(path)
    await following.next()
    other = path.with_suffix(".new")
    write(other, text("b.example.org"))
    other.replace(path)
    assert host(await following.next()) == "b.example.org"


async def test_a_link_that_leads_elsewhere_is_read(tmp_path: Path) -> None:
    """As mounted configs are swapped: the link stays, and its target's folder is another."""
    for name, at in (("one", "a.example.org"), ("two", "b.example.org")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "shop.yml", text(at))
    (tmp_path / "current").symlink_to("one")
    path = tmp_path / "mounted"
    path.mkdir()
    (path / "shop.yml").symlink_to("../current/shop.yml")
    following = follow(path / "shop.yml")
    assert host(await following.next()) == "a.example.org"
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "current")  # noqa: PTH105 - the link itself
    assert host(await following.next()) == "b.example.org"


async def test_a_write_that_changes_nothing_is_no_reading(path: Path) -> None:
    """The content counts, not the time."""
    following = follow(path)
    await following.next()
    write(path, text())
    await following.nothing(0.2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"services:\n  web: [", "line 3", id="half written"),
        pytest.param(b"services: {web: \xff}", "not UTF-8", id="not UTF-8"),
        pytest.param(None, "cannot be read", id="gone"),
    ],
)
async def test_a_bad_file_keeps_its_last_good_content_and_recovers(
    path: Path, content: bytes | None, reason: str
) -> None:
    """The services are the same objects as before, a problem says why, and mending ends it."""
    following = follow(path)
    before = await following.next()
    if content is None:
        remove(path)
    else:
        other = path.with_suffix(".new")
        other.write_bytes(content)
        other.replace(path)
    bad = await following.until(lambda reading: any(reason in each.reason for each in reading.problems))
    assert bad.state == before.state
    assert service(bad) is service(before)
    assert [(each.kind, each.source) for each in bad.problems] == [(Kind.BAD_FILE, str(path))]
    write(path, text("b.example.org"))
    mended = await following.until(lambda reading: not reading.problems)
    assert host(mended) == "b.example.org"


async def test_a_bad_service_keeps_its_last_good_form_and_its_networks(path: Path) -> None:
    """The rest of the file is as it is now."""
    write(path, text(extra="  api:\n    networks: [front]\nnetworks: {front: {name: the-front}}\n"))
    following = follow(path)
    before = await following.next()
    write(path, text("b.example.org", extra="  api: {deploy: 5}\n"))
    bad = await following.until(lambda reading: host(reading) == "b.example.org")
    assert service(bad, "shop_api") is service(before, "shop_api")
    assert "the-front" in {network.id for network in bad.state.networks}
    assert [each.service for each in bad.problems] == ["shop_api"]
    write(path, text("b.example.org"))
    gone = await following.until(lambda reading: not reading.problems)
    assert [each.name for each in gone.state.services] == ["shop_web"]


async def test_a_bad_file_hides_no_other(path: Path) -> None:
    """What the others say is followed, and it is read as soon as it is good again."""
    other = path.with_name("other.yml")
    write(other, text("o.example.org"))
    following = follow(other, path)
    await following.next()
    write(other, "services: [")
    first = await following.until(lambda reading: bool(reading.problems))
    assert {each.name for each in first.state.services} == {"other_web", "shop_web"}
    assert [each.source for each in first.problems] == [str(other)]
    write(path, text("b.example.org"))
    await following.until(lambda reading: host(reading) == "b.example.org")
    write(other, text("p.example.org"))
    both = await following.until(lambda reading: not reading.problems)
    assert host(both, "other_web") == "p.example.org"


@pytest.mark.parametrize("content", [None, "", "services:\n\tx", "services: ["])
async def test_nothing_is_yielded_before_every_file_was_read_once(path: Path, content: str | None) -> None:
    """A restart while a file is half written takes no route away: proxies keep what they have until it is whole."""
    other = path.with_name("other.yml")
    if content is not None:
        write(other, content)
    following = follow(other, path)
    with capture_logs() as logs:
        first = asyncio.ensure_future(following.next())
        async with asyncio.timeout(SECONDS):
            while not any(each["event"] == "compose.waiting" for each in logs):
                await asyncio.sleep(0.005)
        assert not first.done()
        assert {each["source"] for each in logs if each["event"] == "compose.waiting"} == {str(other)}
        write(other, text("o.example.org"))
        assert {each.name for each in (await first).state.services} == {"other_web", "shop_web"}


async def test_a_change_leaves_other_services_the_same_objects(path: Path) -> None:
    """In the same file and in others, so that later stages skip them."""
    other = path.with_name("other.yml")
    write(other, text("o.example.org"))
    write(path, text(extra="  api: {}\n"))
    following = follow(other, path)
    before = await following.next()
    write(path, text("b.example.org", extra="  api: {}\n"))
    after = await following.until(lambda reading: host(reading) == "b.example.org")
    for name in ("other_web", "shop_api"):
        assert service(after, name) is service(before, name)


async def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """Its file is read once it is there."""
    path = tmp_path / "later" / "shop.yml"
    first = asyncio.ensure_future(follow(path).next())
    with capture_logs() as logs:
        async with asyncio.timeout(SECONDS):
            while not any(each["event"] == "compose.waiting" for each in logs):
                await asyncio.sleep(0.005)
    path.parent.mkdir()
    write(path, text())
    assert host(await first) == "a.example.org"


async def test_a_file_that_cannot_be_read_stops_the_time_of_the_last_good_reading(tmp_path: Path) -> None:
    """It goes on while nothing changes, and again when the file is mended; a reading has the time of its notice."""
    path = tmp_path / "shop.yml"
    path.write_text(text())
    source = ComposeSource([path], {})
    assert source.read_at is None
    readings = source.readings()
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(SECONDS):
        first = await anext(readings)
        at = source.read_at
        assert at is not None
        assert at == first.noticed <= now()
        path.write_text("services: [")
        while not (await anext(readings)).problems:
            pass
        stopped = source.read_at
        following = asyncio.ensure_future(anext(readings))
        await asyncio.wait({following}, timeout=0.2)  # longer than the source goes without a look
        assert not following.done()
        assert source.read_at == stopped
        path.write_text(text("b.example.org"))
        assert host(await following) == "b.example.org"
        assert source.read_at is not None
        assert stopped is not None
        assert source.read_at > stopped
