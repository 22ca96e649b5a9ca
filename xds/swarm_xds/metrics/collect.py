"""From the record to Prometheus: gauges and counters are read when they are asked for, histograms fill as events come.

In: the ``Record``, a ``Probe``. Out: the text of ``/metrics``. Each control plane has its own registry, so that
several may run in one process.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from swarm_xds.metrics import table
from swarm_xds.metrics.certificates import certificates
from swarm_xds.metrics.table import PREFIX, Form, Metric
from swarm_xds.observe import (
    Acknowledged,
    Answered,
    Event,
    Health,
    Phase,
    Published,
    Record,
    Situation,
    Standing,
    Status,
    health,
)
from swarm_xds.observe.members import by_standing
from swarm_xds.server import Refusal, Stage
from swarm_xds.snapshot import ADS_ORDER
from swarm_xds.snapshot.kept import Failure
from swarm_xds.swarm.marks import RELAY_FLEET_LABEL, RELAY_LABEL

Family = CounterMetricFamily | GaugeMetricFamily
Values = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is asked when metrics are, beside the record.

    Attributes:
        reading_age: Seconds since the source was last read well; None if it never was.
        reading_limit: Age in seconds from which on the source counts as away.
        operations: Steps of the network manager by action and success.
        steps_waiting: Steps that wait.
        handshakes: TLS handshakes that were refused, by reason.
        strangers: Calls of the debug API that were refused.
    """

    reading_age: Callable[[], float | None]
    reading_limit: float
    operations: Callable[[], Mapping[tuple[str, bool], int]] = dict
    steps_waiting: Callable[[], int] = int
    handshakes: Callable[[], dict[str, int]] = dict
    strangers: Callable[[], int] = int


class Metrics(Collector):
    """All metrics of one control plane."""

    def __init__(self, record: Record, probe: Probe) -> None:
        self._record = record
        self._probe = probe
        self._phases = dict.fromkeys(Phase, 0)
        self._registry = CollectorRegistry()
        self._build = self._histogram(table.BUILD)
        self._acknowledged = self._histogram(table.ACKNOWLEDGED)
        self._served = self._histogram(table.SERVED)
        self._registry.register(self)
        for process in (ProcessCollector, PlatformCollector, GCCollector):
            process(registry=self._registry)
        record.listen(self._on_event)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type, in the form that an ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def health(self) -> Health:
        """Return how the control plane does."""
        return health(self._record, self._probe.reading_age(), self._probe.reading_limit)

    def describe(self) -> Iterable[Family]:
        """Return nothing: the registry need not know the names before they are asked for."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Return everything but the histograms, as it stands now."""
        record, totals = self._record, self._record.totals
        status, age = self.health().status, self._probe.reading_age()
        yield _family(table.INFO, {(version("swarm-xds"),): 1})
        yield _family(table.STATUS, {(str(each),): float(each is status) for each in Status})
        yield _family(table.READING_AGE, {} if age is None else {(): age})
        yield _family(table.READINGS, {(): totals.readings})
        yield _family(
            table.CHANGES,
            {(str(phase),): count for phase, count in self._phases.items() if phase is not Phase.PUBLISHED},
        )
        yield _family(table.PENDING, {(): record.pending})
        yield _family(table.STREAMS, {(): record.streams})
        yield _family(table.PROXIES, self._proxies())
        for metric, counts in (
            (table.RESPONSES, totals.sent),
            (table.BYTES, totals.sent_bytes),
            (table.ACCEPTED, totals.accepted),
            (table.REFUSED, totals.refused),
        ):
            types = dict.fromkeys(ADS_ORDER, 0) | dict(counts)
            yield _family(metric, {(_short(type_url),): count for type_url, count in types.items()})
        refused = self._probe.handshakes() | {str(each): totals.clients[each] for each in Refusal}
        yield _family(table.CLIENTS, {(reason,): count for reason, count in refused.items()})
        failures = {str(each): totals.file_failures[each] for each in Failure}
        yield _family(table.FILE_FAILURES, {(failure,): count for failure, count in failures.items()})
        yield _family(table.CANARY, {(str(each),): totals.canary[each] for each in Stage})
        operations: dict[tuple[str, ...], float] = {
            (str(action), "done" if done else "failed"): float(count)
            for (action, done), count in self._probe.operations().items()
        }
        yield _family(table.OPERATIONS, operations)
        yield _family(table.STEPS, {(): self._probe.steps_waiting()})
        yield _family(table.STRANGERS, {(): self._probe.strangers()})
        if record.situation is not None:
            yield from _situation(record.situation)

    def _proxies(self) -> Values:
        counts = by_standing(self._record.members)
        fleets = {fleet for fleet, _ in counts}
        if self._record.situation is not None:
            fleets.update(fleet.name for fleet in self._record.situation.build.model.fleets)
        return {(fleet, str(each)): counts.get((fleet, each), 0) for fleet in sorted(fleets) for each in Standing}

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Acknowledged):
            self._acknowledged.labels(event.fleet).observe(event.seconds)
        elif isinstance(event, Published):
            self._build.observe(event.change.build_seconds)
        elif isinstance(event, Answered):
            change = event.change
            self._phases[change.phase] += 1
            if change.phase is Phase.SERVED and change.seconds is not None:
                self._served.observe(change.seconds)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            f"{PREFIX}{metric.name}", metric.doc, metric.labels, buckets=metric.buckets, registry=self._registry
        )


def _situation(situation: Situation) -> Iterator[Family]:
    """Return what the last build says."""
    build = situation.build
    problems: dict[tuple[str, ...], float] = {}
    for problem in build.problems:
        place = (str(problem.severity), str(problem.kind))
        problems[place] = problems.get(place, 0) + 1
    yield _family(table.PROBLEMS, problems)
    yield _family(table.SERVICES, {(): len(situation.state.services)})
    yield _family(
        table.RESOURCES,
        {
            (fleet, _short(type_url)): len(snapshot.of(type_url))
            for fleet, snapshot in build.snapshots.fleets.items()
            for type_url in ADS_ORDER
        },
    )
    yield _family(
        table.ROUTES,
        {(fleet.name,): sum(len(host.routes) for host in fleet.virtual_hosts) for fleet in build.model.fleets},
    )
    yield _family(table.RELAYS, _relays(situation))
    for metric, values in certificates(situation):
        yield _family(metric, values)


def _relays(situation: Situation) -> Values:
    names = {network.id: network.name for network in situation.state.networks}
    tasks: dict[tuple[str, ...], float] = {}
    for relay in situation.build.networks.relays if situation.build.networks else ():
        tasks[relay.fleet, relay.network_name, "wanted"] = relay.replicas
        tasks[relay.fleet, relay.network_name, "running"] = 0
    for service in situation.state.relays:
        labels = dict(service.labels)
        network = labels.get(RELAY_LABEL, "")
        place = (labels.get(RELAY_FLEET_LABEL, ""), names.get(network, network))
        tasks.setdefault((*place, "wanted"), 0)
        tasks[*place, "running"] = sum(task.serving for task in service.tasks)
    return tasks


def _family(metric: Metric, values: Values) -> Family:
    make = CounterMetricFamily if metric.form is Form.COUNTER else GaugeMetricFamily
    family = make(f"{PREFIX}{metric.name}", metric.doc, labels=metric.labels)
    family.samples += [
        Sample(metric.full_name, dict(zip(metric.labels, labels, strict=True)), value)
        for labels, value in sorted(values.items())
    ]
    return family


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]
