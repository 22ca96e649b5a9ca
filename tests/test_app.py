"""What the composition root says of those who connect, and what it lets go out."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.certificates import authority
from swarm_xds.app import App, Published
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.model import EdgeOptions
from swarm_xds.peers import Greeter
from swarm_xds.pipeline import Pipeline
from swarm_xds.problem import Kind
from swarm_xds.server import Peer, Publisher
from swarm_xds.settings import Settings
from swarm_xds.snapshot import ADS_ORDER, SECRET
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.swarm import SwarmState


@pytest.mark.parametrize(
    ("fleet", "event", "level"),
    [
        pytest.param("default", "proxy.connected", "info", id="a fleet that is served"),
        pytest.param("", "proxy.connected", "info", id="no fleet, which is the default one"),
        pytest.param("defualt", "proxy.unknown_fleet", "warning", id="a fleet that no service names"),
    ],
)
def test_a_proxy_of_an_unknown_fleet_is_warned_of(fleet: str, event: str, level: str) -> None:
    """It would answer every host as unknown, and nobody would know why."""
    publisher = Publisher()
    publisher.publish(Pipeline(EdgeOptions(), "default").build(SwarmState()).snapshots)
    with capture_logs() as logs:
        Greeter(publisher).opened(
            Peer(stream=1, node="edge-1", fleet=fleet, variant="delta", address="ipv4:127.0.0.1:1")
        )
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["fleet"]) == (event, level, fleet)


STACK = """
services:
  web:
    image: app
    x-tasks: [10.0.1.5]
    deploy:
      labels: {xds.hosts: app.example.org, xds.port: 80, xds.ssl_cert: app.pem, xds.ssl_only: "true"}
  trusting:
    image: app
    x-tasks: [10.0.1.6]
    deploy:
      labels: {xds.hosts: in.example.org, xds.port: 80, xds.ssl_backend: "true", xds.ssl_backend_ca: ca.pem}
"""


@pytest.mark.parametrize(
    ("listen", "more", "carried"),
    [
        pytest.param("127.0.0.1:0", {}, True, id="loopback"),
        pytest.param("0.0.0.0:0", {"insecure_xds": True}, False, id="any address, not encrypted"),
        pytest.param("0.0.0.0:0", {"insecure_xds": True, "insecure_xds_secrets": True}, True, id="asked for by name"),
    ],
)
async def test_private_keys_go_out_over_loopback_only_or_where_that_is_asked_for(
    tmp_path: Path, listen: str, more: dict[str, bool], carried: bool
) -> None:
    """Else none is in what is published, the hosts are refused and never in plain, and it is said."""
    ca = authority()
    (tmp_path / "app.pem").write_bytes(ca.issue("app.example.org").pair)
    (tmp_path / "ca.pem").write_bytes(ca.cert)
    stack = tmp_path / "stack.yml"
    stack.write_text(STACK, encoding="utf-8")
    settings = Settings(source="compose", files=(stack,), listen=listen, certs=tmp_path, **more)  # type: ignore[arg-type]
    published: asyncio.Queue[Published] = asyncio.Queue()
    source, certificates = ComposeSource(settings.files, {}), CertificateDirectory(tmp_path)
    asked: list[list[str]] = []
    app = App(
        settings,
        source,
        certificates=certificates,
        want=lambda hosts: asked.append(list(hosts)),
        on_published=published.put_nowait,
    )
    follow = asyncio.create_task(app.follow())
    try:
        async with asyncio.timeout(10):
            build = (await published.get()).build
    finally:
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)
    assert bool(asked) is carried, "nothing is ordered that could not be served"
    snapshot = build.snapshots.of("default")
    everything = b"".join(each.value for url in ADS_ORDER for each in snapshot.of(url).values())
    assert (b"PRIVATE KEY" in everything) is carried
    assert ("certificate/app.example.org" in snapshot.of(SECRET)) is carried
    assert "backend-ca/trusting" in {name.replace("stack_", "") for name in snapshot.of(SECRET)}, "no secret"
    withheld = [problem for problem in build.problems if problem.kind is Kind.KEYS_WITHHELD]
    assert bool(withheld) is not carried
    refused = [problem for problem in build.problems if problem.kind is Kind.BAD_CERTIFICATE]
    assert bool(refused) is not carried
