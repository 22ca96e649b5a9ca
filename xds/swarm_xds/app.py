"""The composition root: it alone makes the parts and ties them together.

In: ``Settings``. Out: a running control plane. No decision about routes is taken here.
"""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from swarm_xds.networks.manager import NetworkManager
from swarm_xds.pipeline import Build, Pipeline, Translator
from swarm_xds.problem import Problem, Severity
from swarm_xds.quarantine import Quarantine, Rejection, Suspect
from swarm_xds.server import (
    CertificateError,
    Credentials,
    Limits,
    Loaded,
    LogObserver,
    Nack,
    Observer,
    Observers,
    Peer,
    Publisher,
    SilentObserver,
    TlsFiles,
    XdsServer,
)
from swarm_xds.settings import Settings
from swarm_xds.snapshot import ADS_ORDER, Resources, Snapshots
from swarm_xds.sources import Reading, Source
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.sources.docker import DockerSource, Timings, find_endpoints
from swarm_xds.store import Store
from swarm_xds.translate import translate

_log = structlog.get_logger("swarm_xds")
#: Seconds that open streams have to end when the control plane stops.
_STOP_GRACE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What one reading led to.

    Attributes:
        changed: Whether any resource is not as it was.
        seconds: How long the build took.
    """

    reading: Reading
    build: Build
    changed: bool
    seconds: float


class Greeter(SilentObserver):
    """Says who connects, and warns of a proxy whose fleet no service names: it answers every host as unknown."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def opened(self, peer: Peer) -> None:
        """Log ``proxy.connected``, or ``proxy.unknown_fleet``."""
        latest = self._publisher.latest
        if latest is not None and peer.fleet and peer.fleet not in latest.fleets:
            known = sorted(latest.fleets)
            _log.warning("proxy.unknown_fleet", node=peer.node, fleet=peer.fleet, known=known, address=peer.address)
        else:
            _log.info("proxy.connected", node=peer.node, fleet=peer.fleet, address=peer.address)

    def closed(self, peer: Peer) -> None:
        """Log ``proxy.gone``."""
        _log.info("proxy.gone", node=peer.node, fleet=peer.fleet, address=peer.address)


class Jury(SilentObserver):
    """Tells the quarantine what proxies reject and accept.

    Args:
        quarantine: Judges.
        judged: Called when what is published has to be built anew.
    """

    def __init__(self, quarantine: Quarantine, judged: Callable[[], None]) -> None:
        self._quarantine = quarantine
        self._judged = judged

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """Have a rejection judged."""
        suspects = tuple(Suspect(each.name, each.version, each.accepted) for each in nack.suspects)
        rejection = Rejection(
            node=peer.node, fleet=peer.fleet, type_url=type_url, message=nack.message, suspects=suspects
        )
        if self._quarantine.rejected(rejection):
            self._judged()

    def verdict(self, peer: Peer, version: str, rejected: frozenset[str]) -> None:
        """Have an answer to the whole judged."""
        if self._quarantine.answered(peer.node, peer.fleet, version, rejected):
            self._judged()

    def closed(self, peer: Peer) -> None:
        """Wait for nobody who is gone."""
        self._quarantine.gone(peer.node, peer.fleet)


