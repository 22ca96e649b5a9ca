"""The source on real files: what it yields after each kind of change, and what it never shows."""

import asyncio
import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.certificates import Issued, authority, secret_lines
from support.following import SECONDS, Following
from swarm_xds.certs import choose, directory
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.parse import MAX_SIZE

HOST = "a.example.org"
CA = authority()
ONE = CA.issue(HOST, days=(-30, 60))
TWO = CA.issue(HOST, days=(-1, 90))


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a directory looked at ten times as often, with and without a notice."""
    monkeypatch.setattr(directory, "_LOOK_AGAIN", 50)
    monkeypatch.setattr(directory, "_RETRY_SECONDS", 0.1)


def follow(path: Path) -> Following[CertificatesReading]:
    """Return a source and its readings one by one."""
    return Following(CertificateDirectory(path).readings())


def write(path: Path, issued: Issued) -> None:
    """Write a pair in place, the certificate first."""
    path.with_suffix(".crt").write_bytes(issued.cert)
    path.with_suffix(".key").write_bytes(issued.key)


def serves(reading: CertificatesReading, issued: Issued) -> bool:
    """Return whether the host is served with a certificate."""
    found = choose.for_host(reading.certificates, HOST)
    return found is not None and found.chain.pem == issued.cert


@pytest.mark.usefixtures("often")
async def test_a_pair_is_read_and_rotated(tmp_path: Path) -> None:
    """In place, one file after the other."""
    write(tmp_path / "site", ONE)
    following = follow(tmp_path)
    first = await following.next()
    assert serves(first, ONE)
    assert not first.problems
    assert [material.name for material in first.certificates.materials] == ["site.crt", "site.key"]
    write(tmp_path / "site", TWO)
    reading = await following.until(lambda reading: serves(reading, TWO))
    assert not reading.problems


async def test_a_rotation_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look without a notice would be a minute away."""
    monkeypatch.setattr(directory, "_LOOK_AGAIN", 60_000)
    write(tmp_path / "site", ONE)
    following = follow(tmp_path)
    await following.next()

    def rotate() -> Issued:
        fresh = CA.issue(HOST, key=ONE.private_key)
        (tmp_path / "next").write_bytes(fresh.pair)
        (tmp_path / "next").replace(tmp_path / "site.crt")
        return fresh

    second = asyncio.ensure_future(following.next())
    while not second.done():  # the first rotations may come before anybody watches
        rotate()
        await asyncio.wait({second}, timeout=0.05)
    await second
    for _ in range(5):
        fresh = rotate()
        await following.until(lambda reading, fresh=fresh: serves(reading, fresh))


