"""The state of ACME in a directory that all replicas share.

    state.json           what was tried, when, and who we are to the authority
    account.pem          the key of our account
    certs/<host>.pem     a certificate, its chain and its key
    challenges/<token>   what the authority asks for now

Everything is for the owner's eyes only, and written in one step. Whoever writes holds the directory's lock; reading
needs none.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from swarm_xds.certs import files
from swarm_xds.certs.acme.pacing import Account, Attempts
from swarm_xds.certs.values import Challenge

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CHALLENGE = "/.well-known/acme-challenge/"


class StateError(Exception):
    """The state cannot be read, so that nothing is ordered: what was tried before is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was tried.

    Attributes:
        hosts: By host.
    """

    account: Account = field(default_factory=Account)
    hosts: Mapping[str, Attempts] = field(default_factory=dict)


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
        path = self.path / "state.json"
        try:
            document = json.loads(path.read_bytes())
            hosts = {host: Attempts(**_values(each)) for host, each in document["hosts"].items()}
            return State(account=Account(**_values(document["account"])), hosts=hosts)
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StateError(f"{path}: {type(error).__name__}: {error}") from None

    def save(self, state: State) -> None:
        """Write what was tried."""
        hosts = {host: asdict(each) for host, each in sorted(state.hosts.items())}
        document = {"account": asdict(state.account), "hosts": hosts}
        files.write(self.path / "state.json", json.dumps(document, indent=2).encode() + b"\n")

    def account_key(self) -> ec.EllipticCurvePrivateKey:
        """Read the account's key, or make it.

        Raises:
            StateError: It is not what was written.
        """
        path = self.path / "account.pem"
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError:
            key = ec.generate_private_key(ec.SECP256R1())
            files.write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        except (ValueError, TypeError):
            raise StateError(f"{path}: it holds no private key") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StateError(f"{path}: its key is of another kind")
        return key

    def save_certificate(self, host: str, content: bytes) -> None:
        """Write a host's certificate with its key."""
        files.write(self.certificates / f"{host}.pem", content)

    def challenges(self) -> tuple[Challenge, ...]:
        """Read what the authority asks for now."""
        found = []
        for path in sorted(self._challenges.iterdir()):
            if _TOKEN.fullmatch(path.name):
                try:
                    document = json.loads(path.read_bytes())
                    found.append(
                        Challenge(
                            host=str(document["host"]), path=_CHALLENGE + path.name, answer=str(document["answer"])
                        )
                    )
                except (FileNotFoundError, ValueError, TypeError, KeyError):
                    continue  # it has just been taken away, or is none of ours
        return tuple(sorted(found))

    def save_challenge(self, host: str, token: str, answer: str) -> None:
        """Write a challenge.

        Raises:
            ValueError: The token is no token.
        """
        if not _TOKEN.fullmatch(token):
            raise ValueError("the challenge's token is none")
        files.write(self._challenges / token, json.dumps({"host": host, "answer": answer}).encode())

    def clear_challenges(self) -> None:
        """Take all challenges away: whoever holds the lock is the only one who orders."""
        for path in self._challenges.iterdir():
            path.unlink(missing_ok=True)


def _values(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
