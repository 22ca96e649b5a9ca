"""Docker secrets, handed over by a real Envoy with a reader's configuration to control planes and to nobody else."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from support.bare_envoy import bare_envoy
from support.certificates import authority, secret_lines
from support.following import Following
from support.ports import free_port
from swarm_xds.certs.base import CertificatesReading, Identity
from swarm_xds.certs.choose import named
from swarm_xds.certs.readers import NoAnswerError, Reader, ReaderSource, ReaderTimings, client_context, fetch
from swarm_xds.certs.values import Certificates
from swarm_xds.pki import issue
from swarm_xds.pki.store import Store
from swarm_xds.translate.reader import reader, reader_configuration

NOW = datetime.now(UTC).replace(microsecond=0)
FLEET = ("127.0.0.0/24",)
SITE = authority().issue("a.example.org")
QUICK = ReaderTimings(call=2.0, first=0.3, retry_first=0.01, retry_cap=0.05, tell=0.05)
SECONDS = 20


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our own certificates, and with what a fake reader shows: an edge's made for a server."""
    folder = tmp_path_factory.mktemp("pki")
    members = [issue.control_plane(), issue.fleet("default"), issue.relay()]
    Store(folder).init([*members, replace(issue.fleet("liar"), serves=True)], NOW)
    return folder


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader's container mounts: a certificate, its key, and one that is as large as Docker allows."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "c1").write_bytes(SITE.cert)
    (folder / "k1").write_bytes(SITE.key)
    (folder / "big").write_bytes(b"x" * 512_000)
    return folder


def identity(folder: Path, member: str = "control-plane") -> Identity:
    """Who asks."""
    return Identity(authorities=folder / "ca.crt", certificate=folder / f"{member}.crt", key=folder / f"{member}.key")


@asynccontextmanager
async def running(
    binary: Path, folder: Path, pki: Path, secrets: dict[str, Path], **more: object
) -> AsyncIterator[int]:
    """Run a reader, and give its port."""
    port = int(str(more.get("port") or free_port()))
    files = ("ca.crt", f"{more.get('member', 'relay')}.crt", f"{more.get('member', 'relay')}.key")
    authorities, certificate, key = (str(pki / file) for file in files)
    bootstrap = reader(FLEET, (authorities, certificate, key), {i: str(path) for i, path in secrets.items()}, port)
    async with bare_envoy(binary, folder, bootstrap):
        yield port


@pytest.fixture
async def port(envoy_binary: Path, tmp_path: Path, pki: Path, secrets: Path) -> AsyncIterator[int]:
    """The port of a reader with all of the secrets."""
    async with running(envoy_binary, tmp_path, pki, {name: secrets / name for name in ("c1", "k1", "big")}) as port:
        yield port


async def ask(who: Identity, url: str) -> bytes:
    """Ask once."""
    async with httpx.AsyncClient(verify=client_context(who), trust_env=False) as client:
        return await fetch(client, url)


@pytest.mark.envoy
async def test_a_control_plane_gets_secrets_whole(port: int, pki: Path) -> None:
    """Byte for byte, up to the largest that Docker takes."""
    who, url = identity(pki), f"https://127.0.0.1:{port}"
    assert await ask(who, f"{url}/c1") == SITE.cert
    assert await ask(who, f"{url}/k1") == SITE.key
    assert await ask(who, f"{url}/big") == b"x" * 512_000
    for path in ("", "c", "c1/", "C1", "run/secrets/k1", "reader.key"):
        with pytest.raises(NoAnswerError, match="answers 404"):
            await ask(who, f"{url}/{path}")


@pytest.mark.envoy
@pytest.mark.parametrize("member", ["fleet-default", "relay", "foreign", "nobody", "plain"])
async def test_nobody_else_does(port: int, pki: Path, tmp_path: Path, member: str) -> None:
    """An edge, a relay, the control plane of another authority, a client without a certificate, one without TLS."""
    url = f"https://127.0.0.1:{port}/k1"
    if member == "foreign":
        Store(tmp_path / "other").folder.mkdir()
        Store(tmp_path / "other").init([issue.control_plane()], NOW)
        other = identity(tmp_path / "other")
        context = client_context(replace(other, authorities=pki / "ca.crt"))
    else:
        context = client_context(identity(pki, member if member in {"fleet-default", "relay"} else "control-plane"))
    if member == "nobody":
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        context.check_hostname = False
    if member == "plain":
        url = url.replace("https:", "http:")
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        with pytest.raises((httpx.TransportError, OSError)):
            await client.get(url)
        if member != "plain":
            with pytest.raises(NoAnswerError, match="cannot be asked"):
                await fetch(client, url)


