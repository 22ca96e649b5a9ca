"""Mutual TLS: who is let in, which fleet each may have, and certificates that change while streams go on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import envoy.extensions.transport_sockets.tls.v3.tls_pb2  # noqa: F401 - to be known inside an Any
import grpc
import httpx
import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf.json_format import ParseDict
from structlog import get_logger
from structlog.testing import capture_logs

from support.pki import Authority, Issued, fleet_uri
from support.plain import PLAIN
from support.ports import free_port
from support.xds_client import PATIENCE, Client, Recorder, cluster, listener, routes, snapshot, snapshots
from swarm_xds.demo.envoy import Envoy
from swarm_xds.server import (
    CertificateError,
    Credentials,
    Limits,
    Loaded,
    LogObserver,
    Observers,
    Peer,
    Publisher,
    Refusal,
    TlsFiles,
    XdsServer,
)
from swarm_xds.server.certificates import certified_fleet, load
from swarm_xds.snapshot import CLUSTER, Snapshot
from swarm_xds.translate import BootstrapOptions


@dataclass(slots=True)
class Secured:
    """A server behind mutual TLS, and what it needs."""

    folder: Path
    files: TlsFiles
    publisher: Publisher
    recorder: Recorder
    server: XdsServer
    port: int = 0
    authority: Authority = field(default_factory=Authority)
    loaded: list[Loaded] = field(default_factory=list)
    errors: list[CertificateError] = field(default_factory=list)

    def credentials(self, issued: Issued | None, authority: Authority | None = None) -> grpc.ChannelCredentials:
        """What a client with this certificate connects with."""
        own = (issued.key, issued.certificate) if issued else (None, None)
        return grpc.ssl_channel_credentials((authority or self.authority).certificate, *own)

    def client(self, fleet: str, issued: Issued | None, variant: str = "delta") -> Client:
        """A client that says it is of a fleet and shows a certificate."""
        return Client(self.port, variant=variant, fleet=fleet, credentials=self.credentials(issued))


async def secure(tmp_path: Path, limits: Limits) -> Secured:
    """Start a server that has published a cluster for each of two fleets."""
    authority, loaded, errors = Authority(), list[Loaded](), list[CertificateError]()
    certificate, key = authority.server().write(tmp_path, "server")
    files = TlsFiles(ca=authority.write(tmp_path), certificate=certificate, key=key)
    credentials = Credentials(files, on_loaded=loaded.append, on_error=errors.append)
    publisher, recorder = Publisher(), Recorder()
    server = XdsServer(
        publisher,
        "127.0.0.1:0",
        Observers(LogObserver(get_logger()), recorder),
        limits,
        credentials=credentials.server_credentials(),
        authorities=credentials.authorities,
    )
    secured = Secured(tmp_path, files, publisher, recorder, server, 0, authority, loaded, errors)
    secured.port = await server.start()
    publisher.publish(snapshots(Snapshot(), shop=_world("shop"), bank=_world("bank")))
    return secured


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    """A server whose time limits no test should reach."""
    secured = await secure(tmp_path, Limits(additions=60, removals=60))
    yield secured
    await secured.server.stop(0.2)


def _world(name: str) -> Snapshot:
    return snapshot(clusters=[cluster(name)])


@pytest.mark.parametrize("variant", ["sotw", "delta"])
@pytest.mark.parametrize("fleet", ["shop", "bank"])
async def test_a_member_gets_its_own_fleet(secured: Secured, fleet: str, variant: str) -> None:
    """That of its certificate."""
    async with secured.client(fleet, secured.authority.member(fleet), variant) as client:
        assert (await client.have(CLUSTER)).names == (fleet,)
    assert secured.recorder.refusals == []


@pytest.mark.parametrize("variant", ["sotw", "delta"])
@pytest.mark.parametrize(
    ("uris", "named"),
    [
        pytest.param([fleet_uri("shop")], "fleet 'shop'", id="another fleet's"),
        pytest.param([], "no fleet", id="nobody's"),
        pytest.param([fleet_uri("")], "no fleet", id="an empty name"),
        pytest.param([fleet_uri("bank"), fleet_uri("shop")], "no fleet", id="two fleets'"),
        pytest.param(["spiffe://other/fleet/bank"], "no fleet", id="another trust domain's"),
        pytest.param(["spiffe://swarm-xds/operator/bank"], "no fleet", id="an operator's"),
        pytest.param(["https://swarm-xds/fleet/bank"], "no fleet", id="another scheme"),
        pytest.param([fleet_uri("bank/")], "fleet 'bank/'", id="a longer name"),
        pytest.param([fleet_uri("Bank")], "fleet 'Bank'", id="another case"),
    ],
)
async def test_another_fleet_is_refused(secured: Secured, uris: list[str], named: str, variant: str) -> None:
    """Nothing is sent, and the refusal is logged and told with the node's name."""
    with capture_logs() as logs:
        async with secured.client("bank", secured.authority.client(*uris), variant) as client:
            await client.subscribe(CLUSTER)
            code, details = await client.end(CLUSTER)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert named in details
    ((peer, refusal, reason),) = secured.recorder.refusals
    assert (peer.node, peer.fleet, refusal) == ("n1", "bank", Refusal.FORBIDDEN)
    assert reason == f"the client asks for fleet 'bank', and its certificate names {named}"
    assert secured.recorder.peers == secured.recorder.closures == secured.recorder.responses == []
    (entry,) = [each for each in logs if each["event"] == "xds.refused"]
    assert (entry["log_level"], entry["node"], entry["fleet"]) == ("warning", "n1", "bank")


