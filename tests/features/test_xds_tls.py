"""A fleet member as its image starts it, the certificates of `swarm-xds pki`, and a control plane by gRPC's own TLS."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from cryptography import x509
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.json_format import ParseDict

from support.command import command
from support.plain import PLAIN
from support.ports import free_port
from swarm_xds.pki import issue
from swarm_xds.pki.store import Step, Store
from swarm_xds.translate import BootstrapOptions, XdsTls, bootstrap, secret_files

ROOT = Path(__file__).parent.parent.parent
SECONDS = 30
NOW = datetime.now(UTC).replace(microsecond=0)


class ControlPlane:
    """Answers proxies with nothing, and remembers who they were."""

    def __init__(self, store: Store, name: str = "control-plane") -> None:
        self.came: asyncio.Queue[x509.Certificate] = asyncio.Queue()
        self._files = [(store.folder / file).read_bytes() for file in (f"{name}.key", f"{name}.crt", "ca.crt")]

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator["ControlPlane"]:
        """Serve on a port; certificates are those that the files had when this was made."""
        key, certificate, authorities = self._files
        server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"DeltaAggregatedResources": handler}),)
        )
        credentials = grpc.ssl_server_credentials([(key, certificate)], authorities, require_client_auth=True)
        server.add_secure_port(f"127.0.0.1:{port}", credentials)
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)

    async def caller(self) -> x509.Certificate:
        """Return the certificate of the next proxy that comes."""
        async with asyncio.timeout(SECONDS):
            return await self.came.get()

    async def _stream(self, requests: Any, context: Any) -> AsyncIterator[discovery_pb2.DeltaDiscoveryResponse]:
        self.came.put_nowait(x509.load_pem_x509_certificate(context.auth_context()["x509_pem_cert"][0]))
        async for request in requests:
            if not request.response_nonce:
                yield discovery_pb2.DeltaDiscoveryResponse(type_url=request.type_url, nonce="1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The files of a PKI, in a folder of their own."""
    folder = tmp_path / "pki"
    folder.mkdir()
    store = Store(folder)
    store.init([issue.control_plane(), issue.fleet("default"), issue.relay()], NOW)
    return store


def environ(store: Store, folder: Path, port: int, envoy: Path) -> dict[str, str]:
    """Return what the container of a fleet member is given."""
    return {
        "PATH": f"{envoy.parent}:{ROOT / 'envoy'}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "BOOTSTRAP": str(ROOT / "envoy" / "bootstrap.yaml"),
        "XDS_HOST": "127.0.0.1",
        "XDS_PORT": str(port),
        "ADMIN_PORT": str(free_port()),
        "NODE_ID": "edge-1",
        "LOG_LEVEL": "warning",
        "XDS_CA": str(store.folder / "ca.crt"),
        "XDS_CERT": str(store.folder / "fleet-default.crt"),
        "XDS_KEY": str(store.folder / "fleet-default.key"),
    }


@dataclass(frozen=True, slots=True)
class Edge:
    """A fleet member: the port on which it looks for its control plane, and that of its admin interface."""

    port: int
    admin: int

    async def refuses(self, why: str) -> None:
        """Wait until it has counted one more control plane that it does not take."""
        async with httpx.AsyncClient(verify=PLAIN, trust_env=False) as client, asyncio.timeout(SECONDS):
            first = None
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.admin}/stats?filter=\\(xds\\).ssl.{why}")
                    count = int(answer.text.rpartition(":")[2])
                except (httpx.HTTPError, ValueError):
                    count = 0
                first = count if first is None else first
                if count > first:
                    return
                await asyncio.sleep(0.1)


@pytest.fixture
def edge(store: Store, tmp_path: Path, envoy_binary: Path) -> Iterator[Edge]:
    """A fleet member, started."""
    variables = environ(store, tmp_path, free_port(), envoy_binary)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(ROOT / "envoy" / "entrypoint.sh"), "--concurrency", "1", "--use-dynamic-base-id"],
            env=variables,
            stdout=log,
            stderr=log,
        )
    yield Edge(int(variables["XDS_PORT"]), int(variables["ADMIN_PORT"]))
    process.terminate()
    process.terminate()  # a second one ends it at once
    process.wait(60)
    assert "PRIVATE KEY" not in (tmp_path / "log").read_text(encoding="utf-8")


def current(store: Store) -> int:
    """Return the serial number of the fleet's certificate."""
    return x509.load_pem_x509_certificate((store.folder / "fleet-default.crt").read_bytes()).serial_number


