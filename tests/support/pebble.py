"""Debian's pebble, an ACME authority for tests, on loopback; every name leads to 127.0.0.1."""

import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import httpx
import pytest

from support.certificates import authority
from support.ports import free_port


class Pebble:
    """An authority that looks for challenges at ``http_port`` and ``tls_port`` of this machine.

    Attributes:
        directory: Its directory URL.
        ca: PEM file with whom to trust as its web server.
    """

    def __init__(self, folder: Path) -> None:
        binaries = [shutil.which(name) for name in ("pebble", "pebble-challtestsrv")]
        assert all(binaries), "no pebble: apt-get install pebble (debian-packages.txt)"
        self.http_port, self.tls_port = free_port(), free_port()
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log: IO[bytes] = (folder / "pebble.log").open("wb")
        ports = {name: free_port() for name in ("acme", "management", "dns", "names")}
        own = authority()
        server = own.issue("localhost")
        self.ca = folder / "pebble-ca.pem"
        self.ca.write_bytes(own.cert)
        (folder / "pebble.crt").write_bytes(server.cert)
        (folder / "pebble.key").write_bytes(server.key)
        config = {
            "listenAddress": f"127.0.0.1:{ports['acme']}",
            "managementListenAddress": f"127.0.0.1:{ports['management']}",
            "certificate": str(folder / "pebble.crt"),
            "privateKey": str(folder / "pebble.key"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}), encoding="utf-8")
        self.directory = f"https://localhost:{ports['acme']}/dir"
        self._run(
            *("pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""),
            *("-dns01", f"127.0.0.1:{ports['dns']}", "-management", f"127.0.0.1:{ports['names']}"),
            *("-http01", "", "-https01", "", "-tlsalpn01", ""),
        )
        self._run(
            "pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{ports['dns']}", "-strict"
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it."""
        for process in self._processes:
            process.terminate()
            process.wait(10)
        self._log.close()

    @property
    def log(self) -> str:
        """What it has said."""
        return (self._folder / "pebble.log").read_text(encoding="utf-8")

    def _run(self, *command: str) -> None:
        # Without it each answer and each validation is put off, and some nonces are refused.
        environ = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        self._processes.append(
            subprocess.Popen(command, env=environ, stdout=self._log, stderr=self._log, cwd=self._folder)
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(self.directory, verify=ssl.create_default_context(cafile=self.ca), trust_env=False)
            except httpx.HTTPError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.1)
            else:
                return


@contextmanager
def asked_often() -> Iterator[None]:
    """Have our ACME library ask an authority every 20 ms what came of an order, where it rests for a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acme.client.time", SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50)))
        yield
