"""Every certificate, who uses it and why it is not well: what sources have, beside what is served."""

from dataclasses import replace
from pathlib import Path

import pytest

from support.certificates import Issued, authority, issue, secret_lines
from support.story import Story, service
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Authority, Certificates, Chain, Material
from swarm_xds.observe.inventory import Entry, Holding, Role, Use, inventory
from swarm_xds.swarm import Secret

CA = authority("Clients")
SHOP = "shop.example.org"


@pytest.fixture
def story() -> Story:
    """A story that was not told yet."""
    return Story()


class Folder:
    """A directory of certificates, and the source that follows it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = CertificateDirectory(path)

    def write(self, **files: bytes) -> CertificatesReading:
        """Write files, named with ``_`` for a dot, and read."""
        for name, content in files.items():
            (self._path / name.replace("_", ".")).write_bytes(content)
        return self.read()

    def remove(self, name: str) -> CertificatesReading:
        """Remove a file, and read."""
        (self._path / name).unlink()
        return self.read()

    def read(self) -> CertificatesReading:
        """Read."""
        reading = self._source.read()
        assert reading is not None
        return reading


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty directory."""
    return Folder(tmp_path)


def told(story: Story) -> list[tuple[str, str, str]]:
    """Return state, name and reason of each."""
    assert story.record.situation is not None
    return [(str(each.holding), each.name, each.reason) for each in inventory(story.record.situation)]


def entry(story: Story, name: str) -> Entry:
    """Return the one of this name."""
    assert story.record.situation is not None
    (found,) = (each for each in inventory(story.record.situation) if each.name == name)
    return found


def expires(issued: Issued) -> int:
    """Return when a certificate ends."""
    return int(issued.certificate.not_valid_after_utc.timestamp())


def test_a_certificate_that_is_served(story: Story, folder: Folder) -> None:
    """With everything that people ask of it, and no key."""
    pair = CA.issue(SHOP, "www.example.org")
    story.publish(service("shop", ssl_cert="site.pem"), certificates=folder.write(site_pem=pair.pair))
    found = entry(story, "site.pem")
    assert (found.role, found.holding, found.origin, found.reason) == (
        Role.SERVER,
        Holding.SERVED,
        Origin.DIRECTORY,
        "",
    )
    assert found.uses == (Use(fleet="default", host=SHOP, services=("shop",)),)
    assert isinstance(found.certificate, Chain)
    assert found.certificate.names == (SHOP, "www.example.org")
    assert (found.certificate.issuer, found.certificate.key_type) == ("CN=Clients", "ECDSA P-256")
    assert found.certificate.not_after == expires(pair)
    assert not any(line in repr(found) for line in secret_lines(pair.pair))
    assert story.record.situation is not None
    assert all(each.material.key is None for each in story.record.situation.stock)


def test_what_nobody_asks_for_and_what_cannot_be_used(story: Story, folder: Folder) -> None:
    """Each is there, with the reason."""
    reading = folder.write(
        other_pem=CA.issue("other.example.org").pair,
        old_pem=CA.issue("old.example.org", days=(-90, -1)).pair,
        bad_pem=b"not PEM",
        lone_key=CA.issue("lone.example.org").key,
    )
    story.publish(service("shop"), certificates=reading)
    (bad, old, other) = told(story)
    assert bad == ("unusable", "bad.pem", "it is no PEM")
    assert old[:2] == ("unusable", "old.pem")
    assert old[2].startswith("it has expired on ")
    assert other == ("unused", "other.pem", "")


def test_the_last_good_one_is_held(story: Story, folder: Folder) -> None:
    """While its file has something bad; the reason is that of the bad one."""
    shop = service("shop", ssl_cert="site.pem")
    story.publish(shop, certificates=folder.write(site_pem=CA.issue(SHOP).pair))
    story.publish(shop, certificates=folder.write(site_pem=b"-----BEGIN CERTIFICATE-----\n"))
    assert told(story) == [
        ("held", "site.pem", "a block that begins in it does not end: half written, or cut off"),
    ]


