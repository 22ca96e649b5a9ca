"""A control plane whose debug API is mutual TLS: operators ask by commands and by reflection, and nobody else does."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from click.testing import Result
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from typer.testing import CliRunner

from support.ports import free_port
from swarm_xds.cli.main import application
from swarm_xds.pki import issue
from swarm_xds.pki.store import Store

NOW = datetime.now(UTC).replace(microsecond=0)
STACK = """
services:
  web:
    image: app
    x-tasks: ["127.0.0.1"]
    deploy: {labels: {xds.hosts: web.example.org, xds.port: 80}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A control plane in a process of its own, and the files of its PKI."""

    pki: Path
    home: Path
    plain: str
    secured: str
    metrics: str
    log: Path

    def ask(self, *args: str, **environ: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(application(args[0]), args, env={"XDG_CONFIG_HOME": str(self.home), **environ})

    def tls(self, member: str) -> list[str]:
        """Return the options of somebody who has a certificate."""
        files = {"--ca": "ca.crt", "--cert": f"{member}.crt", "--key": f"{member}.key"}
        return [word for option, name in files.items() for word in (option, str(self.pki / name))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A running control plane that listens beyond loopback, too."""
    tmp_path = tmp_path_factory.mktemp("operators")
    pki = tmp_path / "pki"
    pki.mkdir()
    Store(pki).init([issue.control_plane(), issue.fleet("default"), issue.operator("alice")], NOW)
    late = tmp_path / "late"
    late.mkdir()
    ended = Store(late)
    (late / "ca.crt").write_bytes((pki / "ca.crt").read_bytes())
    (late / "ca.key").write_bytes((pki / "ca.key").read_bytes())
    ended.init([issue.operator("bob")], NOW - timedelta(days=400))
    for name in ("operator-bob.crt", "operator-bob.key"):
        (late / name).rename(pki / name)
    stack = tmp_path / "stack.yml"
    stack.write_text(STACK, encoding="utf-8")
    plain, secured, metrics = free_port(), free_port(), free_port()
    settings = {
        "--source": "compose",
        "--listen": "127.0.0.1:0",
        "--metrics-listen": f"127.0.0.1:{metrics}",
        "--debug-listen": f"127.0.0.1:{plain},0.0.0.0:{secured}",
        "--tls-ca": str(pki / "ca.crt"),
        "--tls-cert": str(pki / "control-plane.crt"),
        "--tls-key": str(pki / "control-plane.key"),
    }
    binary = Path(sys.executable).parent / "swarm-xds"
    words = [word for setting in settings.items() for word in setting]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([str(binary), "serve", str(stack), *words], stdout=output, stderr=output)
    try:
        wait(f"http://127.0.0.1:{metrics}/readyz")
        yield Place(
            pki=pki,
            home=tmp_path,
            plain=f"127.0.0.1:{plain}",
            secured=f"127.0.0.1:{secured}",
            metrics=f"http://127.0.0.1:{metrics}/metrics",
            log=log,
        )
    finally:
        process.terminate()
        process.wait(30)


def wait(url: str) -> None:
    """Wait until something answers that it is ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.05)
    pytest.fail(f"{url} does not answer 200")


def test_operators_ask_by_commands(place: Place) -> None:
    """By a context, by options or by the environment; who else asks is told why not, logged and counted."""
    assert place.ask("context", "set", "prod", place.secured, *place.tls("operator-alice")).exit_code == 0
    assert f"* prod  {place.secured}  TLS, as {place.pki}/operator-alice.crt" in place.ask("context", "list").output
    alice = place.tls("operator-alice")[1::2]
    environ = dict(zip(("SWARM_XDS_ASK_CA", "SWARM_XDS_ASK_CERT", "SWARM_XDS_ASK_KEY"), alice, strict=True))
    here = ("--address", place.secured)
    for args, variables in (
        (("routes",), {}),
        (("routes", *here, *place.tls("operator-alice")), {}),
        (("routes",), {**environ, "SWARM_XDS_ASK_ADDRESS": place.secured}),
        (("routes", "--address", place.plain), {}),
    ):
        good = place.ask(*args, **variables)
        assert (good.exit_code, "web.example.org" in good.output) == (0, True), good.output
    posted = place.ask("explain", "http://10.0.0.1/", "-H", "Host: web.example.org", "-X", "FOO")
    assert (posted.exit_code, "400: the edge does not know the method" in posted.output) == (1, True), posted.output

    for member, reason in (
        ("fleet-default", "names spiffe://swarm-xds/fleet/default, and only operators may ask"),
        ("operator-bob", "operator-bob.crt has ended on"),
    ):
        bad = place.ask("routes", *here, *place.tls(member))
        assert (bad.exit_code, reason in bad.output) == (3, True), bad.output
    bad = place.ask("routes", *here)
    assert (bad.exit_code, "it speaks TLS, and answers operators" in bad.output) == (3, True), bad.output
    bad = place.ask("routes", *here, "--ca", str(place.pki / "missing"), *place.tls("operator-alice")[2:])
    assert (bad.exit_code, "missing: No such file" in bad.output) == (2, True), bad.output
    assert "swarm_xds_debug_refused_total 1.0" in httpx.get(place.metrics, trust_env=False).text
    log = place.log.read_text(encoding="utf-8")
    assert "debug.refused" in log
    assert "/swarm_xds.debug.v1.Debug/ListRoutes" in log
    assert "PRIVATE" not in log


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_reflection_is_all_that_a_client_needs(place: Place, *, secured: bool) -> None:
    """What `grpcurl` does: list services, learn a method's messages, call it, print the answer."""
    with channel(place, secured=secured) as to:
        database = ProtoReflectionDescriptorDatabase(to)
        assert {
            "swarm_xds.debug.v1.Debug",
            "envoy.service.status.v3.ClientStatusDiscoveryService",
            "grpc.health.v1.Health",
        } <= set(database.get_services())
        pool = DescriptorPool(database)
        assert call(to, pool, "swarm_xds.debug.v1.Debug", "ListRoutes")["routes"][0]["host"] == "web.example.org"
        explained = call(to, pool, "swarm_xds.debug.v1.Debug", "Explain", url="web.example.org", headers={"a_b": "1"})
        assert explained["answer"] == "400: the edge refuses a header"
        assert call(to, pool, "grpc.health.v1.Health", "Check") == {"status": "SERVING"}
        assert call(to, pool, "envoy.service.status.v3.ClientStatusDiscoveryService", "FetchClientStatus") == {}


def channel(place: Place, *, secured: bool) -> grpc.Channel:
    """Return a channel of an operator; the name in the certificate does not depend on the address."""
    if not secured:
        return grpc.insecure_channel(place.plain)
    ca, certificate, key = (
        (place.pki / name).read_bytes() for name in ("ca.crt", "operator-alice.crt", "operator-alice.key")
    )
    options = [("grpc.ssl_target_name_override", "control-plane")]
    return grpc.secure_channel(place.secured, grpc.ssl_channel_credentials(ca, key, certificate), options=options)


def call(to: grpc.Channel, pool: DescriptorPool, service: str, name: str, **fields: Any) -> dict[str, Any]:
    """Call a method that is known by reflection alone."""
    method = pool.FindServiceByName(service).FindMethodByName(name)
    ask = to.unary_unary(
        f"/{service}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    answer: dict[str, Any] = MessageToDict(
        ask(GetMessageClass(method.input_type)(**fields), timeout=30), preserving_proto_field_name=True
    )
    return answer
