"""The network plan as values. Pure."""

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum

_MAX_NAME = 63
#: What the engine takes for a service's name. A network or secret may carry a stack's name that is no part of one.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
#: Where a container finds its Docker secrets.
SECRETS_FOLDER = "/run/secrets"
#: How a reader's mark begins; that of a relay is its network's id.
READER_MARK = "secrets."


class Way(StrEnum):
    """How a fleet reaches a network."""

    SHARED = "shared"
    RELAY = "relay"
    DIRECT = "direct"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SecretFile:
    """A Docker secret that a reader mounts; ``file`` is its name in ``SECRETS_FOLDER``."""

    id: str
    name: str
    file: str

    @property
    def path(self) -> str:
        """Where the container finds it."""
        return f"{SECRETS_FOLDER}/{self.file}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySpec:
    """A relay as it is to be: a stock Envoy in a stack's network and the fleet's, with a static configuration.

    Or a reader of secrets, which is the same on the fleet's network alone: it passes nothing on, and hands a stack's
    secrets to control planes.

    Attributes:
        stack: Whose ``stack rm`` takes it along; empty for a network or for secrets that belong to no stack.
        network_id: Where the tasks are; empty for a reader.
        fleet_network_id: Where the fleet is.
        configuration: Envoy's bootstrap, the content of a Docker config.
        memory: Limit in bytes.
        constraints: Placement constraints, as Docker has them.
        secrets: What a reader hands over, sorted.
        identity: What it shows itself by: the authorities, its certificate and its key.
        pauses: How many configs beside its own ``docker stack rm`` finds to remove before it comes to the networks
            (docs/adr/009). No task depends on them, so they are no part of the fingerprint.
    """

    fleet: str
    stack: str
    network_id: str
    network_name: str
    fleet_network_id: str
    image: str
    replicas: int
    configuration: str
    memory: int
    constraints: tuple[str, ...] = ()
    secrets: tuple[SecretFile, ...] = ()
    identity: tuple[SecretFile, ...] = ()
    pauses: int = field(default=0, repr=False)

    @property
    def reads(self) -> bool:
        """Whether it is a reader of secrets."""
        return not self.network_id

    @property
    def mark(self) -> str:
        """What it is there for, beside the fleet: the id of its network, or the secrets of its stack."""
        return self.network_id or f"{READER_MARK}{self.stack}"

    @property
    def name(self) -> str:
        """Name of the service, the same on every replica of the control plane and after every restart.

        It comes first among the stack's: ``docker stack rm`` removes services in the order of their names and then, at
        once, networks. The tasks of the service that went last may still be told to end by then, and hold the network.
        """
        name = f"{self.stack}_0-{self._own}" if self.stack else self._own
        return name if len(name) <= _MAX_NAME and _NAME.fullmatch(name) else f"0-{self._own}"

    @property
    def _own(self) -> str:
        """What names it without its stack."""
        digest = hashlib.sha256(f"{self.fleet} {self.mark}".encode()).hexdigest()[:10]
        return f"swarm-xds-{'reader' if self.reads else 'relay'}-{digest}"

    @property
    def config_name(self) -> str:
        """Name of the Docker config, which changes with its content, since a config cannot be changed."""
        return f"{self.name[: _MAX_NAME - 9]}-{hashlib.sha256(self.configuration.encode()).hexdigest()[:8]}"

    @property
    def pause_names(self) -> tuple[str, ...]:
        """Names of the Docker configs that only take ``docker stack rm`` a moment to remove."""
        stem = self.name if len(self.name) <= _MAX_NAME - len("-pause-00") else f"0-{self._own}"
        return tuple(f"{stem}-pause-{number:02}" for number in range(1, self.pauses + 1))

    @property
    def fingerprint(self) -> str:
        """Hash over everything; a relay whose label has another one is to be updated."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A network that a fleet's own services are to stand on, which takes a rolling update of them.

    Attributes:
        stack: Whose network it is; empty if no stack's.
        reason: One sentence without a full stop.
    """

    fleet: str
    network_id: str
    network_name: str
    stack: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkUse:
    """How one fleet reaches one network, and for whom.

    Attributes:
        services: Names of the routed services, sorted.
        reason: Why this way, one sentence without a full stop.
    """

    fleet: str
    network_id: str
    network: str
    stack: str
    way: Way
    services: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """What should exist.

    Attributes:
        uses: Each network that a routed service is reached by, sorted by fleet and network.
        relays: All relays that should exist, sorted by name; any other relay is to be removed.
        attachments: All networks that fleets should be attached to, sorted by fleet and network; from any other that a
            control plane has attached them to they are to be detached.
    """

    uses: tuple[NetworkUse, ...] = ()
    relays: tuple[RelaySpec, ...] = ()
    attachments: tuple[Attachment, ...] = ()
