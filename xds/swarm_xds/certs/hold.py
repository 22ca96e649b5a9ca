"""What of a directory is served while its files change. Pure: the time is given.

In: what each file holds now, and what was held before. Out: what is held from now on. A file's new content takes the
old one's place only if it can do all that the old one does: a certificate whose key is there, a key whose certificate
is there, a bundle. So a pair in the middle of a rotation stays the old pair until both halves are there, whichever
comes first. It must not know where files come from.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from swarm_xds.certs.check import Checked, at, date, moments, soon
from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Certificate, Certificates, Material, PrivateKey, version_of
from swarm_xds.problem import Kind, Problem, Severity, ordered

#: With what tools write after a name, none of which is a top-level domain: ``default.example.org.pem`` is a host's.
_DEFAULT = re.compile(
    r"default(?i:\.(?:pem|crt|cer|cert|key|fullchain|chain|bundle|combined|tls|rsa|ecdsa|v?[0-9]+))*(?:/.+)?"
)
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_KEEPS = "until then its last good content is served"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held at one time.

    Attributes:
        materials: By name, without regard to time.
        pairs: Each certificate with its key, by the certificate's name, without regard to time.
        certificates: What of it can be served now.
        problems: What is wrong; ``source`` is the file's name.
        kept: Why an older content is held than its file has now, by the name of the file.
        next_change: When, in seconds since the epoch, it would come out differently although no file has changed.
    """

    materials: Mapping[str, Material] = field(default_factory=dict)
    pairs: Mapping[str, Certificate] = field(default_factory=dict)
    certificates: Certificates = field(default_factory=Certificates)
    problems: tuple[Problem, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    next_change: float | None = None

    def stock(self, origin: Origin) -> tuple[Stock, ...]:
        """Return what there is, for people; private keys alone are nothing to tell of."""
        return tuple(
            Stock(origin=origin, material=replace(each, key=None), kept=self.kept.get(each.name, ""))
            for each in self.certificates.materials
            if each.chain is not None or each.authorities is not None or each.reason
        )


@dataclass(frozen=True, slots=True)
class _Live:
    """What files hold now that can be used now, and the halves of pairs among it, by their public key."""

    materials: Mapping[str, Material]
    chains: frozenset[str]
    keys: Mapping[str, PrivateKey]

    @classmethod
    def of(cls, files: Mapping[str, Checked], now: float) -> "_Live":
        materials = {name: at(checked.material, now) for name, checked in files.items()}
        usable = [material for material in materials.values() if not material.reason]
        return cls(
            materials,
            frozenset(each.chain.spki for each in usable if each.chain is not None),
            {each.key.spki: each.key for each in usable if each.key is not None},
        )


def hold(before: Held, files: Mapping[str, Checked], now: float) -> Held:
    """Return what is held, after what was held before, when files hold this."""
    live = _Live.of(files, now)
    materials, kept, problems = _renewed(before, files, live, now)
    for name in _missed(before, materials, live, now):
        materials[name] = before.materials[name]
        cure = "put it back, or start the control plane anew to forget it"
        kept[name] = "it is gone, and nothing else does what it did"
        problems.append(_problem(Severity.WARNING, name, kept[name], cure))
    pairs = _pairs(materials, before, live)
    served = _served(pairs, now)
    return Held(
        materials=materials,
        pairs=pairs,
        certificates=Certificates(
            materials=tuple(at(material, now) for _, material in sorted(materials.items())),
            certificates=served,
            default=_default(served),
        ),
        problems=ordered([*problems, *_of_pairs(materials, pairs, now)]),
        kept=kept,
        next_change=min(_changes(files, materials, now), default=None),
    )


def _renewed(
    before: Held, files: Mapping[str, Checked], live: _Live, now: float
) -> tuple[dict[str, Material], dict[str, str], list[Problem]]:
    """Return each file's new content if it can take the old one's place, else the old one and why."""
    materials: dict[str, Material] = {}
    kept: dict[str, str] = {}
    problems: list[Problem] = []
    used = {pair.key.spki for pair in before.pairs.values()}
    for name, checked in files.items():
        old, new = before.materials.get(name), live.materials[name]
        materials[name] = checked.material
        if old is not None and not at(old, now).reason:
            if reason := _lost(old, new, live):
                waits = new.chain is not None and now < new.chain.not_before
                severity, cure = (Severity.WARNING, "wait") if waits else (Severity.ERROR, "mend the file")
                problems.append(_problem(severity, name, reason, f"{cure}; {_KEEPS}"))
                materials[name], kept[name] = old, reason
                continue
            other = _half(old, new, live, paired=name in before.pairs, used=used)
            if other := other or _short(old, new, before.materials, files, live):
                materials[name], kept[name] = old, f"{other} is not there yet"
                problems.append(_problem(Severity.WARNING, name, kept[name], f"add it; {_KEEPS}"))
                continue
        if checked.material.reason:
            cure = "mend the file; nothing of it is served"
            problems.append(_problem(Severity.ERROR, name, checked.material.reason, cure))
        problems += [_problem(Severity.WARNING, name, remark, "") for remark in checked.remarks]
    return materials, kept, problems


def _lost(old: Material, new: Material, live: _Live) -> str:
    """Return what the new content is no good for, and the old one is; empty if nothing."""
    if new.reason:
        return new.reason
    if old.chain is not None and new.chain is None:
        return "it holds no certificate of a server any more"
    elsewhere = new.chain is not None and new.chain.spki in live.keys
    if old.chain is None and old.authorities is not None and new.authorities is None and not elsewhere:
        return "it holds no authority's certificate any more"
    if old.key is not None and new.key is None and not elsewhere:
        return "it holds no private key any more"
    return ""


def _half(old: Material, new: Material, live: _Live, *, paired: bool, used: Collection[str]) -> str:
    """Return what is missing to the half of a new pair that takes the place of one in use; empty if nothing."""
    if paired and new.chain is not None and new.chain != old.chain and new.chain.spki not in live.keys:
        return "the private key of its new certificate"
    new_key = new.chain is None and new.key is not None and new.key != old.key
    if new_key and new.key is not None and old.key is not None and old.key.spki in used:
        return "" if new.key.spki in live.chains else "the certificate of its new private key"
    return ""


def _short(old: Material, new: Material, before: Mapping[str, Material], files: Collection[str], live: _Live) -> str:
    """Return what is missing to a file that was a part of another one; empty if nothing.

    Certbot's cert.pem is renewed before fullchain.pem; served meanwhile, clients would miss the intermediates. What
    brings its own, or is for other hosts, is no such part.
    """
    if old.chain is None or new.chain is None or new.chain == old.chain:
        return ""
    if new.chain.pem.count(_BEGIN) > 1 or set(new.chain.names).isdisjoint(old.chain.names):
        return ""
    whole = [
        name
        for name, each in before.items()
        if each.chain is not None
        and each.chain.fingerprint == old.chain.fingerprint
        and len(each.chain.pem) > len(old.chain.pem)
    ]
    renewed = new.chain.fingerprint
    if any(name in files for name in whole) and not any(
        name != new.name and each.chain is not None and each.chain.fingerprint == renewed
        for name, each in live.materials.items()
    ):
        return f'its new certificate with the chain, as in "{whole[0]}",'
    return ""


def _missed(before: Held, materials: Mapping[str, Material], live: _Live, now: float) -> list[str]:
    """Return the names of files that are gone, and whose work nothing else does."""
    gone = {
        name: old
        for name, old in sorted(before.materials.items())
        if name not in live.materials and not at(old, now).reason
    }
    if not gone:
        return []
    contents = {replace(material, name="") for material in materials.values()}
    gone = {name: old for name, old in gone.items() if replace(old, name="") not in contents}
    covered = {name for pair in _served(_pairs(materials, before, live), now) for name in pair.chain.names}
    bundles = {version_of(name)[0] for name, material in materials.items() if material.authorities is not None}
    missed: list[str] = []
    for name, old in gone.items():
        if old.chain is not None:
            if name in before.pairs and not set(old.chain.names) <= covered:
                missed.append(name)
        elif old.authorities is not None and version_of(name)[0] not in bundles:
            missed.append(name)
    kept = (*materials.values(), *(gone[name] for name in missed))
    needed = {material.chain.spki for material in kept if material.chain is not None}
    needed -= {material.key.spki for material in kept if material.key is not None}
    for name, old in gone.items():
        if old.chain is None and old.key is not None and old.key.spki in needed:
            missed.append(name)
    return missed


def _pairs(materials: Mapping[str, Material], before: Held, live: _Live) -> dict[str, Certificate]:
    """Return each certificate with the key that fits it, wherever it is; one that had its key keeps it in any file."""
    pairs: dict[str, Certificate] = {}
    held = (material.key for material in materials.values())
    used = {pair.key.spki: pair.key for pair in before.pairs.values()}
    keys = {**used, **live.keys, **{key.spki: key for key in held if key is not None}}
    for name, material in sorted(materials.items()):
        if material.chain is None or material.reason:
            continue
        last = before.pairs.get(name)
        key = material.key or keys.get(material.chain.spki)
        if key is not None:
            pair = Certificate(name=name, chain=material.chain, key=key)
            pairs[name] = last if last == pair else pair
    return pairs


def _of_pairs(materials: Mapping[str, Material], pairs: Mapping[str, Certificate], now: float) -> Iterator[Problem]:
    """Yield what is wrong with certificates that are read well: no key, expired, about to expire."""
    whole = _whole(pairs)
    paired = {pair.chain.fingerprint for pair in whole}
    for name, material in materials.items():
        lone = material.chain is not None and material.authorities is None and not material.reason
        if lone and material.chain is not None and material.chain.fingerprint not in paired:
            yield _problem(Severity.WARNING, name, "the private key of its certificate is not there", "add it")
    ends: dict[str, int] = {}
    for pair in whole:
        if not _reason(pair, now):
            ends |= {name: max(ends.get(name, 0), pair.chain.not_after) for name in pair.chain.names}
    for pair in whole:
        until = [ends.get(name, 0) for name in pair.chain.names]
        if reason := _reason(pair, now):
            if not all(until):
                yield _problem(Severity.ERROR, pair.name, reason, "renew it; no host gets it that does not have it")
        elif now >= soon(pair.chain) and min(until) <= pair.chain.not_after:
            yield _problem(Severity.WARNING, pair.name, f"it expires on {date(pair.chain.not_after)}", "renew it")


def _whole(pairs: Mapping[str, Certificate]) -> tuple[Certificate, ...]:
    """Return the pairs by name; of files with the same certificate, as tools write them, the longest chain."""
    best: dict[str, Certificate] = {}
    for _, pair in sorted(pairs.items()):
        rival = best.get(pair.chain.fingerprint)
        if rival is None or len(pair.chain.pem) > len(rival.chain.pem):
            best[pair.chain.fingerprint] = pair
    return tuple(sorted(best.values(), key=lambda pair: pair.name))


def _served(pairs: Mapping[str, Certificate], now: float) -> tuple[Certificate, ...]:
    return tuple(pair for pair in _whole(pairs) if not _reason(pair, now))


def _default(served: Iterable[Certificate]) -> Certificate | None:
    """Return the newest of those whose file is called default: ``default.pem``, ``default/fullchain.pem``."""
    named = [pair for pair in served if _DEFAULT.fullmatch(version_of(pair.name)[0])]
    return max(named, key=lambda pair: (pair.age, pair.name), default=None)


def _changes(files: Mapping[str, Checked], materials: Mapping[str, Material], now: float) -> Iterator[float]:
    for material in (*materials.values(), *(checked.material for checked in files.values())):
        yield from (time for time in moments(material) if time > now)


def _reason(pair: Certificate, now: float) -> str:
    return at(Material(name=pair.name, chain=pair.chain), now).reason


def _problem(severity: Severity, name: str, reason: str, cure: str) -> Problem:
    return Problem(severity=severity, kind=Kind.BAD_FILE, reason=reason, cure=cure, source=name)
