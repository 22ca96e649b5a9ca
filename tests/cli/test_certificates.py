"""Certificates on the command line: what is translated with them, and that no key is shown that is not asked for."""

import base64
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from support.certificates import authority
from support.command import command

STACK = """
services:
  web:
    image: app
    x-tasks: [127.0.0.1:9001]
    deploy:
      labels: {com.docker.lb.hosts: app.example.org, com.docker.lb.port: 80, com.docker.lb.ssl_cert: app.pem}
  lost:
    image: app
    x-tasks: [127.0.0.1:9001]
    deploy:
      labels: {com.docker.lb.hosts: lost.example.org, com.docker.lb.port: 80, com.docker.lb.ssl_cert: lost.pem}
"""
KEY = "PRIVATE KEY"


class Place:
    """A folder with a stack file, certificates and a key that has no certificate."""

    def __init__(self, folder: Path) -> None:
        ca = authority()
        self.stack, self.certs = folder / "stack.yml", folder / "certs"
        self.stack.write_text(STACK, encoding="utf-8")
        self.certs.mkdir()
        app, lost = ca.issue("app.example.org"), ca.issue("lost.example.org")
        (self.certs / "app.pem").write_bytes(app.pair)
        (self.certs / "lost.pem").write_bytes(ca.issue("lost.example.org").cert + lost.key)
        #: Each line of the keys' PEM, which must not be seen anywhere.
        self.material = {
            line for each in (app, lost) for line in each.key.decode().splitlines() if not line.startswith("--")
        }
        self.args = (str(self.stack), "--certs", str(self.certs))

    def shown(self, text: str) -> bool:
        """Tell whether key material is in a text."""
        # Bytes are printed as base64 of what they are.
        tokens = re.findall(r"[A-Za-z0-9+/]{40,}", re.sub(r"\s", "", text))
        decoded = [base64.b64decode(token[: len(token) // 4 * 4]) for token in tokens]
        everything = text + "".join(each.decode("latin-1") for each in decoded)
        return KEY in everything or any(line in everything for line in self.material)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One of each test's own."""
    return Place(tmp_path)


@pytest.mark.parametrize("style", ["yaml", "json"])
@pytest.mark.parametrize("static", [[], ["--static"]])
def test_translate_shows_no_key(place: Place, style: str, static: list[str]) -> None:
    """The secret is there, its key redacted; the certificate that cannot be used is told."""
    result = command("translate", *place.args, "--format", style, *static)
    assert result.returncode == 1
    assert not place.shown(result.stdout + result.stderr)
    assert "[redacted]" in result.stdout
    assert "lost.pem" in result.stderr
    document = yaml.safe_load(result.stdout)
    resources = document["static_resources"] if static else document
    assert [each["name"] for each in resources["secrets"]] == ["certificate/app.example.org"]


@pytest.mark.envoy
def test_a_complete_configuration_is_written_for_its_owner_only(
    place: Place, tmp_path: Path, envoy_binary: Path
) -> None:
    """It runs, so keys are in it; to standard output they go only if that is asked for by name."""
    output = tmp_path / "envoy.yaml"
    output.write_text("what was there before", encoding="utf-8")
    output.chmod(0o644)
    result = command("translate", *place.args, "--static", "--output", str(output))
    assert (result.stdout, stat.S_IMODE(output.stat().st_mode)) == ("", 0o600)
    assert not place.shown(result.stderr)
    text = output.read_text(encoding="utf-8")
    assert place.shown(text)
    assert {path.name for path in tmp_path.iterdir()} == {"envoy.yaml", "stack.yml", "certs"}
    validation = [str(envoy_binary), "--mode", "validate", "-c", str(output)]
    assert subprocess.run(validation, capture_output=True, check=False, timeout=60).returncode == 0
    assert command("translate", *place.args, "--static", "--print-private-keys").stdout == text


def test_wrong_use_is_told(place: Place, tmp_path: Path) -> None:
    """Keys where there are none to print; a directory that is not there; a file that cannot be written."""
    assert command("translate", *place.args, "--print-private-keys").returncode == 2
    assert command("translate", *place.args, "--static", "--https-port", "80").returncode == 2
    twice = command("serve", "--source", "compose", str(place.stack), "--https-port", "80")
    assert (twice.returncode, "same as http_port" in twice.stderr) == (2, True)
    missing = command("translate", str(place.stack), "--certs", str(tmp_path / "nowhere"))
    assert (missing.returncode, "nowhere" in missing.stderr) == (1, True)
    unwritable = command("translate", *place.args, "--static", "--output", str(tmp_path / "no" / "envoy.yaml"))
    assert (unwritable.returncode, "cannot write" in unwritable.stderr) == (1, True)


@pytest.mark.parametrize("style", ["console", "json"])
def test_serve_writes_no_key(place: Place, style: str) -> None:
    """Not in its log at the lowest level, in no form of it, while certificates are served, bad and rotated."""
    listens = ("--listen", "127.0.0.1:0", "--metrics-listen", "", "--debug-listen", "")
    args = ("serve", "--source", "compose", *place.args, *listens)
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "swarm-xds"), *args, "--log-level", "debug", "--log-format", style],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    try:
        end = time.monotonic() + 20
        for line in process.stdout:
            lines.append(line)
            assert time.monotonic() < end
            if "snapshot.published" in line and "broken" not in line:
                (place.certs / "broken.pem").write_bytes((place.certs / "app.pem").read_bytes()[:-200])
            if "broken.pem" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        lines += process.stdout.readlines()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    text = "".join(lines)
    assert "bad-certificate" in text
    assert not place.shown(text)
