"""The composition root: it alone makes the parts and ties them together.

In: ``Settings``. Out: a running control plane. No decision about routes is taken here.
"""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from swarm_xds.certs.acme.source import AcmeSource
from swarm_xds.certs.base import CertificateSource, CertificatesReading
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.obtain import ObtainingSource
from swarm_xds.certs.own import OwnCertificates
from swarm_xds.certs.readers import Reader, ReaderSource
from swarm_xds.certs.together import TogetherSource
from swarm_xds.certs.values import Certificates
from swarm_xds.certs.withhold import WITHHELD, without_keys
from swarm_xds.credentials import credentials
from swarm_xds.examine import Examiner
from swarm_xds.model import READER_PORT
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.readers import running_readers
from swarm_xds.observe import Record
from swarm_xds.operations import Operations
from swarm_xds.peers import CanaryWatch, Greeter, Jury, tell_canary
from swarm_xds.pipeline import Build, Pipeline, Translator
from swarm_xds.problem import Problem, Severity
from swarm_xds.quarantine import Quarantine
from swarm_xds.servable import servable
from swarm_xds.server import CanaryOptions, Limits, LogObserver, Observer, Observers, Publisher, XdsServer
from swarm_xds.server.handshakes import Handshakes
from swarm_xds.settings import Settings
from swarm_xds.snapshot import Snapshots, changes
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