class App:
    """A control plane: reads, builds, publishes and serves until it is stopped.

    Raises:
        CertificateError: The files of the TLS settings are of no use.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        *,
        observer: Observer | None = None,
        limits: Limits | None = None,
        manager: NetworkManager | None = None,
        translator: Translator = translate,
        on_published: Callable[[Published], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._manager = manager
        self._pipeline = Pipeline(settings.edge, settings.default_fleet, settings.networks, translator)
        self._quarantine = Quarantine()
        self._reading: Reading | None = None
        self._store = None if settings.snapshot_file is None else Store(settings.snapshot_file)
        self._restore_after = settings.snapshot_after_seconds
        self._restored: datetime | None = None
        self._on_published = on_published
        self._problems: frozenset[Problem] = frozenset()
        self.publisher = Publisher()
        observers: list[Observer] = [
            LogObserver(_log),
            Greeter(self.publisher),
            Jury(self._quarantine, self._judged),
            *([] if observer is None else [observer]),
        ]
        credentials = _credentials(settings)
        self._server = XdsServer(
            self.publisher,
            settings.listen,
            observer=Observers(*observers),
            limits=limits or Limits(),
            credentials=None if credentials is None else credentials.server_credentials(),
        )

    async def start(self) -> int:
        """Open the xDS port and return its number.

        Raises:
            AddressError: The address cannot be bound.
        """
        port = await self._server.start()
        _log.info("xds.listening", port=port)
        return port

    async def stop(self) -> None:
        """End all streams, one after the other, and close the port; what is served is kept."""
        await self._server.stop(_STOP_GRACE)
        if self._store is not None:
            await self._store.flush()

    @property
    def restored(self) -> datetime | None:
        """When what is served was written to the file that it was read from; ``None`` if it is from a reading."""
        return self._restored

    async def keep(self) -> None:
        """Keep what is served in the file, for ever; serve what is in it if nothing else comes for too long.

        Not at once: it is of the past, and where a manager answers the present is a moment away.
        """
        if self._store is None:
            return
        kept = self._store.restore()
        if kept is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._restore_after):
                    await self.publisher.published()
            if self.publisher.latest is None:
                age = (datetime.now(UTC) - kept.written).total_seconds()
                self._restored = kept.written
                self.publisher.publish(kept.snapshots)
                _log.warning("snapshot.restored", written=kept.written.isoformat(), age_seconds=round(age))
        await self._store.run()

    async def follow(self) -> None:
        """Publish what the source reads, for ever."""
        async for reading in self._source.readings():
            first = self._reading is None
            self._reading = reading
            self._publish(reading)
            if first:
                # Nearly all that is alive now stays alive: else the collector goes through all of it at times, and a
                # change waits for it.
                gc.collect()
                gc.freeze()

    def _publish(self, reading: Reading) -> None:
        started = time.perf_counter()
        state = self._quarantine.apply(reading.state)
        build = self._pipeline.build(state, (*reading.problems, *self._quarantine.problems()))
        changed = _changed(self.publisher.latest, build.snapshots)
        self._quarantine.built(state, build.model, build.snapshots)
        self.publisher.publish(build.snapshots)
        self._restored = None
        if self._store is not None:
            self._store.keep(build.snapshots)
        if self._manager is not None and build.networks is not None:
            self._manager.want(build.networks, reading.state)
        seconds = time.perf_counter() - started
        self._tell(reading, build, changed, seconds)
        self._on_published(Published(reading=reading, build=build, changed=bool(changed), seconds=seconds))

    def _judged(self) -> None:
        """Build the last reading anew, without what was found to be rejected."""
        if self._reading is not None:
            _log.info("quarantine.changed", held=sorted(self._quarantine.held))
            self._publish(replace(self._reading, cause="rejected by a proxy"))

    def _tell(self, reading: Reading, build: Build, changed: Mapping[str, int], seconds: float) -> None:
        """Log a change once, and each problem when it comes and when it goes."""
        problems = frozenset(build.problems)
        for problem in build.problems:
            if problem not in self._problems:
                log = _log.info if problem.severity is Severity.INFO else _log.warning
                log(
                    "problem.found",
                    severity=str(problem.severity),
                    kind=str(problem.kind),
                    service=problem.service,
                    label=problem.label,
                    value=problem.value,
                    reason=problem.reason,
                    cure=problem.cure,
                    source=problem.source,
                )
        for problem in sorted(self._problems - problems):
            _log.info("problem.gone", service=problem.service, label=problem.label, reason=problem.reason)
        self._problems = problems
        if changed:
            _log.info(
                "snapshot.published",
                cause=reading.cause,
                build_ms=round(seconds * 1_000, 1),
                problems=len(problems),
                **{name.lower(): count for name, count in changed.items()},
            )


async def serve(settings: Settings) -> None:
    """Run a control plane until the task is cancelled.

    Raises:
        AddressError: The address cannot be bound.
        CertificateError: The files of the TLS settings are of no use.
        EndpointError: The Docker settings name no usable endpoint.
    """
    manager = None
    if settings.networks is not None:
        manager = NetworkManager(find_endpoints(settings.docker_host), settings.network_timings)
    app = App(settings, make_source(settings), manager=manager)
    await app.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(app.follow())
            tasks.create_task(app.keep())
            if manager is not None:
                tasks.create_task(manager.run())
    finally:
        await app.stop()


def make_source(settings: Settings) -> Source:
    """Return the source that the settings ask for.

    Raises:
        EndpointError: The Docker settings name no usable endpoint.
    """
    if settings.source == "compose":
        return ComposeSource(settings.files, os.environ)
    return DockerSource(
        find_endpoints(settings.docker_host),
        fleet_networks=((settings.default_fleet, settings.fleet_networks),) if settings.fleet_networks else (),
        default_fleet=settings.default_fleet,
        timings=Timings(resync=settings.resync_seconds),
    )


def _credentials(settings: Settings) -> Credentials | None:
    """Return the credentials that the settings ask for; ``None`` for plain text."""
    if settings.tls_ca is None or settings.tls_cert is None or settings.tls_key is None:
        return None
    return Credentials(
        TlsFiles(ca=settings.tls_ca, certificate=settings.tls_cert, key=settings.tls_key),
        on_loaded=_tell_loaded,
        on_error=_tell_unusable,
    )


def _tell_loaded(loaded: Loaded) -> None:
    _log.info("xds.certificate", expires=loaded.expires.isoformat())


def _tell_unusable(error: CertificateError) -> None:
    _log.warning("xds.certificate_unusable", error=str(error), kept="the one before")


def _changed(before: Snapshots | None, after: Snapshots) -> dict[str, int]:
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
