"""Labels: Interlock's and the routing mesh's, as they are read here."""

from collections.abc import Iterator, Mapping

from swarm_xds.labels import hrm, keys, parse
from swarm_xds.labels.keys import Due
from swarm_xds.migrate.findings import Fate, Finding
from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.swarm import Service, marks

#: Keys that are read and mean something else than in Interlock, or more.
DIFFERENT: Mapping[str, str] = {
    "context_root": "matches whole segments (/app is not /apple), and the longest prefix wins, not the first",
    "websocket_endpoints": "upgrades work on every path, so it changes nothing",
    "sticky_session_cookie": "a hash of the cookie's value chooses the task; requests without it are spread",
    "ip_hash": "a consistent hash: few clients move when a task comes or goes",
    "max_fails": "counts failures in a row, of any kind, in each proxy by itself",
    "fail_timeout": "is the first time that a task is out; it is longer each further time",
    "service_cluster": "names the fleet: give its proxies the same name (FLEET of the edge's stack)",
}


def labels(service: Service) -> Iterator[Finding]:
    """Return what becomes of each label of a service that Interlock or the routing mesh reads."""
    _, problems = parse(service)
    by_label: dict[str, list[Problem]] = {}
    for problem in problems:
        by_label.setdefault(problem.label, []).append(problem)
    for label, value in service.labels:
        if label.startswith(marks.INTERLOCK) or hrm.is_hrm(label):
            yield _label(service.name, label, value, by_label.get(label, []))


def _label(service: str, label: str, value: str, problems: list[Problem]) -> Finding:
    fate, note = _fate(label, problems)
    return Finding(place=service, name=label, value=shown(value), fate=fate, note=note)


def _fate(label: str, problems: list[Problem]) -> tuple[Fate, str]:
    errors = [each for each in problems if each.severity is Severity.ERROR]
    if errors:
        first = errors[0]
        note = f"{first.reason}; {first.cure}" if first.cure else first.reason
        return Fate.UNKNOWN if first.kind is Kind.UNKNOWN_KEY else Fate.NOT_SERVED, note
    if hrm.is_hrm(label):
        return Fate.TAKEN, "; ".join(each.cure for each in problems if each.kind is Kind.OLD_LABEL)
    key = keys.find(label.removeprefix(marks.INTERLOCK))
    if key is not None and key.due is Due.NOW and key.name in DIFFERENT:
        return Fate.DIFFERENT, DIFFERENT[key.name]
    return Fate.TAKEN, "; ".join(each.reason for each in problems)
