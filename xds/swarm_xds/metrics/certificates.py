"""What the metrics say of certificates: how many there are in each state, and when those in use end. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping

from swarm_xds.metrics import table
from swarm_xds.metrics.table import Metric
from swarm_xds.observe import Situation
from swarm_xds.observe.inventory import Holding, inventory

#: Certificates that have series of their own, those that end first.
MAX_SERIES = 1_000


def certificates(situation: Situation) -> Iterator[tuple[Metric, Mapping[tuple[str, ...], float]]]:
    """Yield each metric with its values by labels."""
    entries = inventory(situation)
    states = Counter(str(each.holding) for each in entries)
    yield table.CERTIFICATES, {(str(each),): states[each] for each in Holding}
    starts: dict[tuple[str, ...], float] = {}
    ends: dict[tuple[str, ...], float] = {}
    for each in entries:
        if each.certificate is not None and each.holding in {Holding.SERVED, Holding.HELD}:
            place = (each.name, str(each.origin), str(each.role))
            if each.certificate.not_after > ends.get(place, 0):
                starts[place], ends[place] = each.certificate.not_before, each.certificate.not_after
    first = sorted(ends, key=lambda place: (ends[place], place))[:MAX_SERIES]
    yield table.CERTIFICATE_START, {place: starts[place] for place in first}
    yield table.CERTIFICATE_EXPIRY, {place: ends[place] for place in first}