@pytest.mark.usefixtures("often")
async def test_links_of_a_mounted_secret_that_lead_elsewhere(tmp_path: Path) -> None:
    """As Kubernetes swaps them: ``tls.crt`` leads through ``..data``, which is replaced at once."""
    for name, issued in (("..2026_1", ONE), ("..2026_2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(issued.cert)
        (tmp_path / name / "tls.key").write_bytes(issued.key)
    (tmp_path / "..data").symlink_to("..2026_1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    following = follow(tmp_path)
    first = await following.next()
    assert [material.name for material in first.certificates.materials] == ["tls.crt", "tls.key"]
    (tmp_path / "..next").symlink_to("..2026_2")
    os.replace(tmp_path / "..next", tmp_path / "..data")  # noqa: PTH105 - the link itself
    reading = await following.next()
    assert serves(reading, TWO)
    assert not reading.problems


@pytest.mark.usefixtures("often")
async def test_links_of_certbot(tmp_path: Path) -> None:
    """``live/<host>/*.pem`` lead to ``archive``, where nobody watches, and are replaced one by one."""
    archive, live = tmp_path / "archive" / HOST, tmp_path / "live" / HOST
    archive.mkdir(parents=True)
    live.mkdir(parents=True)
    (live.parent / "README").write_text("This directory contains your keys and certificates.", encoding="utf-8")
    middle = CA.issue(subject="Middle", ca=True)
    issued = [middle.issue(HOST, days=days) for days in ((-60, 30), (-1, 90))]
    for number, each in enumerate(issued, 1):
        contents = {"cert": each.cert, "privkey": each.key, "chain": middle.cert, "fullchain": each.cert + middle.cert}
        for name, content in contents.items():
            (archive / f"{name}{number}.pem").write_bytes(content)
            link = live / f"{name}.pem"
            if number == 1:
                link.symlink_to(f"../../archive/{HOST}/{name}1.pem")
    following = follow(live.parent)
    first = await following.next()
    assert [each.name for each in first.certificates.certificates] == [f"{HOST}/fullchain.pem"]
    assert not first.problems
    for name in ("cert", "privkey", "chain", "fullchain"):
        (live / f"{name}.pem").unlink()
        (live / f"{name}.pem").symlink_to(f"../../archive/{HOST}/{name}2.pem")
    wanted = issued[1].cert + middle.cert
    reading = await following.until(
        lambda reading: any(each.chain.pem == wanted for each in reading.certificates.certificates)
    )
    assert len(reading.certificates.certificates) == 1


@pytest.mark.usefixtures("often")
async def test_a_write_that_changes_nothing_is_no_reading(tmp_path: Path) -> None:
    """The content counts, not the time; and what is no certificate does not count at all."""
    write(tmp_path / "site", ONE)
    following = follow(tmp_path)
    await following.next()
    write(tmp_path / "site", ONE)
    (tmp_path / "README").write_text("x", encoding="utf-8")
    (tmp_path / ".hidden.pem").write_bytes(b"x")
    (tmp_path / "site.crt~").write_bytes(TWO.pair)
    await following.nothing(0.3)


@pytest.mark.usefixtures("often")
async def test_a_directory_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """Nothing is yielded until then, so that nobody takes it for a directory without certificates."""
    path = tmp_path / "certs"
    pending = asyncio.ensure_future(follow(path).until(lambda reading: serves(reading, ONE)))
    with capture_logs() as events:
        async with asyncio.timeout(SECONDS):
            while [event["event"] for event in events].count("certs.unwatched") < 3:
                await asyncio.sleep(0.01)
        assert not pending.done()
    assert [event["event"] for event in events].count("certs.waiting") == 1
    path.mkdir()
    write(path / "site", ONE)
    await pending


@pytest.mark.usefixtures("often")
async def test_a_directory_that_goes_away_keeps_what_it_held(tmp_path: Path) -> None:
    """And is told."""
    path = tmp_path / "certs"
    path.mkdir()
    write(path / "site", ONE)
    following = follow(path)
    await following.next()
    path.rename(tmp_path / "away")
    reading = await following.until(lambda reading: bool(reading.problems))
    assert serves(reading, ONE)
    assert [(each.source, each.reason) for each in reading.problems] == [
        (str(path), "cannot be read: No such file or directory")
    ]
    (tmp_path / "away").rename(path)
    assert not (await following.next()).problems


def read(source: CertificateDirectory) -> CertificatesReading:
    """Return what a source reads now; it has to be something new."""
    reading = source.read()
    assert reading is not None
    return reading


def test_odd_files(tmp_path: Path) -> None:
    """Pipes are not waited for, links that lead nowhere are told, large files are not read whole."""
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "nowhere.pem").symlink_to("gone.pem")
    (tmp_path / "loop.pem").symlink_to("loop.pem")
    (tmp_path / "large.pem").write_bytes(b"x" * 1024 * 1024)
    (tmp_path / "folder.pem").mkdir()
    (tmp_path / "folder.pem" / "deeper").mkdir()
    (tmp_path / "folder.pem" / "deeper" / "site.pem").write_bytes(TWO.pair)
    (tmp_path / "up").symlink_to("..")
    write(tmp_path / "site", ONE)
    reading = read(CertificateDirectory(tmp_path))
    assert serves(reading, ONE)
    assert [(Path(each.source).name, each.reason) for each in reading.problems] == [
        ("large.pem", f"it is larger than {MAX_SIZE} bytes"),
        ("loop.pem", "it cannot be read: Too many levels of symbolic links"),
        ("nowhere.pem", "it cannot be read: No such file or directory"),
    ]


def test_too_many_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first by name are read."""
    monkeypatch.setattr(directory, "MAX_FILES", 2)
    write(tmp_path / "a", ONE)
    (tmp_path / "b.pem").write_bytes(TWO.pair)
    reading = read(CertificateDirectory(tmp_path))
    assert serves(reading, ONE)
    assert [each.reason for each in reading.problems] == ["it has more than 2 files; the others are not read"]


def test_a_file_is_read_again_only_if_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But also when it keeps its size and its time, as long as it is fresh."""
    opened: list[str] = []
    content = directory._content

    def count(path: Path) -> bytes:
        opened.append(path.name)
        return content(path)

    monkeypatch.setattr(directory, "_content", count)
    (tmp_path / "site.pem").write_bytes(ONE.pair)
    source = CertificateDirectory(tmp_path)
    assert source.read() is not None
    assert source.read() is None
    assert opened == ["site.pem"] * 2
    monkeypatch.setattr(directory, "_FRESH", -1)
    for _ in range(3):
        assert source.read() is None
    assert opened == ["site.pem"] * 3
    (tmp_path / "site.pem").write_bytes(TWO.pair)
    assert serves(read(source), TWO)
    assert opened == ["site.pem"] * 4


def test_time_alone_makes_a_reading(tmp_path: Path) -> None:
    """When a certificate is about to expire, and when it does."""
    (tmp_path / "site.pem").write_bytes(ONE.pair)
    now = time.time()
    source = CertificateDirectory(tmp_path, lambda: now)
    assert serves(read(source), ONE)
    now += 47 * 86_400
    soon = read(source)
    assert (soon.cause, serves(soon, ONE), len(soon.problems)) == ("the time", True, 1)
    assert source.read() is None
    now += 14 * 86_400
    ended = read(source)
    assert (serves(ended, ONE), ended.certificates.materials[0].reason[:15]) == (False, "it has expired ")


def test_nothing_that_is_told_shows_a_key(tmp_path: Path) -> None:
    """Whatever of it is broken: no problem, log, exception or text of any object holds a line of a key."""
    key_lines = [*secret_lines(ONE.key), *secret_lines(TWO.key)]
    source = CertificateDirectory(tmp_path)
    told = ""
    with capture_logs() as events:
        for content in (
            ONE.pair,
            ONE.cert + TWO.key,
            ONE.key[:-5],
            ONE.key + TWO.key,
            ONE.key.replace(b"PRIVATE", b"OTHER"),
            b"x" + ONE.key.replace(b"-----", b"---"),
            ONE.key_as(password=b"x"),
            TWO.key,
            TWO.pair,
        ):
            (tmp_path / "site.pem").write_bytes(content)
            reading = source.read()
            told += f"{reading} {vars(source)} {[str(each) for each in reading.problems] if reading else ''}"
    told += str(events)
    assert "PrivateKey(redacted" in told
    assert not [line for line in key_lines if line in told]


def test_what_is_not_readable_keeps_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any file that turns bad."""
    (tmp_path / "site.pem").write_bytes(ONE.pair)
    source = CertificateDirectory(tmp_path)
    read(source)

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(directory, "_content", refused)
    reading = read(source)
    assert serves(reading, ONE)
    assert [each.reason for each in reading.problems] == ["it cannot be read: Permission denied"]
    assert stat.S_ISREG((tmp_path / "site.pem").stat().st_mode)
    shutil.rmtree(tmp_path)
    assert serves(read(source), ONE)
