"""`swarm-xds pki` as a user calls it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import command
from support.engine import FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """A swarm."""
    with FakeEngine() as engine:
        yield engine


def test_files(tmp_path: Path) -> None:
    """Made once; what is added and what is renewed is said."""
    folder = tmp_path / "new" / "pki"
    first = command("pki", "init", str(folder), "--name", "xds.example.org")
    assert first.returncode == 0, first.stderr
    names = [line.split(",")[0] for line in first.stdout.splitlines()]
    assert names == ["made ca.crt", "made control-plane.crt", "made fleet-default.crt", "made relay.crt"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert command("pki", "init", str(folder)).stdout == "nothing to do\n"
    assert command("pki", "renew", str(folder)).stdout == "nothing to do\n"
    added = command("pki", "init", str(folder), "--fleet", "default", "--fleet", "internal")
    assert added.stdout.startswith("made fleet-internal.crt, valid until")
    alone = tmp_path / "alone"
    assert command("pki", "init", str(alone), "--fleet", "internal").returncode == 0
    alice = command("pki", "init", str(alone), "--operator", "alice")
    assert [line.split(",")[0] for line in alice.stdout.splitlines()] == ["made operator-alice.crt"], alice.stderr
    for words in ("is trusted beside", "has issued all", "is not trusted any more"):
        step = command("pki", "renew", str(folder), "--authority")
        assert (step.returncode, words in step.stdout) == (0, True), step.stdout + step.stderr


def test_secrets(tmp_path: Path, engine: FakeEngine) -> None:
    """Published with the version that the stack is to be deployed with, and taken away by uninstall."""
    args = (str(tmp_path), "--docker", "--docker-host", engine.url)
    made = command("pki", "init", *args)
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith("The secrets have version 1: deploy with PKI_VERSION=1.\n")
    assert engine.secret_names() == [
        f"swarm-xds-{name}.v1"
        for name in (
            "ca",
            "control-plane.crt",
            "control-plane.key",
            "fleet-default.crt",
            "fleet-default.key",
            "relay.crt",
            "relay.key",
        )
    ]
    assert engine.secret("swarm-xds-relay.key.v1") == (tmp_path / "relay.key").read_bytes()
    authority = (tmp_path / "ca.key").read_bytes()
    assert authority not in [engine.secret(name) for name in engine.secret_names()]
    assert "PKI_VERSION=2" in command("pki", "renew", *args, "--all").stdout
    removal = command("uninstall", "--docker-host", engine.url)
    assert (removal.returncode, removal.stdout.count("removed secret")) == (0, 14), removal.stderr
    assert engine.secret_names() == []


@pytest.mark.parametrize(
    ("args", "status", "reason"),
    [
        pytest.param(["init", ".", "--fleet", "a/b"], 2, "cannot name a fleet", id="fleet"),
        pytest.param(["init", ".", "--operator", ""], 2, "cannot name an operator", id="operator"),
        pytest.param(["renew", "."], 2, "has no authority: make one with swarm-xds pki init", id="nothing there"),
        pytest.param(["renew", "missing"], 2, "has no authority", id="no folder"),
        pytest.param(["init", "/proc/x"], 1, "/proc/x: No such file or directory", id="no place"),
        pytest.param(
            ["init", ".", "--docker", "--docker-host", "unix:///nonexistent.sock"],
            1,
            "nonexistent.sock",
            id="no engine",
        ),
    ],
)
def test_wrong_use(tmp_path: Path, args: list[str], status: int, reason: str) -> None:
    """The reason, and no stack trace."""
    result = command("pki", *args, cwd=tmp_path)
    assert result.returncode == status
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
