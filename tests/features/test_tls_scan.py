"""What a TLS scanner that nobody here wrote finds at a real Envoy: Debian's sslscan."""

import asyncio
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.certificates import authority
from support.tls_tasks import Task
from support.tls_world import tls_world

pytestmark = pytest.mark.envoy

CA = authority()
STACK = """
services:
  app:
    image: app
    x-tasks: ["${TASK}"]
    deploy: {labels: {xds.hosts: app.example.org, xds.port: 80}}
"""


async def test_a_scanner_finds_nothing_weak(envoy_binary: Path, tmp_path: Path) -> None:
    """TLS 1.2 and 1.3 alone, strong ciphers and groups alone, no compression, no insecure renegotiation."""
    scanner = shutil.which("sslscan")
    assert scanner, "no sslscan: apt-get install sslscan (debian-packages.txt)"
    certs = {"app.pem": CA.issue("app.example.org").pair}
    with Task("app", tmp_path) as task:
        world_of = tls_world(envoy_binary, tmp_path, CA, STACK, certs, environ={"TASK": task.address})
        async with world_of as world:
            address = f"127.0.0.1:{world.settings.https_port}"
            process = await asyncio.create_subprocess_exec(
                # Its own test for Heartbleed, which TLS 1.3 has not, ends it where the server is quick to close.
                *(scanner, "--xml=-", "--no-colour", "--no-heartbleed", "--sni-name=app.example.org", address),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, said = await process.communicate()
    assert process.returncode == 0, output.decode() + said.decode()
    found = ElementTree.fromstring(output).find("ssltest")  # noqa: S314 - the scanner's own
    assert found is not None
    enabled = {f"{each.get('type')}{each.get('version')}" for each in found.findall("protocol[@enabled='1']")}
    assert enabled == {"tls1.2", "tls1.3"}
    assert {each.get("strength") for each in found.findall("cipher")} <= {"strong", "acceptable"}
    ciphers = {each.get("cipher", "") for each in found.findall("cipher")}
    assert ciphers
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in ciphers), ciphers
    assert not [name for name in ciphers if "CBC" in name or name.endswith("SHA")], ciphers
    groups = {each.get("name", "").partition(" ")[0] for each in found.findall("group")}
    assert {"x25519", "secp256r1"} <= groups <= {"x25519", "secp256r1", "secp384r1"}
    assert not found.findall("compression[@supported='1']")
    renegotiation = found.find("renegotiation")
    assert renegotiation is not None
    assert renegotiation.get("supported") == "0" or renegotiation.get("secure") == "1"