@pytest.mark.envoy
async def test_renewals_need_no_restart(edge: Edge, store: Store) -> None:
    """Neither of certificates nor of the authority; at every step both sides still take each other."""
    async with ControlPlane(store).listening(edge.port) as control_plane:
        assert (await control_plane.caller()).serial_number == current(store)
    store.renew(NOW, everything=True)
    async with ControlPlane(store).listening(edge.port) as control_plane:
        assert (await control_plane.caller()).serial_number == current(store)
    for step in (Step.TRUSTED, Step.ISSUES, Step.RETIRED):
        before = ControlPlane(store)
        assert store.change_authority(NOW)[0] is step
        for each in (before, ControlPlane(store)):  # the control plane has not got its files yet, and has got them
            async with each.listening(edge.port) as control_plane:
                assert (await control_plane.caller()).serial_number == current(store), step


@pytest.mark.envoy
async def test_only_a_control_plane_may_say_what_is_served(edge: Edge, store: Store, tmp_path: Path) -> None:
    """Not a relay, though the same authority names it, and not a control plane of another authority."""
    store.init([issue.Member(name="imposter", uri="spiffe://swarm-xds/relay", hosts=("127.0.0.1",), serves=True)], NOW)
    (tmp_path / "foreign").mkdir()
    foreign = Store(tmp_path / "foreign")
    foreign.init([issue.control_plane()], NOW)
    for imposter, why in (
        (ControlPlane(store, "imposter"), "fail_verify_san"),
        (ControlPlane(foreign), "fail_verify_error"),
    ):
        async with imposter.listening(edge.port):
            await edge.refuses(why)
            assert imposter.came.empty()
    async with ControlPlane(store).listening(edge.port) as control_plane:
        assert (await control_plane.caller()).serial_number == current(store)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_template_is_what_the_command_prints(store: Store, tmp_path: Path, shell: str) -> None:
    """With TLS; and the files beside it are the same messages."""
    stub = tmp_path / "envoy"
    stub.write_text("#!/bin/sh\n", encoding="utf-8")
    stub.chmod(0o755)
    variables = environ(store, tmp_path, 18000, stub) | {"ADMIN_PORT": "9901"}
    done = subprocess.run(
        [shell, str(ROOT / "envoy" / "entrypoint.sh")], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    tls = XdsTls(
        authorities=variables["XDS_CA"],
        certificate=variables["XDS_CERT"],
        key=variables["XDS_KEY"],
        folder=str(tmp_path),
    )
    options = BootstrapOptions(node="edge-1", fleet="default", host="127.0.0.1", port=18000, tls=tls)
    filled = read(tmp_path / "envoy-bootstrap.yaml")
    assert ParseDict(filled, bootstrap_pb2.Bootstrap()) == bootstrap(options)
    for name, message in secret_files(tls).items():
        assert ParseDict(read(tmp_path / name), discovery_pb2.DiscoveryResponse()) == message
    other = tmp_path / "other"
    other.mkdir()
    printed = command(
        *("bootstrap", "--server", "127.0.0.1:18000", "--node-id", "edge-1", "--tls-folder", str(other)),
        *("--ca", tls.authorities, "--cert", tls.certificate, "--key", tls.key),
    )
    expected = yaml.safe_load(printed.stdout.replace(str(other), str(tmp_path)))
    assert ParseDict(expected, bootstrap_pb2.Bootstrap()) == bootstrap(options)
    for name, message in secret_files(tls).items():
        assert ParseDict(read(other / name), discovery_pb2.DiscoveryResponse()) == message


def read(path: Path) -> Any:
    """Return a document."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"XDS_KEY": ""}, "XDS_KEY is not set: TLS needs all of XDS_CA, XDS_CERT and XDS_KEY", id="missing"
        ),
        pytest.param({"XDS_CA": "/none"}, 'XDS_CA="/none": no such file, or not for this user', id="no file"),
        pytest.param({"XDS_CERT": "a.crt"}, 'XDS_CERT="a.crt": not a whole path, from / on', id="relative"),
        pytest.param({"XDS_CERT": '/a" #'}, "only letters, digits and . _ / - may stand in a path", id="quotes"),
    ],
)
def test_a_bad_environment_is_told_at_once(store: Store, tmp_path: Path, change: dict[str, str], message: str) -> None:
    """Rather than going on without TLS."""
    variables = environ(store, tmp_path, 18000, tmp_path / "envoy") | change
    done = subprocess.run(
        ["sh", str(ROOT / "envoy" / "entrypoint.sh")], env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, message in done.stderr) == (64, True), done.stderr


def test_the_command_wants_all_of_the_files(store: Store) -> None:
    """Or none."""
    result = command("bootstrap", "--ca", str(store.folder / "ca.crt"))
    assert (result.returncode, "TLS needs all of --ca, --cert and --key" in result.stderr) == (2, True)
    missing = command("bootstrap", "--ca", "/none", "--cert", "/none", "--key", "/none")
    assert (missing.returncode, "/none: there is no such file" in missing.stderr) == (2, True)