async def test_a_fleet_cannot_be_left_out(secured: Secured) -> None:
    """A client without ``node.cluster`` is not given the default fleet."""
    async with secured.client("", secured.authority.member("shop")) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_fleet_cannot_be_changed_later(secured: Secured) -> None:
    """The first request's is that of the stream."""
    async with secured.client("shop", secured.authority.member("shop")) as client:
        await client.have(CLUSTER)
        await client.send(CLUSTER, resource_names_subscribe=["bank"], node={"id": "n1", "cluster": "bank"})
        assert (await client.receive(CLUSTER)).removed == ("bank",)


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(None, id="no certificate"),
        pytest.param(Authority("foreign").member("shop"), id="a foreign authority's"),
    ],
)
async def test_a_stranger_does_not_get_past_the_handshake(secured: Secured, stranger: Issued | None) -> None:
    """So no stream of it ever exists."""
    async with secured.client("shop", stranger) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.UNAVAILABLE
    assert secured.recorder.peers == secured.recorder.responses == []


async def test_plain_text_is_not_answered(secured: Secured) -> None:
    """There is one port, and it speaks TLS."""
    async with Client(secured.port, fleet="shop") as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_used_and_streams_go_on(secured: Secured) -> None:
    """New connections see the new certificate; a stream from before is not touched."""
    member = secured.authority.member("shop")
    async with secured.client("shop", member) as before:
        await before.have(CLUSTER)
        fresh = secured.authority.server("renewed")
        fresh.write(secured.folder, "server")
        options = [("grpc.ssl_target_name_override", "renewed"), ("grpc.use_local_subchannel_pool", 1)]
        target = f"127.0.0.1:{secured.port}"
        async with grpc.aio.secure_channel(target, secured.credentials(member), options=options) as channel:
            await channel.channel_ready()
        assert [each.certificate for each in secured.loaded][1:] == [fresh.certificate]
        secured.publisher.publish(
            snapshots(Snapshot(), shop=snapshot(clusters=[cluster("shop", connect_timeout=2)]), bank=_world("bank"))
        )
        assert (await before.take(CLUSTER)).names == ("shop",)
    assert secured.errors == []


async def test_an_authority_that_is_replaced_shuts_out_its_clients(secured: Secured) -> None:
    """Without a restart: the next handshake is by the new one."""
    async with secured.client("shop", secured.authority.member("shop")) as client:
        await client.have(CLUSTER)
    other = Authority("other")
    other.write(secured.folder)
    async with secured.client("shop", secured.authority.member("shop")) as client:
        await client.subscribe(CLUSTER)
        assert (await client.end(CLUSTER))[0] is grpc.StatusCode.UNAVAILABLE
    async with secured.client("shop", other.member("shop")) as client:
        assert (await client.have(CLUSTER)).names == ("shop",)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda files: files.certificate.write_bytes(b"nonsense"), id="not a certificate"),
        pytest.param(lambda files: files.key.unlink(), id="no key"),
        pytest.param(lambda files: files.ca.write_bytes(b""), id="an empty authority"),
        pytest.param(lambda files: Authority().server().write(files.key.parent, "server")[0].unlink(), id="half"),
    ],
)
async def test_files_of_no_use_leave_what_was_loaded(secured: Secured, damage: Callable[[TlsFiles], object]) -> None:
    """Told once; and what is mended is taken."""
    damage(secured.files)
    for _ in range(3):
        async with secured.client("shop", secured.authority.member("shop")) as client:
            assert (await client.have(CLUSTER)).names == ("shop",)
    assert len(secured.errors) == 1
    assert str(secured.folder) in str(secured.errors[0])
    secured.authority.write(secured.folder)
    fresh = secured.authority.server()
    fresh.write(secured.folder, "server")
    async with secured.client("shop", secured.authority.member("shop")) as client:
        await client.have(CLUSTER)
    assert secured.loaded[-1].certificate == fresh.certificate


