"""The PKI in files: what is made, what is renewed, and a change of authority, broken off anywhere."""

import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder
from cryptography.x509.verification import Store as Trusted

from swarm_xds.certs import files
from swarm_xds.pki import issue
from swarm_xds.pki.store import PkiError, Step, Store

NOW = datetime.now(UTC).replace(microsecond=0)
MEMBERS = [issue.control_plane(["xds.example.org", "10.0.0.9"]), issue.fleet("default"), issue.relay()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A PKI."""
    store = Store(tmp_path)
    store.init(MEMBERS, NOW)
    return store


def certificate(store: Store, name: str) -> x509.Certificate:
    """Return a certificate by its file's name."""
    return x509.load_pem_x509_certificate((store.folder / name).read_bytes())


def trusts(bundle: bytes, holder: Store, name: str = "fleet-default") -> bool:
    """Return whether who has this bundle lets in who has the certificate."""
    policy = PolicyBuilder().store(Trusted(x509.load_pem_x509_certificates(bundle))).time(NOW)
    try:
        policy.build_client_verifier().verify(certificate(holder, f"{name}.crt"), [])
    except Exception:
        return False
    return True


def bundle(store: Store) -> bytes:
    """Return whom the holders of the files trust."""
    return (store.folder / "ca.crt").read_bytes()


def test_each_certificate_says_who_it_is_for(store: Store) -> None:
    """By its URI; a server also by the names at which it is reached."""
    expected = {
        "control-plane.crt": (
            "spiffe://swarm-xds/control-plane",
            ["control-plane", "tasks.control-plane", "localhost", "xds.example.org"],
            ["127.0.0.1", "::1", "10.0.0.9"],
            ["serverAuth", "clientAuth"],
        ),
        "fleet-default.crt": ("spiffe://swarm-xds/fleet/default", [], [], ["clientAuth"]),
        "relay.crt": ("spiffe://swarm-xds/relay", [], [], ["serverAuth"]),
    }
    for name, (uri, hosts, addresses, usages) in expected.items():
        made = certificate(store, name)
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
        assert names.get_values_for_type(x509.DNSName) == hosts
        assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == addresses
        found = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [each._name for each in found] == usages
        assert made.not_valid_after_utc - NOW == issue.MEMBER_LIFE
    assert certificate(store, "ca.crt").not_valid_after_utc - NOW == issue.AUTHORITY_LIFE


def test_openssl_takes_the_files(store: Store) -> None:
    """As a server that demands the other's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=store.folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(store.folder / "control-plane.crt", store.folder / "control-plane.key")
    assert trusts(bundle(store), store)


def test_keys_are_their_owners_alone(store: Store) -> None:
    """Certificates are for all; nothing else is left lying about."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.folder.iterdir()}
    assert modes == {
        "ca.crt": 0o644,
        "ca.key": 0o600,
        **{f"{member.name}.crt": 0o644 for member in MEMBERS},
        **{f"{member.name}.key": 0o600 for member in MEMBERS},
    }


def test_a_second_call_adds_what_is_missing(store: Store) -> None:
    """And touches nothing else."""
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    changes = store.init([*MEMBERS, issue.fleet("internal")], NOW)
    assert [change.name for change in changes] == ["fleet-internal.crt"]
    assert {name: (store.folder / name).read_bytes() for name in before} == before
    assert trusts(bundle(store), store, "fleet-internal")


def test_another_name_of_the_control_plane_is_added(store: Store) -> None:
    """Those that it has stay."""
    changes = store.init([issue.control_plane(["second.example.org"]), *MEMBERS[1:]], NOW)
    assert [change.name for change in changes] == ["control-plane.crt"]
    names = certificate(store, "control-plane.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {"xds.example.org", "second.example.org"} <= set(names.value.get_values_for_type(x509.DNSName))
    assert store.init([issue.control_plane(["xds.example.org"])], NOW) == []


@pytest.mark.parametrize("name", ["", "a b", "http://a", "*.org", "-a", "a..b", "x" * 64])
def test_a_name_of_the_control_plane_that_is_none(name: str) -> None:
    """Neither a DNS name nor an address."""
    with pytest.raises(ValueError, match="is neither a DNS name nor an address"):
        issue.control_plane([name])


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "é", "x" * 52, "a:b", ".a"])
def test_a_fleet_that_cannot_be_named(name: str) -> None:
    """In a URI, and in the name of a file."""
    with pytest.raises(ValueError, match="cannot name a fleet"):
        issue.fleet(name)


