"""What commands say, and write outside of key files, has no line of a key in it, and neither has the tree."""

import subprocess
from pathlib import Path

from support.certificates import authority, secret_lines
from support.command import command
from support.engine import FakeEngine

ROOT = Path(__file__).parent.parent


def test_no_command_shows_a_key(tmp_path: Path) -> None:
    """Of our own certificates: made, published, refused by the engine, renewed, spoilt, given to a proxy."""
    pki, said = tmp_path / "pki", ""
    with FakeEngine() as engine:
        docker = ("--docker", "--docker-host", engine.url)
        calls: list[tuple[str, ...]] = [
            ("pki", "init", str(pki), *docker),
            ("pki", "renew", str(pki), "--all", *docker),
            ("pki", "renew", str(pki), "--authority", *docker),
        ]
        files = [str(pki / f"fleet-default.{ending}") for ending in ("crt", "key")]
        calls.append(("bootstrap", "--ca", str(pki / "ca.crt"), "--cert", files[0], "--key", files[1]))
        keys: set[str] = set()
        for number, call in enumerate(calls):
            if number == 1:
                engine.fail(status=500, for_path="/secrets/create", method="POST")
            result = command(*call)
            said += result.stdout + result.stderr
            keys |= lines(pki)
        (pki / "relay.key").write_bytes((pki / "relay.key").read_bytes()[:-40])
        (pki / "ca.key").write_bytes((pki / "fleet-default.key").read_bytes())
        spoilt = command("pki", "renew", str(pki), "--all", *docker)
        said += spoilt.stdout + spoilt.stderr + str(engine.asked) + str(engine.written)
    for path in pki.iterdir():
        if path.suffix != ".key":
            said += path.read_text(encoding="utf-8")
    assert "made to fail" in said
    assert "none of the authorities" in said
    assert len(keys) >= 2 * 5
    assert not [line for line in keys if line in said]


def lines(folder: Path) -> set[str]:
    """Return the secret lines of all keys in a folder."""
    return {line for path in folder.glob("*.key") for line in secret_lines(path.read_text(encoding="utf-8"))}


def test_no_key_is_in_the_tree() -> None:
    """Neither in golden files nor elsewhere: tests make theirs anew."""
    words = authority().key.splitlines()[0].decode()
    found = subprocess.run(
        [
            "git",
            "grep",
            "--untracked",
            "-l",
            "--fixed-strings",
            "-e",
            words,
            "--",
            "tests/golden",
            "docs",
            "deploy",
            "envoy",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.stdout, found.stderr) == ("", "")
