"""What follows from what proxies do on their streams: a word in the log, and a verdict on what they reject.

In: the events of ``server.Observer``. Out: log lines, and calls of the ``Quarantine`` and of the ``Publisher``. It must
not know how snapshots are built or sent.
"""

from collections import Counter
from collections.abc import Callable

import structlog

from swarm_xds.examine import Finding
from swarm_xds.quarantine import Quarantine, Rejection, Suspect
from swarm_xds.server import Event, Nack, Peer, Publisher, SilentObserver, Stage

_log = structlog.get_logger("swarm_xds")
#: Node id of what only looks at configuration.
_EXAMINER = "envoy --mode validate"


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

    def examined(self, finding: Finding) -> None:
        """Have judged what ``envoy --mode validate`` says, as if it were a proxy that serves nothing."""
        fleet, message = finding.fleet, finding.message
        if finding.type_url:
            suspects = tuple(Suspect(*each) for each in finding.suspects)
            rejection = Rejection(
                node=_EXAMINER, fleet=fleet, type_url=finding.type_url, message=message, suspects=suspects
            )
            judged = self._quarantine.rejected(rejection)
        else:
            judged = self._quarantine.answered(_EXAMINER, fleet, finding.version, frozenset(), serves=False)
        if judged:
            self._judged()

    def closed(self, peer: Peer) -> None:
        """Wait for nobody who is gone."""
        self._quarantine.gone(peer.node, peer.fleet)


class CanaryWatch(SilentObserver):
    """Tells the publisher what becomes of what it tries on one proxy first; to be told after the ``Jury``."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def opened(self, peer: Peer) -> None:
        """Count it in."""
        self._publisher.opened(peer.stream, peer.node, peer.fleet)

    def closed(self, peer: Peer) -> None:
        """Count it out."""
        self._publisher.closed(peer.stream)

    def nacked(self, peer: Peer, type_url: str, nack: Nack) -> None:
        """Pass on what it rejects."""
        versions = [(each.name, each.version) for each in nack.suspects]
        self._publisher.rejected(peer.node, peer.fleet, type_url, versions)

    def verdict(self, peer: Peer, version: str, rejected: frozenset[str]) -> None:
        """Pass on its answer to the whole."""
        self._publisher.verdict(peer.node, peer.fleet, version, rejected)


def tell_canary(counts: Counter[str], event: Event) -> None:
    """Log and count what became of a snapshot that is tried on one proxy first."""
    counts[event.stage] += 1
    log = _log.info if event.stage in (Stage.TRIED, Stage.PASSED) else _log.warning
    log(f"canary.{event.stage}", fleet=event.fleet, node=event.node, version=event.version)
