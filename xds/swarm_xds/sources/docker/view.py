"""What is known of the swarm: records in, ``SwarmState`` out, with everything unchanged the same object as before.

In: ``Batch`` values from ``convert``. Out: a ``Reading``, or None if it would equal the last one.
Pure but for its memory: it must not know the engine, the clock or why something was read.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from swarm_xds.problem import Kind, Problem, Severity, ordered
from swarm_xds.sources.base import Reading
from swarm_xds.sources.docker.convert import Batch, NodeRecord, ServiceRecord, TaskRecord
from swarm_xds.swarm import FleetService, Network, Secret, Service, SwarmState, Task
from swarm_xds.swarm.marks import ATTACHED

T = TypeVar("T")

#: For each fleet, the names of networks that its proxies stand in.
FleetNetworks = Sequence[tuple[str, Sequence[str]]]


class View:
    """The last known form of everything."""

    def __init__(self, fleet_networks: FleetNetworks = (), default_fleet: str = "default") -> None:
        self._default_fleet = default_fleet
        self._fleet_names = tuple((fleet, tuple(names)) for fleet, names in fleet_networks)
        self._services: dict[str, ServiceRecord] = {}
        self._tasks: dict[str, dict[str, TaskRecord]] = {}
        self._networks: dict[str, Network] = {}
        self._nodes: dict[str, NodeRecord] = {}
        self._secrets: dict[str, Secret] = {}
        self._problems: dict[tuple[str, str], tuple[Problem, ...]] = {}
        self._built: dict[str, Service] = {}
        self._stale: set[str] = set()
        self._last: Reading | None = None

    @property
    def ingress(self) -> frozenset[str]:
        """Ids of the networks of the routing mesh."""
        return frozenset(network.id for network in self._networks.values() if network.ingress)

    @property
    def service_ids(self) -> Collection[str]:
        """The services that are kept."""
        return self._services.keys()

    def known(self, kind: str) -> set[str]:
        """Return the ids of what is known of a kind: ``service``, ``network``, ``node`` or ``secret``."""
        found: dict[str, Collection[str]] = {
            "service": self._services.keys(),
            "network": self._networks.keys(),
            "node": self._nodes.keys(),
            "secret": self._secrets.keys(),
        }
        return set(found[kind])

    def set_networks(self, batch: Batch[Network | None]) -> None:
        """Take a list of all networks."""
        known = _merged(self._networks, batch)
        self._networks = {i: network for i, network in known.items() if network}
        self._list_problems("network", batch)

    def put_network(self, network_id: str, batch: Batch[Network | None]) -> None:
        """Take one network; an empty batch says that it is gone."""
        found = _one(self._networks, network_id, batch)
        self._networks.pop(network_id, None)
        if found:
            self._networks[network_id] = found
        self._set_problems("network", network_id, (p for _, p in batch.problems))

    def set_nodes(self, batch: Batch[NodeRecord]) -> set[str]:
        """Take a list of all nodes; return those that came, went, or may now run more or less than before."""
        down, before = self._down(), self._nodes
        self._nodes = _merged(before, batch)
        self._list_problems("node", batch)
        if self._down() != down:
            self._stale.update(self._services)
        use = [{i: (r.up, r.availability) for i, r in nodes.items()} for nodes in (before, self._nodes)]
        return {i for i, _ in use[0].items() ^ use[1].items()}

    def set_secrets(self, batch: Batch[Secret]) -> None:
        """Take a list of all secrets."""
        self._secrets = _merged(self._secrets, batch)
        self._list_problems("secret", batch)

    def set_services(self, batch: Batch[ServiceRecord]) -> None:
        """Take a list of all services."""
        known = _merged(self._services, batch)
        kept = {i: record for i, record in known.items() if record.kept}
        for gone in self._services.keys() - kept.keys():
            self._forget_tasks(gone)
        self._stale.update(i for i, record in kept.items() if self._services.get(i) is not record)
        self._services = kept
        self._list_problems("service", batch)

    def put_service(self, service_id: str, batch: Batch[ServiceRecord]) -> None:
        """Take one service; an empty batch says that it is gone."""
        found = _one(self._services, service_id, batch)
        self._set_problems("service", service_id, (p for _, p in batch.problems))
        if found and found.kept:
            self._services[service_id] = found
            self._stale.add(service_id)
        else:
            self._services.pop(service_id, None)
            self._forget_tasks(service_id)

    def set_tasks(self, service_ids: Collection[str], batch: Batch[TaskRecord | None]) -> set[str]:
        """Take a list of all tasks of these services; return those services of which a task moved."""
        by_service: dict[str, dict[str, TaskRecord | None]] = {i: {} for i in service_ids if i in self._services}
        for task_id, record in batch.records.items():
            if record and record.service_id in by_service:
                by_service[record.service_id][task_id] = record
        moved = set()
        for service_id, records in by_service.items():
            before = self._tasks.get(service_id, {})
            part = replace(batch, records=records, problems=())
            now = {i: r for i, r in _merged(before, part).items() if r}
            if now != before:
                self._tasks[service_id] = now
                self._stale.add(service_id)
                moved.add(service_id)
            self._set_problems("task", service_id, ())
        if batch.problems:
            self._set_problems("task", min(service_ids, default=""), (p for _, p in batch.problems))
        return moved

    def moving(self, service_id: str) -> bool:
        """Whether the service does not yet have what it is to have."""
        record, tasks = self._services.get(service_id), self._tasks.get(service_id, {}).values()
        if record is None:
            return False
        running = sum(task.running and task.task.serving for task in tasks)
        wanted = record.replicas
        return (wanted is not None and running != wanted) or any(task.moving for task in tasks)

    def expects_tasks(self, service_id: str) -> bool:
        """Whether the service had running tasks and is to have some."""
        record = self._services.get(service_id)
        return bool(record and record.replicas and any(t.running for t in self._tasks.get(service_id, {}).values()))

    def updating(self, service_id: str) -> bool:
        """Whether the engine is replacing the service's tasks."""
        record = self._services.get(service_id)
        return record is not None and record.updating

    def on_nodes(self, node_ids: Collection[str]) -> set[str]:
        """Return the services with a task on one of the nodes."""
        return {i for i, tasks in self._tasks.items() if any(t.task.node_id in node_ids for t in tasks.values())}

    def unknown_networks(self) -> set[str]:
        """Return the networks that a service names and that nobody told of yet."""
        return {n for record in self._services.values() for n in record.service.network_ids} - self._networks.keys()

    def reading(self, cause: str) -> Reading | None:
        """Return what is known, or None if that is what was returned last."""
        self._rebuild()
        fleets, fleet_problems = self._fleets()
        services = [(record, self._built[i]) for i, record in sorted(self._services.items())]
        problems = [p for group in self._problems.values() for p in group]
        state = SwarmState(
            services=tuple(service for record, service in services if not record.relay),
            networks=tuple(self._networks[i] for i in sorted(self._networks)),
            nodes=tuple(self._nodes[i].node for i in sorted(self._nodes)),
            fleet_networks=fleets,
            fleet_services=tuple(
                self._fleet_service(record, service) for record, service in services if record.fleet is not None
            ),
            relays=tuple(service for record, service in services if record.relay),
            secrets=tuple(self._secrets[i] for i in sorted(self._secrets)),
        )
        reading = Reading(state=state, problems=ordered([*problems, *fleet_problems]), cause=cause)
        if self._last and reading.state == self._last.state and reading.problems == self._last.problems:
            return None
        self._last = reading
        return reading

    def _rebuild(self) -> None:
        down = self._down()
        for gone in self._built.keys() - self._services.keys():
            del self._built[gone]
        for service_id in self._stale & self._services.keys():
            before = self._built.get(service_id)
            known = {task.id: task for task in before.tasks} if before else {}
            records = sorted(self._tasks.get(service_id, {}).items())
            tasks = tuple(_same(known.get(i), _reachable(r.task, down)) for i, r in records if r.running)
            self._built[service_id] = _same(before, replace(self._services[service_id].service, tasks=tasks))
        self._stale.clear()

    def _fleets(self) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], list[Problem]]:
        """Where two services make up one fleet, only a network that both have is every proxy's."""
        ingress, problems = self.ingress, []
        fleets: dict[str, set[str]] = {}
        for record in self._services.values():
            if record.fleet is not None:
                fleet, own = record.fleet or self._default_fleet, set(record.service.network_ids) - ingress
                fleets[fleet] = fleets[fleet] & own if fleet in fleets else own
        by_name = {network.name: network.id for network in self._networks.values()}
        for fleet, names in self._fleet_names:
            for name in names:
                if name in by_name:
                    fleets.setdefault(fleet, set()).add(by_name[name])
                else:
                    problems.append(_no_such_network(fleet, name))
        return tuple((fleet, tuple(sorted(fleets[fleet]))) for fleet in sorted(fleets)), problems

    def _fleet_service(self, record: ServiceRecord, service: Service) -> FleetService:
        networks = set(service.network_ids) - self.ingress
        ours = {key.removeprefix(ATTACHED) for key, _ in service.labels if key.startswith(ATTACHED)}
        return FleetService(
            id=service.id,
            name=service.name,
            fleet=record.fleet or self._default_fleet,
            image=record.image,
            network_ids=tuple(sorted(networks)),
            attached=tuple(sorted(networks & ours)),
            host_ports=record.host_ports,
            tasks=service.tasks,
        )

    def _down(self) -> frozenset[str]:
        return frozenset(i for i, record in self._nodes.items() if not record.up)

    def _forget_tasks(self, service_id: str) -> None:
        self._tasks.pop(service_id, None)
        self._set_problems("task", service_id, ())

    def _list_problems(self, what: str, batch: Batch[T]) -> None:
        self._problems = {key: p for key, p in self._problems.items() if key[0] != what}
        for identifier, problem in batch.problems:
            self._problems[what, identifier] = (*self._problems.get((what, identifier), ()), problem)

    def _set_problems(self, what: str, identifier: str, problems: Iterable[Problem]) -> None:
        self._problems.pop((what, identifier), None)
        if found := tuple(problems):
            self._problems[what, identifier] = found


def _merged(before: dict[str, T], batch: Batch[T] | Batch[T | None]) -> dict[str, T]:
    """Return the new records, each unchanged one as the old object; keep what is there but cannot be read."""
    kept = before if batch.blind else {i: before[i] for i in batch.unreadable & before.keys()}
    return kept | {i: _same(before.get(i), record) for i, record in batch.records.items()}  # type: ignore[return-value]


def _one(before: dict[str, T], identifier: str, batch: Batch[T] | Batch[T | None]) -> T | None:
    if batch.blind or identifier in batch.unreadable:
        return before.get(identifier)
    found = batch.records.get(identifier)
    return None if found is None else _same(before.get(identifier), found)


def _same(before: T | None, now: T) -> T:
    """Return the object that is known already if it is equal."""
    return before if before is not None and before == now else now


def _reachable(task: Task, down: frozenset[str]) -> Task:
    return replace(task, serving=False) if task.serving and task.node_id in down else task


def _no_such_network(fleet: str, name: str) -> Problem:
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.UNKNOWN_NETWORK,
        value=name,
        reason=f'the settings say that fleet "{fleet or "default"}" stands in network "{name}", which does not exist',
        cure="correct the setting or create the network",
    )