def test_a_newer_version_that_cannot_be_used(story: Story, folder: Folder) -> None:
    """The version before it is held, and the newer one has its reason."""
    reading = folder.write(site_pem_v1=CA.issue(SHOP).pair, site_pem_v2=CA.issue(SHOP, days=(-90, -1)).pair)
    story.publish(service("shop", ssl_cert="site.pem"), certificates=reading)
    (one, two) = told(story)
    assert one[:2] == ("held", "site.pem.v1")
    assert '"site.pem.v2": it has expired on' in one[2]
    assert two[:2] == ("unusable", "site.pem.v2")


def test_one_whose_source_is_gone(story: Story, folder: Folder) -> None:
    """The last good one is served from memory, and said to be."""
    shop = service("shop", ssl_cert="site.pem")
    story.publish(shop, certificates=folder.write(site_pem=CA.issue(SHOP).pair))
    story.publish(shop)
    found = entry(story, "site.pem")
    assert (found.holding, found.origin) == (Holding.HELD, Origin.MEMORY)
    assert 'there is no file or secret "site.pem"' in found.reason
    assert found.certificate is not None


def test_a_host_that_waits(story: Story) -> None:
    """It has an entry of its own, with the host's reason; an order's own words come before it."""
    shop = service("shop", ssl_only="true")
    story.publish(shop)
    (missing,) = told(story)
    assert missing[:2] == ("missing", "")
    assert missing[2].startswith(f"no certificate names {SHOP}: ")
    ordered = Stock(origin=Origin.ACME, material=Material(name=SHOP, reason="the authority says no"))
    story.publish(shop, certificates=CertificatesReading(certificates=Certificates(), stock=(ordered,)))
    assert told(story) == [("missing", "", "the authority says no")]


def test_authorities_of_clients(story: Story, folder: Folder) -> None:
    """Each of a bundle, with the hosts whose clients it verifies; what has expired in it is told."""
    bundle = CA.cert + authority("Old", days=(-90, -1)).cert
    reading = folder.write(site_pem=CA.issue(SHOP).pair, clients_pem=bundle)
    shop = service("shop", ssl_cert="site.pem")
    labels = (*shop.labels, ("xds.tls.client_ca", "clients.pem"))
    story.publish(replace(shop, labels=tuple(sorted(labels))), certificates=reading)
    assert story.record.situation is not None
    found = [each for each in inventory(story.record.situation) if each.role is Role.AUTHORITY]
    assert [each.certificate.subject for each in found if isinstance(each.certificate, Authority)] == [
        "CN=Clients",
        "CN=Old",
    ]
    assert {(each.name, each.holding, each.uses) for each in found} == {
        ("clients.pem", Holding.SERVED, (Use(fleet="default", host=SHOP, services=("shop",)),))
    }
    assert all('"CN=Old" has expired on' in each.reason for each in found)


def test_a_secret_has_its_stack(story: Story) -> None:
    """By the secret of the swarm; one that is not read yet says why."""
    stock = Stock(origin=Origin.SECRET, material=Material(name="shop_site.crt", reason="its reader does not run yet"))
    story.publish(service("shop"), certificates=CertificatesReading(certificates=Certificates(), stock=(stock,)))
    situation = story.record.situation
    assert situation is not None
    state = replace(situation.state, secrets=(Secret(id="1", name="shop_site.crt", stack="shop"),))
    (found,) = inventory(replace(situation, state=state))
    assert (found.stack, found.holding, found.reason) == ("shop", Holding.UNUSABLE, "its reader does not run yet")


def test_the_default_certificate_is_used(story: Story, folder: Folder) -> None:
    """By clients that name no host."""
    story.publish(service("shop"), certificates=folder.write(default_pem=issue("any.example.org").pair))
    assert entry(story, "default.pem").uses[-1] == Use(fleet="default", host="*")
