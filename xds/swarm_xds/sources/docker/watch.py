"""The Docker source: events and polls of a manager become readings.

In: endpoints of managers. Out: ``Reading`` values, for ever. The shell around ``convert``, ``view`` and ``pacing``: all
awaits and the clock are here. It must not know what a label means.

A failure of the engine ends the session with it, never the readings: what was read last stays true until another
session has read everything anew.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from swarm_xds.sources.base import Reading
from swarm_xds.sources.docker import convert
from swarm_xds.sources.docker.api import Engine, EngineError, Event, EventStream, Json, NotFoundError
from swarm_xds.sources.docker.doubts import Doubts
from swarm_xds.sources.docker.endpoint import Endpoint
from swarm_xds.sources.docker.outage import Outage
from swarm_xds.sources.docker.pacing import BATCH, Pacing, Timings
from swarm_xds.sources.docker.together import together
from swarm_xds.sources.docker.view import FleetNetworks, View
from swarm_xds.swarm import Secret

T = TypeVar("T")

#: With more objects than this in one wake-up, the lists are cheaper than reading each.
_MANY = 32
#: What a proxy answers that does not let a call through.
_FORBIDDEN = {401, 403, 405}
#: How often to ask again while services are removed under our hands.
_TRIES = 3
#: An event comes about 1 ms after the change; how often, and for how long each, it is waited for after the list.
_MOMENTS, _MOMENT = 20, 0.01


class DockerSource:
    """A swarm, read through its managers' API; implements ``Source``.

    Args:
        endpoints: Managers, tried in turn; ``find_endpoints`` gives them.
        fleet_networks: For each fleet, names of networks its proxies stand in, beside those of the services that are
            labelled ``swarm-xds.fleet``.
        default_fleet: The fleet of a service whose label ``swarm-xds.fleet`` is empty.
        timings: How often to read.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        fleet_networks: FleetNetworks = (),
        default_fleet: str = "default",
        timings: Timings | None = None,
    ) -> None:
        if not endpoints:
            raise ValueError("a Docker source needs an endpoint")
        self._endpoints = tuple(endpoints)
        self._fleet_networks = fleet_networks
        self._default_fleet = default_fleet
        self._timings = timings or Timings()
        self._read_at: float | None = None

    @property
    def read_at(self) -> float | None:
        """When a manager last answered all that it was asked."""
        return self._read_at

    async def readings(self) -> AsyncGenerator[Reading, None]:
        """Yield a first complete reading, then one whenever something changed. It never ends by itself."""
        view = View(self._fleet_networks, self._default_fleet)
        outage = Outage(self._endpoints, self._timings, away="docker.unreachable", back="docker.recovered")
        doubts = Doubts(self._timings.doubt)
        while True:
            session = _Session(outage.endpoint, view, self._timings, doubts)
            try:
                await session.open()
                outage.over()
                while True:
                    self._read_at = asyncio.get_running_loop().time()
                    if reading := view.reading(session.cause):
                        yield replace(reading, noticed=session.noticed)
                    await session.step()
            except EngineError as error:
                outage.failed(error)
            finally:
                session.close()
            await asyncio.sleep(outage.delay())


