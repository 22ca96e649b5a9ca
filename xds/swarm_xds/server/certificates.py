"""Mutual TLS of our ports: files in, gRPC's credentials out, and which fleet or operator a client's certificate names.

The files are looked at again for each handshake, so a renewal needs no restart and touches no stream. It must not know
who issues certificates, nor what is served.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

#: The URI in a member's certificate, before the fleet's name.
FLEET_URI = "spiffe://swarm-xds/fleet/"
#: The URI in an operator's certificate, before the operator's name.
OPERATOR_URI = "spiffe://swarm-xds/operator/"

#: Where gRPC puts the URIs of a client's certificate; ``x509_subject_alternative_name`` has other kinds of names too.
_PEER_URI = "peer_uri"
_PEER_CERTIFICATE = "x509_pem_cert"


class CertificateError(Exception):
    """A file of the TLS settings is of no use; the text names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files.

    Attributes:
        ca: The authorities whose clients are let in.
        certificate: The server's, followed by those between it and its authority, if any.
        key: The server's, not encrypted.
    """

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the files say, after they were found to fit each other.

    Attributes:
        expires: When the server's certificate ends.
    """

    ca: bytes
    certificate: bytes
    key: bytes
    expires: datetime


def load(files: TlsFiles) -> Loaded:
    """Read the files and check that they can be used.

    Raises:
        CertificateError: One cannot be read or is not what it should be, or the key is another certificate's.
    """
    ca, certificate, key = (_read(path) for path in (files.ca, files.certificate, files.key))
    _certificates(files.ca, ca)
    own = _certificates(files.certificate, certificate)[0]
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{files.key}: not a private key in PEM without a password: {error}") from error
    kind = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*kind) != own.public_key().public_bytes(*kind):
        raise CertificateError(f"{files.key}: the key is not that of the certificate in {files.certificate}")
    return Loaded(ca=ca, certificate=certificate, key=key, expires=own.not_valid_after_utc)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error


def _certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise CertificateError(f"{path}: not a certificate in PEM: {error}") from error


class Credentials:
    """Credentials that follow their files.

    Args:
        files: Where they come from.
        on_loaded: Is told of each new content, the first included.
        on_error: Is told once of each content that is of no use; what was loaded last stays.

    Both are called on whichever thread does the handshake.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        on_loaded: Callable[[Loaded], None] = lambda _: None,
        on_error: Callable[[CertificateError], None] = lambda _: None,
    ) -> None:
        self._files = files
        self._on_loaded = on_loaded
        self._on_error = on_error
        self._lock = Lock()
        self._stamp: object = None
        self._loaded: Loaded | None = None
        self._error = ""

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server takes; it lets in only clients with a certificate of the authorities.

        Raises:
            CertificateError: The files are of no use now.
        """
        self._stamp = self._looked_at()
        loaded = self._loaded = load(self._files)
        self._on_loaded(loaded)
        return grpc.dynamic_ssl_server_credentials(
            _configuration(loaded),
            self._renewed,  # type: ignore[arg-type] # gRPC takes None for "as before", and its stubs do not say so
            require_client_authentication=True,
        )

    def authorities(self) -> bytes | None:
        """Return who vouches for clients by the files as they are now; ``None`` if these are of no use."""
        try:
            return load(self._files).ca
        except CertificateError:
            return None

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return a new configuration if the files have changed to something of use, else ``None``; for gRPC to call."""
        with self._lock:
            stamp = self._looked_at()
            if stamp == self._stamp:
                return None
            try:
                loaded = load(self._files)
            except CertificateError as error:
                # Not remembered as seen: the other half of a renewal may come without a difference in time or size.
                if str(error) != self._error:
                    self._error = str(error)
                    self._on_error(error)
                return None
            self._stamp, self._error = stamp, ""
            if loaded == self._loaded:
                return None
            self._loaded = loaded
            self._on_loaded(loaded)
            return _configuration(loaded)

    def _looked_at(self) -> object:
        """Return what changes when a file does, also when a link is set to another."""
        stamps = []
        for path in (self._files.ca, self._files.certificate, self._files.key):
            try:
                status = path.stat()
            except OSError as error:
                stamps.append((error.errno, 0, 0))
            else:
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(stamps)


def _configuration(loaded: Loaded) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.certificate)], root_certificates=loaded.ca)


def expiry(authentication: Mapping[str, Iterable[bytes]]) -> datetime | None:
    """Return when a client's certificate ends; ``None`` if gRPC has none to show.

    Args:
        authentication: What gRPC's ``auth_context`` says of the client.
    """
    for content in authentication.get(_PEER_CERTIFICATE, ()):
        return x509.load_pem_x509_certificate(content).not_valid_after_utc
    return None


def certified_fleet(authentication: Mapping[str, Iterable[bytes]]) -> str | None:
    """Return the fleet that a client's certificate names; ``None`` if it names none, or more than one.

    Args:
        authentication: What gRPC's ``auth_context`` says of the client.
    """
    uris = certified_uris(authentication)
    fleets = [uri.removeprefix(FLEET_URI) for uri in uris if uri.startswith(FLEET_URI)]
    return fleets[0] if len(fleets) == 1 and fleets[0] else None


def certified_operator(authentication: Mapping[str, Iterable[bytes]]) -> str | None:
    """Return the operator that a client's certificate names; ``None`` if it names anything else, or more than that.

    Args:
        authentication: As for ``certified_fleet``.
    """
    uris = certified_uris(authentication)
    if len(uris) != 1 or not uris[0].startswith(OPERATOR_URI):
        return None
    return uris[0].removeprefix(OPERATOR_URI) or None


def certified_uris(authentication: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """Return every URI that a client's certificate names.

    Args:
        authentication: As for ``certified_fleet``.
    """
    return tuple(uri.decode("utf-8", "replace") for uri in authentication.get(_PEER_URI, ()))
