"""Resources by type and name, and the versions that follow from their bytes."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from types import MappingProxyType

_PREFIX = "type.googleapis.com/envoy.config."
LISTENER = _PREFIX + "listener.v3.Listener"
ROUTE = _PREFIX + "route.v3.RouteConfiguration"
VIRTUAL_HOST = _PREFIX + "route.v3.VirtualHost"
CLUSTER = _PREFIX + "cluster.v3.Cluster"
ENDPOINT = _PREFIX + "endpoint.v3.ClusterLoadAssignment"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type, not a secret

#: Make before break: the order in which an aggregated stream sends additions
#: (xDS protocol, "Eventual consistency considerations").
ADS_ORDER = (CLUSTER, ENDPOINT, SECRET, LISTENER, ROUTE, VIRTUAL_HOST)


#: Differences kept of each set: streams that are woken together come from a few.
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Resource:
    """One named resource as the bytes that go on the wire.

    Attributes:
        value: The message, serialised deterministically; never shown, since it may hold a private key.
        version: Hash of ``value`` and ``ttl``: equal ones have equal versions on every replica and after every restart.
        ttl: Seconds after which a client drops it unless it hears of it again; 0 for never.
    """

    name: str
    value: bytes = field(repr=False)
    version: str
    ttl: int = 0

    @classmethod
    def of(cls, name: str, value: bytes, ttl: int = 0) -> "Resource":
        """Make a resource and its version from its bytes.

        A lifetime is part of the version: else a client that has the bytes already would keep the lifetime of before,
        and drop the resource when nobody speaks of it any more.
        """
        content = hashlib.sha256(value)
        if ttl:
            content.update(f" ttl {ttl}".encode())
        return cls(name, value, content.hexdigest()[:16], ttl)


class Resources(Mapping[str, Resource]):
    """All resources of one type, by name, in the order of their names."""

    __slots__ = ("_items", "_since", "ttl", "version")

    def __init__(self, items: Iterable[Resource] = ()) -> None:
        """Take resources with distinct names.

        Raises:
            ValueError: Two resources have one name, which xDS forbids.
        """
        ordered = sorted(items, key=lambda resource: resource.name)
        self._items: Mapping[str, Resource] = MappingProxyType({resource.name: resource for resource in ordered})
        if len(self._items) != len(ordered):
            names = [resource.name for resource in ordered]
            twice = next(name for name, following in itertools.pairwise(names) if name == following)
            raise ValueError(f"two resources are named {twice!r}")
        self._since: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        every = "".join([f"{len(resource.name)}:{resource.name}{resource.version}" for resource in ordered])
        #: Hash over all names and versions: the ``version_info`` of the state of the world.
        self.version: str = hashlib.sha256(every.encode()).hexdigest()[:16]
        #: The shortest lifetime in it in seconds; 0 if nothing has one.
        self.ttl: int = min((resource.ttl for resource in ordered if resource.ttl), default=0)

    def __getitem__(self, name: str) -> Resource:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def values(self) -> ValuesView[Resource]:
        """Return the resources."""
        return self._items.values()

    def since(self, before: "Resources") -> tuple[frozenset[str], frozenset[str]]:
        """Return the names that are new or different, and those that are gone, since ``before``.

        O(all) at the first time only: streams that go from one to the other together share the answer.
        """
        found = self._since.get(before.version)
        if found is None:
            old = before._items
            changed = frozenset(
                name for name, each in self._items.items() if name not in old or old[name].version != each.version
            )
            found = changed, frozenset(old.keys() - self._items.keys())
            if len(self._since) >= _REMEMBERED:
                del self._since[next(iter(self._since))]
            self._since[before.version] = found
        return found


_NONE = Resources()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one fleet of Envoys is to have. Immutable; compare by ``version``.

    Attributes:
        version: Hash over the versions of all types.
    """

    resources: Mapping[str, Resources] = field(default_factory=dict)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        """Make the version once: each stream asks for it at each change."""
        parts = "".join(f"{type_url}{self.of(type_url).version}" for type_url in ADS_ORDER)
        object.__setattr__(self, "version", hashlib.sha256(parts.encode()).hexdigest()[:16])

    def of(self, type_url: str) -> Resources:
        """Return the resources of one type; none for a type that the snapshot does not have."""
        return self.resources.get(type_url, _NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """The snapshot of each fleet.

    Attributes:
        fleets: By Envoy's ``node.cluster``.
        empty: What an Envoy of a fleet gets that no service names: listeners, and no route but the catch-all.
        default: The fleet of an Envoy that gives no ``node.cluster``.
    """

    fleets: Mapping[str, Snapshot]
    empty: Snapshot
    default: str

    def of(self, fleet: str) -> Snapshot:
        """Return the snapshot for an Envoy's ``node.cluster``."""
        return self.fleets.get(fleet or self.default, self.empty)


def changes(before: Snapshots | None, after: Snapshots) -> dict[str, int]:
    """Return how many resources of each type are new, different or gone, over all fleets."""
    counts: dict[str, int] = {}
    fleets = set(after.fleets) | set(before.fleets if before is not None else ())
    for type_url in ADS_ORDER:
        count = 0
        for fleet in fleets:
            new = after.of(fleet).of(type_url)
            old = Resources() if before is None else before.of(fleet).of(type_url)
            if new.version != old.version:
                count += sum(new.get(name) != old.get(name) for name in new.keys() | old.keys())
        if count:
            counts[type_url.rpartition(".")[2]] = count
    return counts