@pytest.mark.envoy
async def test_who_is_no_reader_is_not_listened_to(
    envoy_binary: Path, tmp_path: Path, pki: Path, secrets: Path
) -> None:
    """A member of ours that is no reader, and a reader of another authority."""
    async with running(envoy_binary, tmp_path, pki, {"c1": secrets / "c1"}, member="fleet-liar") as port:
        with pytest.raises(NoAnswerError, match="is not spiffe://swarm-xds/relay"):
            await ask(identity(pki), f"https://127.0.0.1:{port}/c1")
    other = tmp_path / "other"
    other.mkdir()
    Store(other).init([issue.control_plane(), issue.relay()], NOW)
    async with running(envoy_binary, tmp_path, other, {"c1": secrets / "c1"}) as port:
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            await ask(identity(pki), f"https://127.0.0.1:{port}/c1")


def test_a_configuration_names_files_only(secrets: Path) -> None:
    """A Docker config can be read by everybody who may read the API."""
    text = reader_configuration(FLEET, ("a", "c", "k"), {"k1": str(secrets / "k1")})
    assert str(secrets / "k1") in text
    assert not [line for line in secret_lines(SITE.key) if line in text]
    with pytest.raises(ValueError, match="no IPv4 subnet"):
        reader_configuration((), ("a", "c", "k"), {})


def read(reading: CertificatesReading) -> tuple[str, ...]:
    """Return the names of the secrets that are read."""
    materials = reading.certificates.materials
    return tuple(each.name for each in materials if "not handed it over yet" not in each.reason)


class Secrets(Following[CertificatesReading]):
    """A source of secrets in use."""

    def __init__(self, source: ReaderSource) -> None:
        super().__init__(source.readings(), SECONDS)
        self.source = source

    async def have(self, *names: str) -> CertificatesReading:
        """Return the first reading in which just these secrets are read."""
        return await self.until(lambda reading: read(reading) == names)


@pytest.fixture
async def followed(pki: Path) -> AsyncIterator[Secrets]:
    """A source with a port of its own, at which nobody listens yet."""
    following = Secrets(ReaderSource(identity(pki), free_port(), QUICK))
    yield following
    await following.close()


@pytest.mark.envoy
async def test_secrets_are_read_once_and_kept(
    followed: Secrets, envoy_binary: Path, tmp_path: Path, pki: Path, secrets: Path
) -> None:
    """The first reading has what there is; a reader that is replaced takes nothing away; a new secret is added."""
    source, port = followed.source, followed.source.port
    first = Reader(addresses=("127.0.0.1",), secrets=(("c1", "shop_site.crt"), ("k1", "shop_site.key")))
    paths = {name: secrets / name for name in ("c1", "k1")}
    async with running(envoy_binary, tmp_path, pki, paths, port=port):
        source.follow([first], {"c1", "k1"})
        reading = await followed.next()
        certificate, key = reading.certificates.materials
        assert (certificate.name, key.name) == ("shop_site.crt", "shop_site.key")
        assert certificate.chain is not None
        assert key.key is not None
        assert certificate.chain.spki == key.key.spki
        assert reading.problems == ()
    # Its task ends; the next one has a new version beside the old.
    newer = authority().issue("a.example.org")
    (tmp_path / "c2").write_bytes(newer.pair)
    second = Reader(addresses=("127.0.0.1",), secrets=(*first.secrets, ("c2", "shop_site.crt.v2")))
    source.follow([replace(second, addresses=())], {"c1", "k1", "c2"})
    async with running(envoy_binary, tmp_path, pki, {"c2": tmp_path / "c2"}, port=port):
        source.follow([second], {"c1", "k1", "c2"})
        reading = await followed.have("shop_site.crt", "shop_site.crt.v2", "shop_site.key")
    assert reading.cause == "secret shop_site.crt.v2"
    # A reader from which all is read is asked for nothing more: nobody listens there now.
    source.follow([second], {"c1", "k1", "c2"})
    source.follow([second], {"k1", "c2"})
    reading = await followed.next()
    assert [each.name for each in reading.certificates.materials] == ["shop_site.crt.v2", "shop_site.key"]


