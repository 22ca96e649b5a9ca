"""The readers of secrets: from what labels name to a service in each stack that hands it to control planes. Pure.

In: the ``SwarmState``, the intents, the ``RelayOptions``. Out: readers as ``RelaySpec`` values, and problems; and from
a state, where readers run and what they have. It must not know what a secret holds, the engine or the clock.

The engine gives a secret's content to containers alone. A reader is one, and no proxy: so a new secret replaces the
reader, and neither a proxy nor a relay that requests go through. It belongs to the stack of its secrets, whose
``docker stack rm`` removes services first: then nothing holds the secrets any more (docs/adr/050).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from swarm_xds.certs.values import version_of
from swarm_xds.labels import RouteIntent, ServiceIntent
from swarm_xds.networks.home import RelayOptions, home, image
from swarm_xds.networks.wanted import RelaySpec, SecretFile
from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.swarm import Secret, Service, SwarmState
from swarm_xds.swarm.marks import READER_LABEL

#: Makes a reader's configuration from the fleet's subnets, the files of its identity (authorities, certificate, key),
#: and the file of each secret by the secret's id; it raises ``ValueError`` if it cannot.
ConfigureReader = Callable[[tuple[str, ...], tuple[str, str, str], Mapping[str, str]], str]

#: Versions of one name that are mounted, the newest: so a bad one has the one before it beside it, and those that are
#: older can be removed.
_VERSIONS = 2
#: The reader's own identity: what ``swarm-xds pki`` calls the secrets, and the files here.
_IDENTITY = {"ca": "authorities.crt", "relay.crt": "reader.crt", "relay.key": "reader.key"}
_OWN = re.compile(r"swarm-xds-(ca|relay\.crt|relay\.key)\.v([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningReader:
    """A reader that there is.

    Attributes:
        addresses: Of its running tasks, sorted; none while it starts.
        secrets: Id and name of what it is to hand over, sorted.
    """

    addresses: tuple[str, ...]
    secrets: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Wanted:
    """What the reader of one stack and fleet is to hand over, and each label that asks for it."""

    secrets: set[Secret] = field(default_factory=set)
    asked: list[tuple[Service, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Means:
    """What all readers are made from."""

    state: SwarmState
    options: RelayOptions
    configure: ConfigureReader


def running_readers(state: SwarmState) -> tuple[RunningReader, ...]:
    """Return the readers in a swarm, but those that have only been begun; a secret's name is its own, not a label's."""
    names = {secret.id: secret.name for secret in state.secrets}
    found = []
    for service in state.relays:
        listed = dict(service.labels).get(READER_LABEL, "")
        if secrets := tuple((each, names[each]) for each in sorted(listed.split(",")) if each in names):
            addresses = {address for task in service.tasks if task.serving for _, address in task.addresses}
            found.append(RunningReader(addresses=tuple(sorted(addresses)), secrets=secrets))
    return tuple(found)


def plan_readers(
    state: SwarmState,
    intents: Iterable[tuple[Service, ServiceIntent]],
    default_fleet: str,
    options: RelayOptions,
    configure: ConfigureReader,
    *,
    asks: bool = True,
) -> tuple[list[RelaySpec], list[Problem]]:
    """Return the readers that labels call for, and why a secret that a label names cannot be read.

    A name that no secret has is nobody's business here: it may be a file's.
    """
    index = _index(state.secrets)
    wanted: dict[tuple[str, str], _Wanted] = {}
    for service, intent in intents:
        for route in intent.routes:
            for label, name in secret_names(route):
                for secret in _named(index, service.stack, name):
                    place = (route.fleet or default_fleet, secret.stack or service.stack)
                    reader = wanted.setdefault(place, _Wanted())
                    reader.secrets.add(secret)
                    reader.asked.append((service, label, name))
    identity = _identity(state.secrets)
    readers: list[RelaySpec] = []
    problems: list[Problem] = []
    for (fleet, stack), reader in sorted(wanted.items()):
        reason, cure = _obstacle(identity, asks=asks)
        if not reason:
            try:
                readers.append(_reader(fleet, stack, reader, identity, _Means(state, options, configure)))
                continue
            except ValueError as error:
                reason, cure = str(error), "mend what the reason names"
        problems += [_unread(service, label, name, reason, cure) for service, label, name in reader.asked]
    return readers, problems


def secret_names(route: RouteIntent) -> Iterator[tuple[str, str]]:
    """Yield what a route's labels name, each with a label to blame."""
    tls, backend = route.tls, route.backend
    every = [(tls.label, tls.cert), (tls.label, tls.key), (tls.client_ca_label, tls.client_ca)]
    if backend is not None and backend.tls is not None:
        every.append((backend.tls.ca_label, backend.tls.ca))
    return ((label, name) for label, name in every if name)


