"""What operators ask: the endpoints beside the xDS server, made from the settings.

In: ``Settings``, the ``Record`` and the parts that can be asked. Out: listening endpoints. It belongs to the
composition root and decides nothing.
"""

import asyncio
import time

import structlog

from swarm_xds.credentials import credentials
from swarm_xds.debug.operators import Stranger
from swarm_xds.debug.server import DebugServer
from swarm_xds.debug.service import Probe as DebugProbe
from swarm_xds.metrics import Metrics, MetricsServer, Probe
from swarm_xds.networks.decision import Decision
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.observe import Record
from swarm_xds.pipeline import Pipeline
from swarm_xds.server.handshakes import Handshakes
from swarm_xds.server.observer import Said
from swarm_xds.settings import Settings
from swarm_xds.sources import Source

_log = structlog.get_logger("swarm_xds")
#: Seconds without a good reading from which on a source counts as away, and as many of its full readings.
_AWAY_SECONDS, _AWAY_READINGS = 60.0, 3.0


class Operations:
    """The endpoints for operators of one control plane.

    Raises:
        CertificateError: The files of the TLS settings are of no use.
    """

    def __init__(
        self,
        settings: Settings,
        record: Record,
        source: Source,
        manager: NetworkManager | None,
        handshakes: Handshakes | None = None,
    ) -> None:
        self._source = source
        self._manager = manager
        self._strangers = 0
        self._refusals = Said()
        limit = max(_AWAY_SECONDS, _AWAY_READINGS * settings.resync_seconds)
        probe = Probe(
            reading_age=self._reading_age,
            reading_limit=limit,
            operations=self._network_operations,
            steps_waiting=self._steps_waiting,
            handshakes=dict if handshakes is None else lambda: handshakes.counts,
            strangers=lambda: self._strangers,
        )
        metrics = Metrics(record, probe)
        self._metrics = MetricsServer(metrics, settings.metrics_listen) if settings.metrics_listen else None
        asked = DebugProbe(
            pipeline=lambda: Pipeline(settings.edge, settings.default_fleet, settings.networks),
            decision=self._decision,
            reading_age=self._reading_age,
            reading_limit=limit,
            edge=settings.edge,
            wall=time.time,
        )
        secured = credentials(settings, "debug") if any(map(settings.asks_operators, settings.debug_listen)) else None
        shown = None if secured is None else secured.server_credentials()
        self._debug = [
            DebugServer(
                record,
                asked,
                address,
                credentials=shown if settings.asks_operators(address) else None,
                refused=self._refuse,
            )
            for address in settings.debug_listen
        ]

    async def start(self) -> None:
        """Listen.

        Raises:
            AddressError: An address cannot be bound.
        """
        if self._metrics is not None:
            _log.info("metrics.listening", port=self._metrics.start())
        for server in self._debug:
            _log.info("debug.listening", port=await server.start(), operators_only=server.operators_only)

    async def stop(self) -> None:
        """Stop listening."""
        for server in self._debug:
            await server.stop()
        if self._metrics is not None:
            await self._metrics.stop()

    def _refuse(self, stranger: Stranger) -> None:
        """Count, and warn once of each name: somebody may ask without an end."""
        self._strangers += 1
        names = ", ".join(stranger.names)
        log = _log.debug if self._refusals.again(stranger.names, "") else _log.warning
        log("debug.refused", certificate=names, method=stranger.method, address=stranger.address)

    def _reading_age(self) -> float | None:
        at = self._source.read_at
        return None if at is None else max(0.0, asyncio.get_running_loop().time() - at)

    def _network_operations(self) -> dict[tuple[str, bool], int]:
        operations = {} if self._manager is None else self._manager.operations
        return {(str(action), done): count for (action, done), count in operations.items()}

    def _decision(self) -> Decision | None:
        return None if self._manager is None else self._manager.latest

    def _steps_waiting(self) -> int:
        latest = self._decision()
        return 0 if latest is None else len(latest.steps) + len(latest.later)