@pytest.mark.envoy
async def test_the_first_reading_waits(pki: Path, envoy_binary: Path, tmp_path: Path, secrets: Path) -> None:
    """A control plane that starts while a reader is replaced does not take certificates away from edges."""
    following = Secrets(ReaderSource(identity(pki), free_port(), replace(QUICK, first=SECONDS)))
    held = Reader(addresses=("127.0.0.1",), secrets=(("c1", "site.crt"),))
    following.source.follow([replace(held, addresses=())], {"c1"})
    first = asyncio.create_task(following.next())
    async with running(envoy_binary, tmp_path, pki, {"c1": secrets / "c1"}, port=following.source.port):
        assert not first.done()
        following.source.follow([held], {"c1"})
        assert read(await first) == ("site.crt",)
    await following.close()


async def test_what_is_not_read_yet_has_a_name(followed: Secrets) -> None:
    """So a label that names it finds it, and says what it waits for; a version before it serves meanwhile."""
    followed.source.follow([Reader(addresses=(), secrets=(("c1", "site.crt.v2"),))], {"c1"})
    certificates = (await followed.next()).certificates
    choice = named(certificates, "site.crt", "", ["a.example.org"])
    assert choice.certificate is None
    assert choice.reason == '"site.crt.v2": its reader has not handed it over yet'


@pytest.mark.parametrize("address", ["::1", "no address", "a/b", "127.0.0.1:1"])
async def test_odd_addresses(followed: Secrets, address: str) -> None:
    """Whatever a label says, the source goes on."""
    followed.source.follow([Reader(addresses=(address,), secrets=(("c1", "site.crt"),))], {"c1"})
    reading = await followed.next()
    while not reading.problems:
        reading = await followed.next()
    assert address in reading.problems[0].reason


async def test_without_a_reader_there_is_a_reading(followed: Secrets) -> None:
    """At once: nobody is to wait for what is not there."""
    followed.source.follow([], ())
    assert await followed.next() == CertificatesReading(certificates=Certificates(), cause="secrets")


async def test_a_reader_that_does_not_answer_is_told(followed: Secrets) -> None:
    """The first reading waits for it for a while and comes without; the reason and the cure come after some time."""
    followed.source.follow([Reader(addresses=("127.0.0.1",), secrets=(("c1", "site.crt"),))], {"c1"})
    reading = await followed.next()
    while not reading.problems:
        reading = await followed.next()
    (problem,) = reading.problems
    assert (problem.source, problem.kind) == ("secret site.crt", "unread")
    assert "127.0.0.1 cannot be asked" in problem.reason
    assert "docker service ps" in problem.cure


async def test_its_own_certificate_cannot_be_read(pki: Path, tmp_path: Path) -> None:
    """The reason names it, and what it was renewed to is used."""
    own = tmp_path / "own"
    own.mkdir()
    following = Secrets(ReaderSource(identity(own), free_port(), QUICK))
    following.source.follow([Reader(addresses=("127.0.0.1",), secrets=(("c1", "site.crt"),))], {"c1"})
    reading = await following.next()
    while not reading.problems:
        reading = await following.next()
    assert "the control plane's own certificate cannot be used" in reading.problems[0].reason
    for name in ("ca.crt", "control-plane.crt", "control-plane.key"):
        (own / name).write_bytes((pki / name).read_bytes())
    while "cannot be asked" not in reading.problems[0].reason:
        reading = await following.next()
    await following.close()


@pytest.mark.envoy
async def test_what_a_secret_holds_is_checked(followed: Secrets, envoy_binary: Path, tmp_path: Path, pki: Path) -> None:
    """Garbage, an expired certificate, one near its end: each is told by the secret's name, and shows no key."""
    contents = {
        "junk": b"not a certificate",
        "late": authority().issue("a.example.org", days=(-20, -1)).pair,
        "near": authority().issue("a.example.org", days=(-80, 3)).pair,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    held = Reader(addresses=("127.0.0.1",), secrets=tuple((name, f"{name}.pem") for name in sorted(contents)))
    async with running(
        envoy_binary, tmp_path, pki, {name: tmp_path / name for name in contents}, port=followed.source.port
    ):
        followed.source.follow([held], contents.keys())
        reading = await followed.have("junk.pem", "late.pem", "near.pem")
    told = {problem.source: problem.reason for problem in reading.problems}
    assert set(told) == {"secret junk.pem", "secret late.pem", "secret near.pem"}
    assert "expired" in told["secret late.pem"]
    assert "it expires on" in told["secret near.pem"]
    assert not [line for content in contents.values() for line in secret_lines(content) if line in repr(reading)]
