"""The one table of metrics: the instruments, the documentation and the checks of dashboard and alerts come from it."""

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "swarm_xds_"

#: Seconds, from what a change takes on an idle machine to what nobody should wait for.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Form(StrEnum):
    """Prometheus' kinds of metrics."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: Without ``PREFIX``; a counter's without ``_total``.
        doc: One sentence; units are in the name.
        buckets: Upper bounds, of a histogram.
    """

    name: str
    form: Form
    doc: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as Prometheus has it; of a histogram without ``_bucket``, ``_sum`` and ``_count``."""
        return f"{PREFIX}{self.name}{'_total' if self.form is Form.COUNTER else ''}"


INFO = Metric(name="info", form=Form.GAUGE, doc="Always 1; the version is a label.", labels=("version",))
STATUS = Metric(
    name="status",
    form=Form.GAUGE,
    doc="1 for what holds: well, last-good (something is served as it last was) or starting.",
    labels=("status",),
)
READING_AGE = Metric(
    name="reading_age_seconds",
    form=Form.GAUGE,
    doc="Time since the swarm or the stack files were last read well; it grows while they are away. Absent before.",
)
READINGS = Metric(name="readings", form=Form.COUNTER, doc="Readings that were built.")
BUILD = Metric(
    name="build_seconds",
    form=Form.HISTOGRAM,
    doc="From a reading to its snapshots, for those that changed something.",
    buckets=_SECONDS,
)
CHANGES = Metric(
    name="changes",
    form=Form.COUNTER,
    doc="Changes that every proxy has answered: served, refused by some, or unseen as no proxy was there.",
    labels=("phase",),
)
PENDING = Metric(name="changes_pending", form=Form.GAUGE, doc="Changes that some proxy has not answered yet.")
ACKNOWLEDGED = Metric(
    name="change_acknowledged_seconds",
    form=Form.HISTOGRAM,
    doc="From when a change was noticed until one proxy had accepted all of it, for each proxy.",
    labels=("fleet",),
    buckets=_SECONDS,
)
SERVED = Metric(
    name="change_served_seconds",
    form=Form.HISTOGRAM,
    doc="From when a change was noticed until the last proxy had accepted all of it.",
    buckets=_SECONDS,
)
PROBLEMS = Metric(name="problems", form=Form.GAUGE, doc="Problems that there are now.", labels=("severity", "kind"))
SERVICES = Metric(name="services", form=Form.GAUGE, doc="Services that carry a label of ours.")
RESOURCES = Metric(
    name="resources",
    form=Form.GAUGE,
    doc="Resources that each proxy of a fleet is to have; for virtual hosts see routes.",
    labels=("fleet", "type"),
)
ROUTES = Metric(name="routes", form=Form.GAUGE, doc="Routes, one for each host and path.", labels=("fleet",))
PROXIES = Metric(
    name="proxies",
    form=Form.GAUGE,
    doc="Proxies by how they stand to what they are to have: current, waiting, refused, or gone not long ago.",
    labels=("fleet", "standing"),
)
STREAMS = Metric(name="streams", form=Form.GAUGE, doc="Open xDS streams.")
RESPONSES = Metric(name="responses", form=Form.COUNTER, doc="Responses sent.", labels=("type",))
BYTES = Metric(name="response_bytes", form=Form.COUNTER, doc="Bytes of the responses sent.", labels=("type",))
ACCEPTED = Metric(
    name="responses_accepted", form=Form.COUNTER, doc="Responses that a proxy has accepted.", labels=("type",)
)
REFUSED = Metric(
    name="responses_refused", form=Form.COUNTER, doc="Responses that a proxy has refused.", labels=("type",)
)
CLIENTS = Metric(
    name="clients_refused",
    form=Form.COUNTER,
    doc="Clients that were refused: by the TLS handshake (no, an expired or a foreign certificate, no TLS, or others), "
    "or on a stream (forbidden: another fleet's certificate; protocol; limit).",
    labels=("reason",),
)
CERTIFICATES = Metric(
    name="certificates",
    form=Form.GAUGE,
    doc="Certificates by state; held: in use although a newer one is bad; missing: a host waits for one.",
    labels=("state",),
)
CERTIFICATE_START = Metric(
    name="certificate_start_timestamp_seconds",
    form=Form.GAUGE,
    doc="When a certificate that is in use began to be valid.",
    labels=("certificate", "source", "role"),
)
CERTIFICATE_EXPIRY = Metric(
    name="certificate_expiry_timestamp_seconds",
    form=Form.GAUGE,
    doc="When a certificate that is in use ends; of a bundle of authorities the last. Of the 1000 that end first.",
    labels=("certificate", "source", "role"),
)
FILE_FAILURES = Metric(
    name="snapshot_file_failures",
    form=Form.COUNTER,
    doc="Times that snapshot_file was of no use: damaged or unreadable at the start, or not_written.",
    labels=("failure",),
)
CANARY = Metric(
    name="canary_snapshots",
    form=Form.COUNTER,
    doc="Snapshots that were tried on one proxy of a fleet first, by what became of them: tried, then passed, overdue, "
    "rejected or lost; with canary. The fleet's other proxies are waiting meanwhile.",
    labels=("stage",),
)
OPERATIONS = Metric(
    name="network_operations",
    form=Form.COUNTER,
    doc="Writes to the swarm for relays, by action and result (done or failed).",
    labels=("action", "result"),
)
STEPS = Metric(
    name="network_steps_waiting", form=Form.GAUGE, doc="Writes for relays that wait for their time, or for a new try."
)
RELAYS = Metric(
    name="relay_tasks",
    form=Form.GAUGE,
    doc="Tasks of the relay of each network: wanted and running.",
    labels=("fleet", "network", "state"),
)
STRANGERS = Metric(
    name="debug_refused",
    form=Form.COUNTER,
    doc="Calls of the debug API by clients with a certificate that is no operator's.",
)

TABLE = (
    INFO,
    STATUS,
    READING_AGE,
    READINGS,
    BUILD,
    CHANGES,
    PENDING,
    ACKNOWLEDGED,
    SERVED,
    PROBLEMS,
    SERVICES,
    RESOURCES,
    ROUTES,
    PROXIES,
    STREAMS,
    RESPONSES,
    BYTES,
    ACCEPTED,
    REFUSED,
    CLIENTS,
    CERTIFICATES,
    CERTIFICATE_START,
    CERTIFICATE_EXPIRY,
    FILE_FAILURES,
    CANARY,
    OPERATIONS,
    STEPS,
    RELAYS,
    STRANGERS,
)