def test_what_is_due_is_renewed(store: Store) -> None:
    """With less than a third of its life left; with the same names, and another key."""
    assert store.renew(NOW + issue.MEMBER_LIFE * 0.6) == []
    later = NOW + issue.MEMBER_LIFE * 0.7
    keys = {path.name: path.read_bytes() for path in store.folder.glob("*.key")}
    changes = store.renew(later)
    assert [change.name for change in changes] == ["control-plane.crt", "fleet-default.crt", "relay.crt"]
    assert {change.until for change in changes} == {later + issue.MEMBER_LIFE}
    changed = {path.name for path in store.folder.glob("*.key") if path.read_bytes() != keys[path.name]}
    assert changed == keys.keys() - {"ca.key"}
    made = certificate(store, "control-plane.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "xds.example.org" in made.value.get_values_for_type(x509.DNSName)
    assert store.renew(later) == []
    assert len(store.renew(later, everything=True)) == 3


def test_a_certificate_ends_with_its_authority(store: Store) -> None:
    """And one is told in time that the authority does."""
    assert store.ending_authority(NOW) is None
    late = NOW + issue.AUTHORITY_LIFE - timedelta(days=30)
    until = certificate(store, "ca.crt").not_valid_after_utc
    assert store.ending_authority(late) == until
    assert {change.until for change in store.renew(late)} == {until}


def test_a_change_of_authority_keeps_everybody_talking(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever has the files of one step and whoever has those of the next trust each other."""
    before = copied(store, tmp_path_factory)
    for step in (Step.TRUSTED, Step.ISSUES, Step.RETIRED):
        assert store.change_authority(NOW)[0] is step
        assert trusts(bundle(before), store), step
        assert trusts(bundle(store), before), step
        before = copied(store, tmp_path_factory)
    assert bundle(store).count(b"BEGIN") == 1
    assert sorted(path.name for path in store.folder.glob("ca*")) == ["ca.crt", "ca.key"]


def copied(store: Store, folders: pytest.TempPathFactory) -> Store:
    """Return a copy of a PKI."""
    folder = folders.mktemp("copy")
    for path in store.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return Store(folder)


class BrokenOffError(Exception):
    """The process has ended here."""


def test_every_change_may_be_broken_off_anywhere(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is completed when it is called again; nobody is ever locked out in between."""
    real_write, real_replace = files.write, Path.replace
    calls: list[Callable[[Store], Any]] = [
        lambda store: store.renew(NOW, everything=True),
        *[lambda store: store.change_authority(NOW)] * 3,
    ]
    for number in range(len(calls)):
        for writes in range(12):
            store = Store(tmp_path_factory.mktemp("pki"))
            store.init(MEMBERS, NOW)
            for call in calls[:number]:
                call(store)
            before = copied(store, tmp_path_factory)
            left = writes

            def counted(work: Callable[..., Any], *args: Any) -> Any:
                nonlocal left
                if left == 0:
                    raise BrokenOffError
                left -= 1
                return work(*args)

            monkeypatch.setattr(files, "write", lambda *args: counted(real_write, *args))
            try:
                calls[number](store)
                done = True
            except BrokenOffError:
                done = False
            finally:
                monkeypatch.setattr(files, "write", real_write)
            assert Path.replace is real_replace
            if done:
                break
            assert trusts(bundle(before), store), (number, writes)
            assert trusts(bundle(store), before), (number, writes)
            for _ in range(4):  # each call leads on, and the last one to rest
                if number:
                    store.change_authority(NOW)
                else:
                    store.renew(NOW)
                whole(store)
        else:
            pytest.fail("it never came to its end")


def whole(store: Store) -> None:
    """Check that each key is its certificate's, and that everybody is trusted."""
    for name in store.members():
        ssl.create_default_context().load_cert_chain(store.folder / f"{name}.crt", store.folder / f"{name}.key")
    assert trusts(bundle(store), store)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda folder: (folder / "ca.key").unlink(), "ca.key: No such file", id="no key"),
        pytest.param(lambda folder: (folder / "ca.crt").unlink(), "ca.crt: No such file", id="no bundle"),
        pytest.param(lambda folder: (folder / "ca.crt").write_bytes(b"x"), "ca.crt: it is no PEM", id="garbage"),
        pytest.param(
            lambda folder: (folder / "relay.key").replace(folder / "ca.key"),
            "ca.key: none of the authorities in ca.crt has this key",
            id="another key",
        ),
        pytest.param(lambda folder: (folder / "ca.crt").replace(folder / "ca.key"), "ca.crt: No such", id="swapped"),
        pytest.param(
            lambda folder: (folder / "strange.crt").write_bytes((folder / "ca.crt").read_bytes()),
            "strange.crt: its certificate names no member: move it away",
            id="a stranger",
        ),
    ],
)
def test_what_cannot_be_used_is_told(store: Store, spoil: Callable[[Path], object], reason: str) -> None:
    """With the file, and without touching anything."""
    spoil(store.folder)
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    with pytest.raises(PkiError) as failure:
        store.renew(NOW, everything=True)
    assert reason in str(failure.value)
    if "stranger" not in reason and "strange.crt" not in reason:
        assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before


def test_a_key_that_was_not_written_is_made_again(store: Store) -> None:
    """A pair that does not fit is due."""
    (store.folder / "relay.key").unlink()
    assert [change.name for change in store.renew(NOW)] == ["relay.crt"]
    (store.folder / "relay.key").write_bytes((store.folder / "fleet-default.key").read_bytes())
    assert [change.name for change in store.renew(NOW)] == ["relay.crt"]
    assert "ca.key" not in store.contents()


def test_what_is_an_operators_stays_in_the_folder(store: Store) -> None:
    """It is made and renewed with the rest, and the swarm gets none of it: neither its key nor another version."""
    before = store.contents()
    (made,) = store.init([issue.operator("alice")], NOW)
    assert made.name == "operator-alice.crt"
    assert stat.S_IMODE((store.folder / "operator-alice.key").stat().st_mode) == 0o600
    assert store.contents() == before
    assert "operator-alice.crt" in [change.name for change in store.renew(NOW, everything=True)]
    names = certificate(store, "operator-alice.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [each.value for each in names.value] == ["spiffe://swarm-xds/operator/alice"]
    assert trusts(bundle(store), store, "operator-alice")
