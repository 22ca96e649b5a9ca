"""The PKI as Docker secrets, through a manager's API.

In: the files that ``store`` gives. Out: one secret for each, ``swarm-xds-ca.v1``, ``swarm-xds-control-plane.key.v1``
and so on, all of one version, since a secret cannot be changed. A label holds a fingerprint of the whole set, made from
what is public of it, so that the same set is never written twice. It must not know who issues certificates.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm_xds.sources.docker.api import Engine, EngineError, Json
from swarm_xds.swarm.marks import PKI_LABEL

_NAME = re.compile(r"(swarm-xds-.+)\.v([1-9][0-9]{0,8})")
_CONFLICT = 409
#: Versions that are kept beside the newest: what runs now, and goes on until the stack is deployed anew.
_KEPT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What publishing led to.

    Attributes:
        version: The version that holds the files now.
        made, removed: Names of secrets.
    """

    version: int
    made: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Version:
    """The secrets of one version, by name without it."""

    ids: dict[str, str] = field(default_factory=dict)
    fingerprints: set[str] = field(default_factory=set)


async def publish(engine: Engine, contents: Mapping[str, bytes]) -> Published:
    """Create the secrets of these files, unless the newest version has them already; remove versions nobody uses.

    Raises:
        EngineError: The engine does not answer or refuses; what was made so far is completed by the next call.
    """
    versions = await _observe(engine)
    fingerprint = _fingerprint(contents)
    wanted = {f"swarm-xds-{_stem(name)}": content for name, content in sorted(contents.items())}
    newest = max(versions, default=0)
    same = (
        newest > 0 and versions[newest].fingerprints == {fingerprint} and versions[newest].ids.keys() <= wanted.keys()
    )
    version = newest if same else newest + 1
    there = versions[newest].ids if same else {}
    made = []
    for name, content in wanted.items():
        if name not in there:
            full = f"{name}.v{version}"
            await _create(engine, full, content, {PKI_LABEL: fingerprint})
            made.append(full)
    removed = []
    for number in sorted(versions):
        if number < version - _KEPT:
            removed += (await _remove(engine, versions[number], number))[0]
    return Published(version=version, made=tuple(made), removed=tuple(removed))


async def remove(engine: Engine) -> tuple[list[str], list[tuple[str, str]]]:
    """Remove every secret of ours; return the names of those removed, and of those that are in use with the reason.

    Raises:
        EngineError: The engine does not answer.
    """
    removed: list[str] = []
    failed: list[tuple[str, str]] = []
    for number, version in sorted((await _observe(engine)).items()):
        done, in_use = await _remove(engine, version, number)
        removed += done
        failed += in_use
    return removed, failed


async def _observe(engine: Engine) -> dict[int, _Version]:
    """Return our secrets by version: ``GET /secrets``."""
    answer: Json = await engine.call(lambda client: client.secrets(filters={"label": PKI_LABEL}))
    versions: dict[int, _Version] = {}
    try:
        for each in answer:
            name, labels = each["Spec"]["Name"], each["Spec"].get("Labels") or {}
            match = _NAME.fullmatch(name)
            if match and PKI_LABEL in labels:
                version = versions.setdefault(int(match[2]), _Version())
                version.ids[match[1]] = str(each["ID"])
                version.fingerprints.add(labels[PKI_LABEL])
    except (KeyError, TypeError) as error:
        raise EngineError(engine.endpoint, "its secrets cannot be read") from error
    return versions


async def _create(engine: Engine, name: str, content: bytes, labels: dict[str, str]) -> None:
    try:
        await engine.call(lambda client: client.create_secret(name, content, labels=labels))
    except EngineError as error:
        if error.status != _CONFLICT:
            raise
        reason = f"there is a secret {name} that this has not made: somebody else does the same now, or remove it"
        raise EngineError(engine.endpoint, reason, _CONFLICT) from None


async def _remove(engine: Engine, version: _Version, number: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Remove the secrets of a version; return the names of those removed, and of those in use with the reason."""
    removed: list[str] = []
    in_use: list[tuple[str, str]] = []
    for name, identifier in sorted(version.ids.items()):
        try:
            await _remove_one(engine, identifier)
        except EngineError as error:
            if not error.status:
                raise
            in_use.append((f"{name}.v{number}", error.reason))
        else:
            removed.append(f"{name}.v{number}")
    return removed, in_use


async def _remove_one(engine: Engine, identifier: str) -> None:
    await engine.call(lambda client: client.remove_secret(identifier))


def _stem(name: str) -> str:
    return "ca" if name == "ca.crt" else name


def _fingerprint(contents: Mapping[str, bytes]) -> str:
    """Return a hash of the certificates, which name the public keys of all keys."""
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        if name.endswith(".crt"):
            digest.update(f"{name}\n".encode() + content)
    return digest.hexdigest()[:32]