def test_files_that_do_not_fit_each_other_are_told_by_name(tmp_path: Path) -> None:
    """At the start that is an error, not a port that nobody can use."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    _, other = authority.server().write(tmp_path, "other")
    ca = authority.write(tmp_path)
    assert load(TlsFiles(ca=ca, certificate=certificate, key=key)).expires.tzinfo is not None
    for files, said in (
        (TlsFiles(ca=ca, certificate=certificate, key=other), "other.key: the key is not that of the certificate"),
        (TlsFiles(ca=ca, certificate=key, key=key), "server.key: not a certificate"),
        (TlsFiles(ca=ca, certificate=certificate, key=ca), "ca.crt: not a private key"),
        (TlsFiles(ca=tmp_path / "none", certificate=certificate, key=key), "none: No such file"),
    ):
        with pytest.raises(CertificateError, match=said):
            Credentials(files).server_credentials()


def test_a_dns_name_that_looks_like_a_fleet_is_none() -> None:
    """GRPC lists all alternative names together elsewhere; only URIs count."""
    assert certified_fleet({"x509_subject_alternative_name": [fleet_uri("shop").encode()]}) is None
    assert certified_fleet({"peer_uri": [fleet_uri("shop").encode()]}) == "shop"
    assert certified_fleet({"peer_uri": [b"https://example.org", fleet_uri("shop").encode()]}) == "shop"
    assert certified_fleet({}) is None


def test_a_refusal_is_logged_as_a_warning_once() -> None:
    """An Envoy that is refused comes back every few seconds."""
    peer = Peer(stream=1, node="n1", fleet="edge", variant="delta", address="ipv4:127.0.0.1:1")
    with capture_logs() as logs:
        observer = LogObserver(get_logger())
        for reason in ("bad", "bad", "worse"):
            observer.refused(peer, Refusal.FORBIDDEN, reason)
    assert [entry["log_level"] for entry in logs] == ["warning", "debug", "warning"]


def _own(secured: Secured) -> Path:
    return secured.folder / "own.json"


def renew(secured: Secured, issued: Issued) -> None:
    """Give an Envoy a certificate, in one step."""
    pair = {"certificate_chain": issued.certificate, "private_key": issued.key}
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "own",
        "tls_certificate": {name: {"inline_string": content.decode()} for name, content in pair.items()},
    }
    fresh = _own(secured).with_suffix(".new")
    fresh.write_text(json.dumps({"resources": [secret]}), encoding="utf-8")
    fresh.rename(_own(secured))


def envoy_of(secured: Secured, binary: Path, issued: Issued) -> Envoy:
    """Return an Envoy of the fleet ``shop`` that shows a certificate, which it follows, and checks the server's."""
    renew(secured, issued)
    socket = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [
                    {"name": "own", "sds_config": {"path_config_source": {"path": str(_own(secured))}}}
                ],
                "validation_context": {"trusted_ca": {"filename": str(secured.files.ca)}},
            },
        },
    }

    def amend(message: bootstrap_pb2.Bootstrap) -> None:
        ParseDict(socket, message.static_resources.clusters[0].transport_socket)

    options = BootstrapOptions(node="e1", fleet="shop", host="127.0.0.1", port=secured.port, admin_port=free_port())
    return Envoy(binary, options, amend=amend)


async def attempts(envoy: Envoy) -> int:
    """Return how many connections Envoy has made to its control plane."""
    async with httpx.AsyncClient(verify=PLAIN) as client:
        with suppress(httpx.TransportError):
            found = await client.get(f"{envoy.admin}/stats", params={"filter": r"\(xds\)\.upstream_cx_total$"})
            return int(found.text.rpartition(": ")[2] or 0)
    return 0


@pytest.mark.envoy
async def test_an_envoy_with_its_fleets_certificate_serves(secured: Secured, envoy_binary: Path) -> None:
    """One with another fleet's, or a foreign authority's, tries again and again and has no configuration."""
    world = snapshot(listeners=[listener("edge", free_port(), "table")], routes=[routes("table", {})])
    secured.publisher.publish(snapshots(world))
    for issued in (secured.authority.member("bank"), Authority("foreign").member("shop")):
        envoy = envoy_of(secured, envoy_binary, issued)
        start = asyncio.create_task(envoy.start())
        try:
            async with asyncio.timeout(PATIENCE):
                while await attempts(envoy) < 2 and len(secured.recorder.refusals) < 2:
                    await asyncio.sleep(0.05)
            assert not start.done()
        finally:
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await envoy.stop()
    assert secured.recorder.peers == []
    assert {(peer.node, refusal) for peer, refusal, _ in secured.recorder.refusals} == {("e1", Refusal.FORBIDDEN)}
    envoy = envoy_of(secured, envoy_binary, secured.authority.member("shop"))
    try:
        await envoy.start()
        async with asyncio.timeout(PATIENCE):
            await secured.publisher.answered()
        assert [(peer.node, peer.fleet) for peer in secured.recorder.peers] == [("e1", "shop")]
    finally:
        await envoy.stop()
