"""The state of ACME in a directory that all replicas share.

    state.json           what was tried, when, and who we are to the authority
    account.pem          the key of our account
    certs/<host>.pem     a certificate, its chain and its key
    challenges/<token>   what the authority asks for now
    *.bad                a file of the above that could not be read

Everything is for the owner's eyes only, and written in one step. Whoever writes holds the directory's lock; reading
needs none.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import TypeAdapter, ValidationError

from swarm_xds.certs import check, files
from swarm_xds.certs.acme.options import ChallengeType
from swarm_xds.certs.acme.pacing import Account, Attempts
from swarm_xds.certs.values import Certificate, Certificates, Challenge, TlsChallenge

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CHALLENGE = "/.well-known/acme-challenge/"
_STATE, _ACCOUNT_KEY = "state.json", "account.pem"
#: What a challenge's file has beside the host: a text for HTTP, or a certificate with its key for a handshake.
_ANSWER, _PEM = "answer", "pem"


class StateError(Exception):
    """What was tried cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was tried.

    Attributes:
        hosts: By host.
    """

    account: Account = field(default_factory=Account)
    hosts: Mapping[str, Attempts] = field(default_factory=dict)


#: What another version has written beside it is passed over.
_STATES = TypeAdapter(State)


class Folder:
    """The directory. Its methods raise ``OSError`` where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.certificates = path / "certs"
        self._challenges = path / "challenges"

    def make(self) -> None:
        """Make the directory and its folders, as far as they are not there."""
        for each in (self.path, self.certificates, self._challenges):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def state(self) -> State:
        """Read what was tried.

        Raises:
            StateError: It is not what was written.
        """
        path = self.path / _STATE
        try:
            return _STATES.validate_json(path.read_bytes())
        except FileNotFoundError:
            return State()
        except ValidationError as error:
            raise StateError(f"{path}: {error.errors()[0]['msg']}") from None

    def save(self, state: State) -> None:
        """Write what was tried."""
        files.write(self.path / _STATE, _STATES.dump_json(state, indent=2) + b"\n")

    def account_key(self) -> ec.EllipticCurvePrivateKey:
        """Read the account's key, or make it; what is there and is none is set aside."""
        path = self.path / _ACCOUNT_KEY
        try:
            key = load_pem_private_key(path.read_bytes(), None)
            if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
                return key
            self.set_aside(_ACCOUNT_KEY)
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, UnsupportedAlgorithm):
            self.set_aside(_ACCOUNT_KEY)
        made = ec.generate_private_key(ec.SECP256R1())
        files.write(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    def set_aside(self, name: str = _STATE) -> None:
        """Put a file out of the way, for people to look at; the one before it is gone."""
        (self.path / name).replace(self.path / f"{name}.bad")

    def hosts(self) -> tuple[str, ...]:
        """Return the hosts that have a certificate, whether it is good or not."""
        return tuple(sorted(path.stem for path in self.certificates.glob("[!.]*.pem")))

    def certificate(self, host: str) -> bytes:
        """Read a host's certificate with its key; empty if there is none."""
        try:
            return (self.certificates / f"{host}.pem").read_bytes()
        except FileNotFoundError:
            return b""

    def save_certificate(self, host: str, content: bytes) -> None:
        """Write a host's certificate with its key."""
        files.write(self.certificates / f"{host}.pem", content)

    def remove_certificate(self, host: str) -> None:
        """Take a host's certificate away."""
        (self.certificates / f"{host}.pem").unlink(missing_ok=True)

    def challenges(self) -> Certificates:
        """Read what the authority asks for now; of two handshakes for one host, one is answered."""
        found: list[Challenge] = []
        shaken: dict[str, TlsChallenge] = {}
        for path in sorted(self._challenges.iterdir()):
            if _TOKEN.fullmatch(path.name):
                try:
                    document = json.loads(path.read_bytes())
                    host = str(document["host"])
                    if _PEM in document:
                        shaken |= _handshake(host, str(document[_PEM]).encode())
                    else:
                        answer = str(document[_ANSWER])
                        found.append(Challenge(host=host, path=_CHALLENGE + path.name, answer=answer))
                except (FileNotFoundError, ValueError, TypeError, KeyError):
                    continue  # it has just been taken away, or is none of ours
        handshakes = tuple(shaken[host] for host in sorted(shaken))
        return Certificates(challenges=tuple(sorted(found)), tls_challenges=handshakes)

    def save_challenge(self, host: str, kind: ChallengeType, token: str, answer: str) -> None:
        """Write a challenge; ``answer`` is a text for HTTP, a certificate and its key for a handshake.

        Raises:
            ValueError: The token is no token.
        """
        if not _TOKEN.fullmatch(token):
            raise ValueError("the challenge's token is none")
        content = {"host": host, _ANSWER if kind is ChallengeType.HTTP_01 else _PEM: answer}
        files.write(self._challenges / token, json.dumps(content).encode())

    def clear_challenges(self) -> None:
        """Take all challenges away: whoever holds the lock is the only one who orders."""
        for path in self._challenges.iterdir():
            path.unlink(missing_ok=True)

    def clear_parts(self) -> None:
        """Take away what is left of writes that were broken off: whoever holds the lock is the only one who writes."""
        for folder in (self.path, self.certificates):
            for path in (*folder.glob(".*.pem.*"), *folder.glob(f".{_STATE}.*")):
                path.unlink(missing_ok=True)


def _handshake(host: str, content: bytes) -> dict[str, TlsChallenge]:
    material = check.read(host, content).material
    if material.chain is None or material.key is None:
        return {}
    certificate = Certificate(name=f"challenge of {host}", chain=material.chain, key=material.key)
    return {host: TlsChallenge(host=host, certificate=certificate)}