class _Inbox:
    """What the event stream delivered since the last look."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._error: EngineError | None = None
        self._lost = False
        self._arrived = asyncio.Event()

    def deliver(self, what: Sequence[Event | None] | EngineError) -> None:
        if isinstance(what, EngineError):
            self._error = what
        else:
            self._events.extend(event for event in what if event)
            self._lost = self._lost or None in what
        self._arrived.set()

    def removed(self, kind: str) -> set[str]:
        """Return the ids of what is told to be removed by events that nobody has taken yet."""
        return _removed(_last_actions(self._events, kind))

    async def take(self, longest: float) -> tuple[list[Event], bool]:
        """Wait for something, at most ``longest`` seconds; return the events, and whether one could not be read."""
        if not self._arrived.is_set():
            try:
                async with asyncio.timeout(longest):
                    await self._arrived.wait()
            except TimeoutError:
                pass
        self._arrived.clear()
        if self._error:
            raise self._error
        events, lost = self._events, self._lost
        self._events, self._lost = [], False
        return events, lost


class _Session:
    """The time between connecting to one engine and its first failure."""

    def __init__(self, endpoint: Endpoint, view: View, timings: Timings, doubts: Doubts) -> None:
        self._endpoint = endpoint
        self._view = view
        self._timings = timings
        self._doubts = doubts
        self._pacing = Pacing(timings)
        self._inbox = _Inbox()
        self._engine: Engine | None = None
        self._stream: EventStream | None = None
        self.cause = "start"
        self.noticed = self._now()

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "the session is not open"  # noqa: S101 - a bug, not a condition
        return self._engine

    async def open(self) -> None:
        """Connect and read everything."""
        self._engine = await Engine.connect(self._endpoint, limit=self._timings.call)
        await self._resync(known=())

    def close(self) -> None:
        """End the event stream and drop the connections; calls under way are left to their time limit."""
        if self._stream:
            self._stream.close()
        if self._engine:
            self._engine.close()

    async def step(self) -> None:
        """Wait until something is to be read, and read it."""
        events, lost = await self._inbox.take(self._pacing.delay(self._now()))
        self.noticed = self._now()
        if lost or len({event.id for event in events}) > _MANY:
            self._pacing.resync_soon()
        if self._pacing.resync_due(self._now()):
            self.cause = _cause(events) if events else "resync"
            await self._resync(events, known=tuple(self._view.service_ids))
            self._pacing.touched(_last_actions(events, "service"), self._now())
        elif events:
            self.cause = _cause(events)
            await self._on_events(events)
        elif due := self._pacing.due(self._now()):
            self.cause = "tasks"
            await self._read_tasks(due)

    async def _resync(self, events: Sequence[Event] = (), *, known: Iterable[str]) -> None:
        """Read everything; tasks only of services that were not ``known``, since those of the others are polled.

        The event stream is replaced by a new one, which is open before the lists are read: one that went mute without
        ending does so for no longer than this.
        """
        began, old = self._now(), self._stream
        self._stream = await self.engine.events(
            self._inbox.deliver, silence=3 * self._timings.resync + self._timings.call
        )
        if old:
            old.close()
        networks, nodes, services = await together(self.engine.networks(), self.engine.nodes(), self.engine.services())
        self._view.set_secrets(await self._plausible("secret", await self._secrets(), events))
        overlays = convert.networks(networks)
        ingress = self._view.ingress.union(i for i, each in overlays.records.items() if each and each.ingress)
        listed = convert.services(services, ingress)
        # The engine lists those of its own node alone, and no error, while the managers have no leader (moby,
        # api/server/router/network). But none goes that a service is attached to.
        attached = {n for record in listed.records.values() if record.kept for n in record.service.network_ids}
        self._view.set_networks(await self._plausible("network", overlays, events, attached))
        await self._take_nodes(nodes, events)
        self._view.set_services(await self._plausible_services(listed, events))
        unread = sorted(set(self._view.service_ids) - set(known))
        self._note(self._view.service_ids, changed=unread)
        for start in range(0, len(unread), BATCH):
            await self._read_tasks(unread[start : start + BATCH])
        await self._complete_networks()
        self._pacing.resynced(self._now(), self._now() - began)

    async def _on_events(self, events: Sequence[Event]) -> None:
        services = _last_actions(events, "service")
        networks = _last_actions(events, "network")
        known = set(self._view.service_ids)
        for service_id in _removed(services):
            self._view.put_service(service_id, convert.Batch())
        changed = sorted(services.keys() - _removed(services))
        await together(
            self._read_networks(sorted(networks.keys() - _removed(networks))),
            self._read_nodes([event for event in events if event.kind == "node"]),
            self._read_services(changed),
            self._read_secrets([event for event in events if event.kind == "secret"]),
        )
        for network_id in _removed(networks):
            self._view.put_network(network_id, convert.Batch())
        self._note(changed, changed=changed)
        # What is new in the service is yielded at once; the swarm has yet to act on it, so its tasks are read in the
        # next step. Not so for one that was nobody's business before: it may have tasks, and belongs with them.
        self._pacing.touched(changed, self._now())
        await together(
            self._read_tasks([i for i in changed if i in self._view.service_ids and i not in known]),
            self._read_networks(sorted(self._view.unknown_networks()) if changed else ()),
        )

    async def _read_services(self, service_ids: Sequence[str]) -> None:
        raws = await together(*(self._inspect(self.engine.service(i)) for i in service_ids))
        for service_id, raw in zip(service_ids, raws, strict=True):
            self._view.put_service(service_id, convert.services(raw, self._view.ingress))

    async def _read_networks(self, network_ids: Sequence[str]) -> None:
        raws = await together(*(self._inspect(self.engine.network(i)) for i in network_ids))
        for network_id, raw in zip(network_ids, raws, strict=True):
            self._view.put_network(network_id, convert.networks(raw))

    async def _complete_networks(self) -> None:
        """Read those networks that a service names and no list had; one that the engine does not give is left out."""
        for network_id in sorted(self._view.unknown_networks()):
            try:
                await self._read_networks([network_id])
            except EngineError as error:
                if not error.status:
                    raise

    async def _read_nodes(self, events: Sequence[Event]) -> None:
        if events:
            await self._take_nodes(await self.engine.nodes(), events)

    async def _read_secrets(self, events: Sequence[Event]) -> None:
        if events:
            self._view.set_secrets(await self._plausible("secret", await self._secrets(), events))

    async def _secrets(self) -> convert.Batch[Secret]:
        """List the secrets; a proxy before the engine may allow everything else."""
        try:
            return convert.secrets(await self.engine.secrets())
        except EngineError as error:
            if error.status not in _FORBIDDEN:
                raise
            return convert.unlisted_secrets(error.reason)

    async def _take_nodes(self, raws: Sequence[Json], events: Sequence[Event]) -> None:
        """Nodes tell of themselves often; what runs on one is in flux only if its use changed."""
        if not raws:
            raise EngineError(self._endpoint, "the engine lists no nodes, and a manager is one itself")
        changed = self._view.set_nodes(await self._plausible("node", convert.nodes(raws), events))
        self._pacing.touched(self._view.on_nodes(changed), self._now())

    async def _plausible(
        self, kind: str, batch: convert.Batch[T], events: Sequence[Event], needed: Collection[str] = ()
    ) -> convert.Batch[T]:
        """Return a list as it is, or as an addition to what was there where that has vanished against all odds."""
        lost = await self._lost(kind, batch, events, needed)
        if self._doubts.about([kind], [kind] if lost else [], self._now()):
            return convert.doubted(batch, kind, len(lost))
        return batch

    async def _plausible_services(
        self, batch: convert.Batch[convert.ServiceRecord], events: Sequence[Event]
    ) -> convert.Batch[convert.ServiceRecord]:
        """The same for services, about which an engine that does not know them cannot be asked anything else."""
        lost = await self._lost("service", batch, events)
        if self._doubts.about(["service"], ["service"] if lost else [], self._now()):
            raise EngineError(self._endpoint, f"the engine lists none of the {len(lost)} services that there were")
        return batch

    async def _lost(
        self, kind: str, batch: convert.Batch[T], events: Sequence[Event], needed: Collection[str] = ()
    ) -> set[str]:
        """Return what a list lacks with no event that tells of it: all that was there, or what is ``needed`` of that.

        Where it names some of the rest, that may have gone unheard. An event has a moment to come after the list.
        """
        expected = self._view.known(kind) - _removed(_last_actions(events, kind))
        lost = expected - batch.records.keys() - batch.unreadable
        lost = set() if batch.blind else lost if lost == expected else lost & set(needed)
        for _ in range(_MOMENTS):
            lost -= self._inbox.removed(kind)
            if not lost:
                break
            await asyncio.sleep(_MOMENT)
        return lost

    def _doubted_tasks(self, service_ids: Sequence[str], raws: Sequence[Json]) -> set[str]:
        """Return services that ran tasks a moment ago, are to have some, and have neither old nor new ones listed."""
        listed = {str(raw.get("ServiceID")) for raw in raws if isinstance(raw, dict)}
        bare = {i for i in service_ids if i not in listed and self._view.expects_tasks(i)}
        return bare if self._doubts.about(service_ids, bare, self._now()) else set()

    @staticmethod
    async def _inspect(call: Awaitable[Json]) -> list[Json]:
        """Return the object as a list of one, or none if it is gone."""
        try:
            return [await call]
        except NotFoundError:
            return []

    async def _read_tasks(self, service_ids: Sequence[str]) -> None:
        """Read the tasks of these services, of which some may be gone by now."""
        ids = list(service_ids)
        for _ in range(_TRIES):
            if not ids:
                return
            began = self._now()
            try:
                raws = await self.engine.tasks(ids)
            except NotFoundError:
                # The engine refuses the whole question if one of the services is gone, and does not say which.
                await self._read_services(ids)
                ids = [i for i in ids if i in self._view.service_ids]
                continue
            doubted = self._doubted_tasks(ids, raws)
            known = [i for i in ids if i not in doubted]
            moved = self._view.set_tasks(known, convert.tasks(raws, self._view.ingress)) if known else set()
            self._note(ids, changed=moved)
            self._pacing.tasks_read(ids, self._now(), self._now() - began)
            return
        raise EngineError(self._endpoint, "the engine lists no tasks of services that it has")

    def _note(self, service_ids: Iterable[str], changed: Iterable[str]) -> None:
        now, moved = self._now(), set(changed)
        self._pacing.watch(self._view.service_ids)
        for i in service_ids:
            moving, updating = self._view.moving(i), self._view.updating(i)
            self._pacing.noted(i, now, moving=moving, updating=updating, changed=i in moved)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _last_actions(events: Sequence[Event], kind: str) -> dict[str, str]:
    """Return what last happened to each object of a kind."""
    return {event.id: event.action for event in events if event.kind == kind}


def _removed(actions: dict[str, str]) -> set[str]:
    return {identifier for identifier, action in actions.items() if action == "remove"}


def _cause(events: Sequence[Event]) -> str:
    more = len(events) - 1
    return f"{events[0]} and {more} more" if more else str(events[0])