class App:
    """A control plane: reads, builds, publishes and serves until it is stopped.

    Args:
        settings: The operator's choices.
        source: Where labels are read.
        certificates: Where certificates are read; None: there are none.
        secrets: The part of ``certificates`` that reads Docker secrets, which is told where readers run; None: there is
            none.
        want: Is told the hosts that ask for TLS and name no certificate, at each build; None: nobody is.
        observer: Is told what happens on the streams, beside the log.
        limits: Times and sizes of the streams.
        manager: Brings about the network plan; None: nobody does.
        on_published: Is told what each reading led to.

    Raises:
        CertificateError: The files of the TLS settings are of no use.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        *,
        certificates: CertificateSource | None = None,
        secrets: ReaderSource | None = None,
        want: Callable[[Iterable[str]], None] | None = None,
        observer: Observer | None = None,
        limits: Limits | None = None,
        manager: NetworkManager | None = None,
        translator: Translator = translate,
        on_published: Callable[[Published], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._certificates = certificates
        self._secrets = secrets
        self._want = want if settings.carries_keys else None
        self._carries_keys = settings.carries_keys
        self._manager = manager
        self._pipeline = Pipeline(settings.edge, settings.default_fleet, settings.networks, translator)
        self._quarantine = Quarantine()
        #: The readings that were last built from.
        self._latest: tuple[Reading, CertificatesReading] | None = None
        self._restore_after = settings.snapshot_after_seconds
        self._on_published = on_published
        self._problems: frozenset[Problem] = frozenset()
        #: What is known of all this, to be asked.
        self.record = Record(lambda: asyncio.get_running_loop().time(), time.time)
        told = partial(tell_canary, self.record.totals.canary)
        self.publisher = Publisher(_canary(settings), told=told, served=self._keep)
        failures = self.record.totals.file_failures
        kept = settings.snapshot_file
        self._store = None if kept is None else Store(kept, on_failure=lambda failure: failures.update([failure]))
        jury = Jury(self._quarantine, self._judged)
        #: Shows what is published to an Envoy that only looks at it; to be run.
        self.examiner = Examiner(settings.envoy_binary, settings.envoy_validate_seconds, jury.examined)
        observers: list[Observer] = [
            LogObserver(_log),
            Greeter(self.publisher),
            self.record,
            jury,
            *([CanaryWatch(self.publisher)] if settings.canary else []),
            *([] if observer is None else [observer]),
        ]
        secured = credentials(settings, "xds")
        self._server = XdsServer(
            self.publisher,
            settings.listen,
            observer=Observers(*observers),
            limits=limits or Limits(),
            credentials=None if secured is None else secured.server_credentials(),
            authorities=None if secured is None else secured.authorities,
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

    async def keep(self) -> None:
        """Keep what is served in the file, for ever; serve what is in it if nothing else comes for too long.

        Not at once: it is of the past, and where a manager answers the present is a moment away.
        """
        if self._store is None:
            return
        kept = self._store.restore()
        if kept is not None and kept.has_keys and not self._carries_keys:
            # Written when they might go out; without them hardly anything of it would be whole.
            _log.warning("snapshot.withheld", reason=WITHHELD.reason, cure=WITHHELD.cure)
        elif kept is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._restore_after):
                    await self.publisher.published()
            if self.publisher.latest is None:
                age = (datetime.now(UTC) - kept.written).total_seconds()
                self.record.restore(kept)
                self.publisher.publish(kept.snapshots)
                _log.warning("snapshot.restored", written=kept.written.isoformat(), age_seconds=round(age))
        await self._store.run()

    def _keep(self, served: Snapshots) -> None:
        """Have what every proxy may have kept in the file, unless it is from there."""
        if self._store is not None and self._latest is not None:
            self._store.keep(served)

    async def follow(self) -> None:
        """Publish what the sources read, for ever; nothing until each has a first complete reading."""
        # Of one place: a source goes on when what it has read is served.
        readings: asyncio.Queue[Reading | CertificatesReading] = asyncio.Queue(maxsize=1)
        swarm: Reading | None = None
        certificates = CertificatesReading(certificates=Certificates()) if self._certificates is None else None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_feed(self._source.readings(), readings))
            if self._certificates is not None:
                tasks.create_task(_feed(self._certificates.readings(), readings))
            while True:
                reading = await readings.get()
                if isinstance(reading, CertificatesReading):
                    certificates = self._permitted(reading)
                else:
                    swarm = reading
                    self._follow_readers(swarm)
                if swarm is not None and certificates is not None:
                    self._serve(swarm, certificates, reading)

    def _follow_readers(self, swarm: Reading) -> None:
        """Have the secrets read that readers in the swarm have; before anything is built, which waits for them."""
        if self._secrets is not None:
            readers = [Reader(addresses=each.addresses, secrets=each.secrets) for each in running_readers(swarm.state)]
            self._secrets.follow(readers, {secret.id for secret in swarm.state.secrets})

    def _permitted(self, reading: CertificatesReading) -> CertificatesReading:
        """Return what may go out over this server of it."""
        if self._carries_keys:
            return reading
        return replace(reading, certificates=without_keys(reading.certificates), problems=(*reading.problems, WITHHELD))

    def _serve(self, swarm: Reading, certificates: CertificatesReading, reading: Reading | CertificatesReading) -> None:
        """Build and publish; ``reading`` is the newer of the two."""
        first = self._latest is None
        self._latest = (swarm, certificates)
        started = time.perf_counter()
        problems = (*swarm.problems, *certificates.problems)
        state, build = servable(self._pipeline, self._quarantine, swarm.state, problems, certificates.certificates)
        changed = changes(self.publisher.latest, build.snapshots)
        self._quarantine.built(state, build.model, build.snapshots)
        self.publisher.publish(build.snapshots)
        self.examiner.want(build.snapshots)
        if self._want is not None:
            self._want(host for fleet in build.model.fleets for host in fleet.uncertified)
        if self._manager is not None and build.networks is not None:
            self._manager.want(build.networks, swarm.state)
        seconds = time.perf_counter() - started
        self._tell(reading.cause, build, changed, seconds)
        self.record.published(
            swarm.state,
            build,
            cause=reading.cause,
            resources=changed,
            seconds=seconds,
            noticed=reading.noticed if isinstance(reading, Reading) else None,
            stock=certificates.stock,
            certificates=certificates.certificates,
        )
        self._on_published(Published(reading=swarm, build=build, changed=bool(changed), seconds=seconds))
        if first:
            # Nearly all that is alive now stays alive: else the collector goes through all of it at times, and a
            # change waits for it.
            gc.collect()
            gc.freeze()

    def _judged(self) -> None:
        """Build the last readings anew, without what was found to be rejected."""
        if self._latest is not None:
            _log.info("quarantine.changed", held=sorted(self._quarantine.held))
            swarm, certificates = self._latest
            self._serve(swarm, certificates, replace(swarm, cause="rejected by a proxy", noticed=None))

    def _tell(self, cause: str, build: Build, changed: Mapping[str, int], seconds: float) -> None:
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
                cause=cause,
                build_ms=round(seconds * 1_000, 1),
                problems=len(problems),
                **{name.lower(): count for name, count in changed.items()},
            )


async def serve(settings: Settings, handshakes: Handshakes | None = None) -> None:
    """Run a control plane until the task is cancelled; ``handshakes`` counts those that gRPC refuses.

    Raises:
        AddressError: The address cannot be bound.
        CertificateError: The files of the TLS settings are of no use.
        EndpointError: The Docker settings name no usable endpoint.
    """
    manager = None
    if settings.networks is not None:
        manager = NetworkManager(find_endpoints(settings.docker_host), settings.network_timings)
    secrets = ReaderSource(settings.identity, READER_PORT) if manager is not None and settings.identity else None
    given: list[CertificateSource] = [CertificateDirectory(settings.certs)] if settings.certs is not None else []
    given += [secrets] if secrets is not None else []
    given += [OwnCertificates(settings.identity)] if settings.identity is not None else []
    together = TogetherSource(given) if given else None
    obtaining = ObtainingSource(AcmeSource(settings.acme), together) if settings.acme is not None else None
    source = make_source(settings)
    app = App(
        settings,
        source,
        certificates=together if obtaining is None else obtaining,
        secrets=secrets,
        want=None if obtaining is None else obtaining.want,
        manager=manager,
    )
    operations = Operations(settings, app.record, source, manager, handshakes)
    await app.start()
    try:
        await operations.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(app.follow())
            if obtaining is not None:
                tasks.create_task(obtaining.run())
            tasks.create_task(app.keep())
            tasks.create_task(app.examiner.run())
            if manager is not None:
                tasks.create_task(manager.run())
    finally:
        await operations.stop()
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


async def _feed(
    source: AsyncIterator[Reading] | AsyncIterator[CertificatesReading],
    into: asyncio.Queue[Reading | CertificatesReading],
) -> None:
    async for reading in source:
        await into.put(reading)


def _canary(settings: Settings) -> CanaryOptions | None:
    """Return how a change is tried on one proxy first; ``None`` where it is not."""
    if not settings.canary:
        return None
    return CanaryOptions(quiet=settings.canary_quiet_seconds, limit=settings.canary_limit_seconds)
