"""The PKI as files of a directory, and the changes to it, each of which may be broken off anywhere and called again.

    ca.crt               the authorities that are trusted, the one that issues first
    ca.key               the key of the one that issues; it is needed nowhere but here
    ca-next.key          during a change of authority: the key of the one that is to issue next
    control-plane.crt    and .key; also fleet-<name>.crt and .key, relay.crt and .key, operator-<name>.crt and .key

Certificates can be read by all, keys by their owner only. Each file is written in one step.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from swarm_xds.certs import files
from swarm_xds.certs.parse import UnusableError, parse, spki
from swarm_xds.certs.values import PrivateKey
from swarm_xds.pki.issue import Authority, Issued, Member, is_operator, member_of

#: The part of its life that a certificate has left when it is renewed.
RENEW_BELOW = 1 / 3
#: An authority that ends sooner cannot issue for a whole life of a certificate any more.
REPLACE_BEFORE = timedelta(days=2 * 397)

_BUNDLE, _KEY, _NEXT = "ca.crt", "ca.key", "ca-next.key"


class PkiError(Exception):
    """The directory's content cannot be used as it is; the message names the file and says what to do."""


class Step(StrEnum):
    """How far a change of authority has come."""

    TRUSTED = "trusted"
    ISSUES = "issues"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file that was made anew, and until when what it holds is valid."""

    name: str
    until: datetime


class Store:
    """A directory with a PKI. Every change has to be made within ``files.locked``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether there is an authority, or a part of one."""
        return (self.folder / _BUNDLE).exists() or (self.folder / _KEY).exists()

    def members(self) -> dict[str, x509.Certificate]:
        """Return the certificates that there are, by their member's name.

        Raises:
            PkiError: One cannot be read.
        """
        paths = sorted(self.folder.glob("*.crt"))
        return {path.stem: self._certificates(path.name)[0] for path in paths if path.name != _BUNDLE}

    def init(self, members: Iterable[Member], now: datetime) -> list[Change]:
        """Make the authority and the certificates of these members, as far as there are none that name all their hosts.

        Raises:
            PkiError: What is there cannot be used.
            OSError: The directory cannot be written to.
        """
        changes = []
        if not self.exists:
            authority = Authority.make(now)
            self._write_key(_KEY, authority.key)
            self._write_bundle([authority.certificate])
            changes.append(Change(name=_BUNDLE, until=authority.certificate.not_valid_after_utc))
        authority, _ = self._authorities()
        there = self.members()
        for member in members:
            hosts = self._member(member.name, there[member.name]).hosts if member.name in there else ()
            if member.name not in there or not set(member.hosts) <= set(hosts):
                every = tuple(dict.fromkeys((*hosts, *member.hosts)))
                changes.append(self._issue(authority, replace(member, hosts=every), now))
        return changes

    def renew(self, now: datetime, *, everything: bool = False) -> list[Change]:
        """Renew what is due: certificates near their end, without their key, or of an authority that issues no more.

        Raises:
            PkiError: What is there cannot be used.
            OSError: The directory cannot be written to.
        """
        authority, _ = self._authorities()
        changes = []
        for name, certificate in self.members().items():
            if everything or self._is_due(name, certificate, authority, now):
                changes.append(self._issue(authority, self._member(name, certificate), now))
        return changes

    def change_authority(self, now: datetime) -> tuple[Step, list[Change]]:
        """Take the next of three steps: trust a new authority too, let it issue, no longer trust the old one.

        After each of them every holder of the files has to have them before the next one is taken.

        Raises:
            PkiError: What is there cannot be used.
            OSError: The directory cannot be written to.
        """
        authority, trusted = self._authorities()
        coming = self._next(trusted)
        if coming is None and len(trusted) > 1:
            changes = self.renew(now)  # nothing, unless the step before was broken off
            if not changes:
                self._write_bundle([authority.certificate])
            return (Step.ISSUES, changes) if changes else (Step.RETIRED, [self._bundle_change()])
        if coming is None:
            fresh = Authority.make(now)
            self._write_key(_NEXT, fresh.key)
            self._write_bundle([*trusted, fresh.certificate])
            return Step.TRUSTED, [self._bundle_change()]
        self._write_bundle([coming.certificate, *(each for each in trusted if each != coming.certificate)])
        (self.folder / _NEXT).replace(self.folder / _KEY)
        return Step.ISSUES, [self._bundle_change(), *self.renew(now)]

    def ending_authority(self, now: datetime) -> datetime | None:
        """Return when the authority ends, if it is time to change it.

        Raises:
            PkiError: What is there cannot be used.
        """
        authority, _ = self._authorities()
        until = authority.certificate.not_valid_after_utc
        return until if until - now < REPLACE_BEFORE else None

    def contents(self) -> dict[str, bytes]:
        """Return what the swarm needs, by file name: everything but the authority's keys and what is an operator's.

        Raises:
            PkiError: A file is missing or cannot be read, or names no member.
        """
        members = [name for name, found in self.members().items() if not is_operator(self._member(name, found))]
        names = [_BUNDLE, *(f"{name}{ending}" for name in members for ending in (".crt", ".key"))]
        return {name: self._read(name) for name in names}

    def _is_due(self, name: str, certificate: x509.Certificate, authority: Authority, now: datetime) -> bool:
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        if certificate.not_valid_after_utc - now < life * RENEW_BELOW:
            return True
        if certificate.issuer != authority.certificate.subject:
            return True
        try:
            return self._key(f"{name}.key").spki != _spki(certificate)
        except PkiError:
            return True

    def _member(self, name: str, certificate: x509.Certificate) -> Member:
        try:
            return member_of(name, certificate)
        except ValueError as error:
            raise PkiError(f"{self.folder / name}.crt: {error}: move it away") from None

    def _issue(self, authority: Authority, member: Member, now: datetime) -> Change:
        issued: Issued = authority.issue(member, now)
        self._write_key(f"{member.name}.key", issued.key)
        files.write(self.folder / f"{member.name}.crt", issued.pem, files.PUBLIC)
        return Change(name=f"{member.name}.crt", until=issued.certificate.not_valid_after_utc)

    def _authorities(self) -> tuple[Authority, list[x509.Certificate]]:
        """Return the authority that issues, and all that are trusted."""
        trusted, key = self._certificates(_BUNDLE), self._key(_KEY)
        for certificate in trusted:
            if _spki(certificate) == key.spki:
                return Authority(certificate, key), trusted
        reason = f"none of the authorities in {_BUNDLE} has this key"
        raise PkiError(f"{self.folder / _KEY}: {reason}: put the file that belongs to them back")

    def _next(self, trusted: Iterable[x509.Certificate]) -> Authority | None:
        """Return the authority that is to issue next; None if there is none that is trusted already."""
        if not (self.folder / _NEXT).exists():
            return None
        key = self._key(_NEXT)
        return next((Authority(each, key) for each in trusted if _spki(each) == key.spki), None)

    def _bundle_change(self) -> Change:
        trusted = self._certificates(_BUNDLE)
        return Change(name=_BUNDLE, until=trusted[0].not_valid_after_utc)

    def _certificates(self, name: str) -> list[x509.Certificate]:
        try:
            found = parse(self._read(name)).certificates
        except UnusableError as error:
            raise PkiError(f"{self.folder / name}: {error}: put the right file back") from None
        if not found:
            raise PkiError(f"{self.folder / name}: it holds no certificate: put the right file back")
        return list(found)

    def _key(self, name: str) -> PrivateKey:
        try:
            key = parse(self._read(name)).key
        except UnusableError as error:
            raise PkiError(f"{self.folder / name}: {error}: put the right file back") from None
        if key is None or not isinstance(load_pem_private_key(key.reveal(), None), ec.EllipticCurvePrivateKey):
            raise PkiError(f"{self.folder / name}: it holds no ECDSA key: put the right file back")
        return key

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise PkiError(f"{self.folder / name}: {error.strerror}") from None

    def _write_bundle(self, certificates: Iterable[x509.Certificate]) -> None:
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
        files.write(self.folder / _BUNDLE, pem, files.PUBLIC)

    def _write_key(self, name: str, key: PrivateKey) -> None:
        files.write(self.folder / name, key.reveal())


def _spki(certificate: x509.Certificate) -> str:
    public = certificate.public_key()
    return spki(public) if isinstance(public, ec.EllipticCurvePublicKey) else ""