def _index(secrets: Iterable[Secret]) -> dict[str, list[tuple[int, str, Secret]]]:
    """Return the secrets by each name that stands for them, with their version; our own certificates are nobody's."""
    index: dict[str, list[tuple[int, str, Secret]]] = {}
    for secret in secrets:
        if secret.pki:
            continue
        stem, version = version_of(secret.name)
        index.setdefault(secret.name, []).append((-1, secret.name, secret))
        if version >= 0:
            index.setdefault(stem, []).append((version, secret.name, secret))
    return index


def _named(index: Mapping[str, Sequence[tuple[int, str, Secret]]], stack: str, name: str) -> list[Secret]:
    """Return the newest versions of the secret that a label names; in a stack the name in its file works as well."""
    found = (index.get(f"{stack}_{name}") if stack else None) or index.get(name) or ()
    return [secret for _, _, secret in sorted(found, reverse=True)[:_VERSIONS]]


def _identity(secrets: Iterable[Secret]) -> tuple[SecretFile, ...]:
    """Return the newest whole set of authorities, certificate and key for a reader; empty if there is none."""
    sets: dict[tuple[int, str], dict[str, Secret]] = {}
    for secret in secrets:
        match = _OWN.fullmatch(secret.name)
        if match and secret.pki:
            sets.setdefault((int(match[2]), secret.pki), {})[match[1]] = secret
    whole = [files for _, files in sorted(sets.items()) if files.keys() == _IDENTITY.keys()]
    if not whole:
        return ()
    return tuple(SecretFile(id=whole[-1][what].id, name=whole[-1][what].name, file=f) for what, f in _IDENTITY.items())


def _obstacle(identity: Sequence[SecretFile], *, asks: bool) -> tuple[str, str]:
    """Return why nobody may read secrets, and the cure; both empty if all is there."""
    if not asks:
        return "this control plane has no certificate to ask for it with", "set tls_ca, tls_cert and tls_key"
    if not identity:
        return "there is no certificate for whoever reads it for the control plane", "run swarm-xds pki init --docker"
    return "", ""


def _reader(
    fleet: str,
    stack: str,
    reader: _Wanted,
    identity: tuple[SecretFile, ...],
    means: _Means,
) -> RelaySpec:
    """Return a reader.

    Raises:
        ValueError: There can be none, with the reason.
    """
    stand = home(fleet, means.state, means.options)
    secrets = tuple(sorted(SecretFile(id=each.id, name=each.name, file=each.id) for each in reader.secrets))
    authorities, certificate, key = (each.path for each in identity)
    return RelaySpec(
        fleet=fleet,
        stack=stack,
        network_id="",
        network_name=stand.name,
        fleet_network_id=stand.id,
        image=image(fleet, means.state, means.options),
        # What was read stays with the control planes, so that one may be away for a while.
        replicas=1,
        configuration=means.configure(
            stand.subnets, (authorities, certificate, key), {each.id: each.path for each in secrets}
        ),
        memory=means.options.memory,
        constraints=means.options.constraints,
        secrets=secrets,
        identity=identity,
    )


def _unread(service: Service, label: str, name: str, reason: str, cure: str) -> Problem:
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.UNREAD,
        service=service.name,
        label=label,
        value=shown(name),
        reason=f'the Docker secret "{shown(name)}" cannot be read: {reason}',
        cure=cure,
        source=service.source,
    )
