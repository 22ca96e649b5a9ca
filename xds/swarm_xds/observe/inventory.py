"""Which certificates there are, and who uses each: what sources have, beside the model. Pure.

In: ``Stock`` of all sources, the ``RoutingModel``, the swarm's secrets. Out: ``Entry`` values. It must not know the
clock: who asks compares the times.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Authority, Certificate, Chain
from swarm_xds.model import RoutingModel, SecureHost
from swarm_xds.observe.record import Situation

_GONE = "its file or secret is gone; it is the last good one"


class Holding(StrEnum):
    """What becomes of a certificate."""

    SERVED = "served"
    """It is in use."""
    HELD = "held"
    """It is in use, as the last good one: a newer one is bad, or cannot be had."""
    UNUSED = "unused"
    """Nobody asks for it."""
    UNUSABLE = "unusable"
    """It cannot be used."""
    MISSING = "missing"
    """A host waits for one."""


class Role(StrEnum):
    """What a certificate is for."""

    SERVER = "server"
    AUTHORITY = "authority"
    """Whose certificates of clients or of tasks are good."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Use:
    """Where a certificate is used.

    Attributes:
        host: That is served with it, or whose clients it verifies; ``*`` for all others; empty for a backend.
        services: That answer for the host, or whose tasks it verifies.
    """

    fleet: str
    host: str = ""
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One certificate, or the lack of one.

    Attributes:
        name: As a label names it; a file's is its path below its directory. Empty for a missing one.
        stack: Of a Docker secret.
        reason: Why it is not well; empty if it is.
        certificate: None if there is none.
        uses: Sorted.
    """

    role: Role
    holding: Holding
    name: str = ""
    origin: Origin | None = None
    stack: str = ""
    reason: str = ""
    certificate: Chain | Authority | None = None
    uses: tuple[Use, ...] = ()


@dataclass(slots=True)
class _Used:
    """How a certificate, or a bundle, is used; of a certificate also why it is not what the labels name."""

    certificate: Certificate | None = None
    uses: set[Use] = field(default_factory=set)
    reason: str = ""


def inventory(situation: Situation) -> tuple[Entry, ...]:
    """Return every certificate by origin and name, then the hosts that wait for one."""
    model = situation.build.model
    stacks = {secret.name: secret.stack for secret in situation.state.secrets}
    served, bundles = _served(model), _bundles(model)
    waiting = {
        (fleet.name, host.host): host
        for fleet in model.fleets
        for host in fleet.secure_hosts
        if host.tls.certificate is None
    }
    hosts, ordered = {host for _, host in waiting}, dict[str, str]()
    entries: list[Entry] = []
    for each in sorted(situation.stock, key=lambda each: (each.origin, each.material.name)):
        name, chain = each.material.name, each.material.chain
        stack = stacks.get(name, "") if each.origin is Origin.SECRET else ""
        if each.origin is Origin.ACME and chain is None and name in hosts:
            ordered[name] = each.material.reason
            continue
        used = bundles.get(each.material.authorities or b"", _Used())
        if chain is None or used.uses:
            entries += _of_bundle(each, used, stack)
        if chain is not None:
            entries.append(_of_chain(each, chain, served.pop((name, chain.fingerprint), _Used()), stack))
    known = {each.material.authorities for each in situation.stock}
    lost = [used for pem, used in bundles.items() if pem not in known]
    entries += [_last_good(used) for used in (*served.values(), *lost)]
    entries += [
        Entry(
            role=Role.SERVER,
            holding=Holding.MISSING,
            reason=ordered.get(name, host.tls.reason),
            uses=(Use(fleet=fleet, host=name, services=_services(host)),),
        )
        for (fleet, name), host in sorted(waiting.items(), key=lambda each: each[0])
    ]
    return tuple(entries)


def _services(host: SecureHost) -> tuple[str, ...]:
    return tuple(sorted({name for route in host.virtual_host.routes for name in route.services}))


def _of_chain(stock: Stock, chain: Chain, used: _Used, stack: str) -> Entry:
    reason = stock.kept or used.reason or stock.material.reason
    if used.uses or stock.origin is Origin.SETTINGS:
        holding = Holding.HELD if reason else Holding.SERVED
    else:
        holding = Holding.UNUSABLE if stock.material.reason else Holding.UNUSED
    return Entry(
        role=Role.SERVER,
        holding=holding,
        name=stock.material.name,
        origin=stock.origin,
        stack=stack,
        reason=reason,
        certificate=chain,
        uses=tuple(sorted(used.uses)),
    )


def _of_bundle(stock: Stock, used: _Used, stack: str) -> Iterator[Entry]:
    """Yield each authority of a bundle, or what cannot be read."""
    material = stock.material
    reason = stock.kept or material.reason or material.remark
    if used.uses or stock.origin is Origin.SETTINGS:
        holding = Holding.HELD if stock.kept or material.reason else Holding.SERVED
    else:
        holding = Holding.UNUSABLE if material.reason else Holding.UNUSED
    for certificate in material.trusted or (None,):
        yield Entry(
            role=Role.SERVER if certificate is None else Role.AUTHORITY,
            holding=Holding.UNUSABLE if certificate is None else holding,
            name=material.name,
            origin=stock.origin,
            stack=stack,
            reason=reason,
            certificate=certificate,
            uses=tuple(sorted(used.uses)),
        )


def _last_good(used: _Used) -> Entry:
    """Return what is served although no source has it any more."""
    certificate = used.certificate
    return Entry(
        role=Role.AUTHORITY if certificate is None else Role.SERVER,
        holding=Holding.HELD,
        name="" if certificate is None else certificate.name,
        origin=Origin.MEMORY,
        reason=used.reason or _GONE,
        certificate=None if certificate is None else certificate.chain,
        uses=tuple(sorted(used.uses)),
    )


def _served(model: RoutingModel) -> dict[tuple[str, str], _Used]:
    """Return the certificates that are served, by name and fingerprint."""
    found: dict[tuple[str, str], _Used] = {}
    for fleet in model.fleets:
        given = [(each.host, each.tls.certificate, _services(each), each.tls.reason) for each in fleet.secure_hosts]
        given.append(("*", fleet.default, (), ""))
        for host, certificate, services, reason in given:
            if certificate is not None:
                used = found.setdefault((certificate.name, certificate.chain.fingerprint), _Used(certificate))
                used.uses.add(Use(fleet=fleet.name, host=host, services=services))
                used.reason = used.reason or reason
    return found


def _bundles(model: RoutingModel) -> dict[bytes, _Used]:
    """Return how bundles of authorities are used, by their content."""
    found: dict[bytes, _Used] = {}
    for fleet in model.fleets:
        for host in fleet.secure_hosts:
            if host.tls.client_ca is not None:
                use = Use(fleet=fleet.name, host=host.host, services=_services(host))
                found.setdefault(host.tls.client_ca, _Used()).uses.add(use)
        for backend in fleet.backends:
            if backend.tls is not None and backend.tls.authorities is not None:
                use = Use(fleet=fleet.name, services=(backend.service,))
                found.setdefault(backend.tls.authorities, _Used()).uses.add(use)
    return found
