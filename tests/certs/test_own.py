"""The control plane's own files: what is wrong with them is told before proxies find out."""

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from support.certificates import Issued, authority
from swarm_xds.certs.base import Identity
from swarm_xds.certs.own import OwnCertificates
from swarm_xds.certs.stock import Origin

DAY = 86_400
CA = authority(days=(-30, 300))


def own(folder: Path, authorities: bytes, issued: Issued, *, days: float = 0) -> OwnCertificates:
    """Return a source of these files, so many days from now."""
    (folder / "ca.crt").write_bytes(authorities)
    (folder / "own.crt").write_bytes(issued.cert)
    (folder / "own.key").write_bytes(issued.key)
    identity = Identity(authorities=folder / "ca.crt", certificate=folder / "own.crt", key=folder / "own.key")
    return OwnCertificates(identity, lambda: time.time() + days * DAY)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param(0, [], id="all is well"),
        pytest.param(80, ["warning: own.crt: it expires on"], id="it ends soon"),
        pytest.param(
            91, ["error: own.crt: it has expired on", "no proxy takes this control plane any more"], id="it has ended"
        ),
        pytest.param(290, ["error: own.crt: it has", 'warning: ca.crt: "CN=Test CA" expires on'], id="the CA, too"),
        pytest.param(301, ["error: ca.crt: no authority's certificate", "no proxy is let in any more"], id="no CA"),
    ],
)
def test_what_ends_is_told(tmp_path: Path, days: float, expected: list[str]) -> None:
    """With what comes of it."""
    reading = own(tmp_path, CA.cert, CA.issue("localhost"), days=days).read()
    text = "\n".join(str(each).replace(f"{tmp_path}/", "") for each in reading.problems)
    assert all(each in text for each in expected), text
    assert bool(expected) == bool(text)
    assert {each.origin for each in reading.stock} == {Origin.SETTINGS}
    assert reading.certificates.materials == ()


def test_one_of_two_authorities_is_enough(tmp_path: Path) -> None:
    """As in a change of authority."""
    old = authority("Old", days=(-90, -1))
    (problem,) = own(tmp_path, old.cert + CA.cert, CA.issue("localhost")).read().problems
    assert str(problem.severity) == "warning"
    assert problem.reason.startswith('"CN=Old" has expired on ')


def test_a_certificate_without_a_name_will_do(tmp_path: Path) -> None:
    """Proxies know the control plane by its URI; a certificate for addresses alone is none of ours to refuse."""
    assert own(tmp_path, CA.cert, CA.issue(uris=["spiffe://swarm-xds/control-plane"])).read().problems == ()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Half written, or gone."""
    source = own(tmp_path, b"-----BEGIN CERTIFICATE-----\n", CA.issue("localhost"))
    (tmp_path / "own.crt").unlink()
    reasons = {Path(each.source).name: each.reason for each in source.read().problems}
    assert reasons["own.crt"].startswith("it cannot be read: ")
    assert "half written" in reasons["ca.crt"]


def test_a_key_that_hosts_are_not_served_with_is_not_our_business(tmp_path: Path) -> None:
    """The library takes it or leaves it; the end is told all the same."""
    weak = CA.issue("localhost", key=rsa.generate_private_key(65537, 1024))
    assert own(tmp_path, CA.cert, weak).read().problems == ()
    (problem,) = own(tmp_path, CA.cert, weak, days=91).read().problems
    assert problem.reason.startswith("it has expired on ")


async def test_it_is_read_at_once(tmp_path: Path) -> None:
    """Nothing waits for it."""
    async for reading in own(tmp_path, CA.cert, CA.issue("localhost")).readings():
        assert reading.problems == ()
        break
