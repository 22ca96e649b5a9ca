"""From the API's messages to tables for people. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.timestamp_pb2 import Timestamp

from swarm_xds.cli.ask.compare import Finding, shown
from swarm_xds.debug.v1 import debug_pb2 as pb


class Tone(StrEnum):
    """What a row's colour says."""

    NONE = ""
    GOOD = "green"
    DOUBTFUL = "yellow"
    BAD = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns, and rows with their tone; a table without rows is shown as ``empty``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Tone, tuple[str, ...]], ...]
    empty: str


SEVERITIES = {
    pb.Problem.SEVERITY_INFO: ("info", Tone.NONE),
    pb.Problem.SEVERITY_WARNING: ("warning", Tone.DOUBTFUL),
    pb.Problem.SEVERITY_ERROR: ("error", Tone.BAD),
}
STANDINGS = {
    pb.STANDING_CURRENT: ("current", Tone.GOOD),
    pb.STANDING_WAITING: ("waiting", Tone.DOUBTFUL),
    pb.STANDING_REFUSED: ("refused", Tone.BAD),
    pb.STANDING_GONE: ("gone", Tone.NONE),
}
#: Fields of one resource that a table has; a document has all.
_FIELDS = 10
_DIFFERENCES = {
    pb.Difference.KIND_MISSING: "missing",
    pb.Difference.KIND_OTHER: "other version",
    pb.Difference.KIND_EXTRA: "too much",
    pb.Difference.KIND_UNKNOWN: "not known",
}
_ACTIONS = {
    pb.PlannedChange.ACTION_ADD: ("+", Tone.GOOD),
    pb.PlannedChange.ACTION_CHANGE: ("~", Tone.DOUBTFUL),
    pb.PlannedChange.ACTION_REMOVE: ("-", Tone.BAD),
}
_VERDICTS = {
    pb.ExplainStep.VERDICT_OK: ("ok", Tone.GOOD),
    pb.ExplainStep.VERDICT_NOTE: ("note", Tone.DOUBTFUL),
    pb.ExplainStep.VERDICT_BROKEN: ("broken", Tone.BAD),
}
_PHASES = {
    pb.Change.PHASE_PUBLISHED: ("published", Tone.NONE),
    pb.Change.PHASE_SERVED: ("served", Tone.GOOD),
    pb.Change.PHASE_REFUSED: ("refused", Tone.BAD),
    pb.Change.PHASE_UNSEEN: ("unseen", Tone.NONE),
}
_NODE_EVENTS = {
    pb.NodeEvent.KIND_JOINED: ("joined", Tone.GOOD),
    pb.NodeEvent.KIND_LEFT: ("left", Tone.DOUBTFUL),
    pb.NodeEvent.KIND_REFUSED: ("refused", Tone.BAD),
}


def routes(found: Iterable[pb.Route]) -> Table:
    """One row a route."""
    rows = []
    for route in found:
        endpoints = sum(len(share.endpoints) for share in route.shares)
        target = (
            f"{308 if route.redirect == 'https://' else 302} {route.redirect}" if route.redirect else _shares(route)
        )
        host = route.host if route.scheme in {"", "http"} else f"{route.scheme}://{route.host}"
        tone = Tone.NONE if route.redirect or endpoints else Tone.BAD
        rows.append((tone, (route.fleet, host, route.path, target, "" if route.redirect else str(endpoints))))
    return Table(columns=("FLEET", "HOST", "PATH", "TO", "ENDPOINTS"), rows=tuple(rows), empty="no route is served")


def _shares(route: pb.Route) -> str:
    total = sum(share.weight for share in route.shares)
    if len(route.shares) == 1:
        return route.shares[0].cluster
    return ", ".join(f"{share.cluster} {share.weight / total:.0%}" for share in route.shares)


def services(found: Iterable[pb.Service]) -> Table:
    """One row a service."""
    rows = []
    for service in found:
        tones = {SEVERITIES[problem.severity][1] for problem in service.problems}
        tone = next((each for each in (Tone.BAD, Tone.DOUBTFUL) if each in tones), Tone.NONE)
        tasks = str(service.tasks_running) + (f" (+{service.tasks_stopping})" if service.tasks_stopping else "")
        count = str(len(service.problems)) if service.problems else ""
        networks = ", ".join(service.networks)
        rows.append((tone, (service.name, tasks, networks, ", ".join(service.routes), count)))
    columns = ("SERVICE", "TASKS", "NETWORKS", "ROUTES", "PROBLEMS")
    return Table(columns=columns, rows=tuple(rows), empty="no service carries a label of ours")


def problems(found: Iterable[pb.Problem]) -> Table:
    """One row a problem."""
    rows = []
    for problem in found:
        word, tone = SEVERITIES[problem.severity]
        label = f'{problem.label}="{problem.value}"' if problem.value else problem.label
        where = problem.service or problem.source
        rows.append((tone, (word, where, label, problem.reason, problem.cure)))
    columns = ("SEVERITY", "SERVICE", "LABEL", "REASON", "CURE")
    return Table(columns=columns, rows=tuple(rows), empty="no problem")


def nodes(found: Iterable[pb.Node], now: float) -> Table:
    """One row a proxy."""
    rows = []
    for node in found:
        word, tone = STANDINGS[node.standing]
        why = "; ".join(
            f"{_short(state.type_url)}: {state.refusal.message}"
            if state.HasField("refusal")
            else f"{_short(state.type_url)} for {_age(state.since, now)}"
            for state in node.types
            if state.standing in {pb.STANDING_REFUSED, pb.STANDING_WAITING} and node.standing != pb.STANDING_GONE
        )
        rows.append((tone, (node.fleet, node.node, word, _age(node.since, now), node.variant, node.address, why)))
    columns = ("FLEET", "NODE", "STANDING", "SINCE", "VARIANT", "ADDRESS", "WHY")
    return Table(columns=columns, rows=tuple(rows), empty="no proxy is connected")


def networks(found: Iterable[pb.NetworkUse]) -> Table:
    """One row a network of a fleet."""
    rows = []
    for use in found:
        relays = f"{use.relay_tasks_running} of {use.relay_tasks_wanted}" if use.relay else ""
        tone = Tone.BAD if use.relay and not use.relay_tasks_running else Tone.NONE
        name = use.network or "the nodes' ports"
        rows.append((tone, (use.fleet, name, use.way, relays, ", ".join(use.services), use.reason)))
    columns = ("FLEET", "NETWORK", "WAY", "RELAYS RUNNING", "SERVICES", "WHY")
    return Table(columns=columns, rows=tuple(rows), empty="no network is routed to")


def steps(found: Iterable[pb.NetworkStep]) -> Table:
    """One row a write that is to be done."""
    rows = tuple((Tone.DOUBTFUL, (step.action, step.name, step.network, step.reason, step.waits_for)) for step in found)
    return Table(columns=("NEXT", "NAME", "NETWORK", "REASON", "WAITS FOR"), rows=rows, empty="nothing is to be done")


def differences(found: Iterable[pb.Difference]) -> Table:
    """One row a resource that a proxy does not have as it is to have it."""
    rows = tuple(
        (
            Tone.BAD if each.refused else Tone.DOUBTFUL,
            (each.fleet, each.node, _short(each.type_url), each.name, _DIFFERENCES[each.kind], each.refused),
        )
        for each in found
    )
    columns = ("FLEET", "NODE", "TYPE", "NAME", "IT IS", "REFUSED")
    return Table(columns=columns, rows=rows, empty="every proxy has what it is to have")


def compared(found: Iterable[Finding], now: float) -> Table:
    """One row a field that is not the same in an Envoy, or a resource that is not there, or has not been answered."""
    rows = []
    for each in found:
        tone = Tone.BAD if each.reason else Tone.DOUBTFUL
        since = _age(_timestamp(each.since), now) if each.since else ""
        head = (_short(each.type_url), each.name, each.acknowledged, str(each.envoy), since)
        whys = [(field.path, shown(field.intended), shown(field.envoy)) for field in each.fields]
        if len(whys) > _FIELDS:
            whys[_FIELDS:] = [(f"and {len(whys) - _FIELDS} more", "", "")]
        rows += [
            (tone, (*head, *why, each.reason)) for why in whys or [("", each.intended_version, each.envoy_version)]
        ]
    columns = ("TYPE", "NAME", "ACKNOWLEDGED", "ENVOY", "SINCE", "FIELD", "INTENDED", "ENVOY HAS", "REFUSED")
    return Table(columns=columns, rows=tuple(rows), empty="the Envoy has what it is to have, and has said so")


def _timestamp(text: str) -> Timestamp:
    made = Timestamp()
    made.FromJsonString(text)
    return made


def snapshot(found: pb.GetSnapshotResponse) -> Table:
    """One row a resource."""
    rows = tuple(
        (Tone.NONE, (_short(each.resource.type_url), each.name, each.version, str(len(each.resource.value))))
        for each in found.resources
    )
    return Table(columns=("TYPE", "NAME", "VERSION", "BYTES"), rows=rows, empty="no resource")


def explanation(found: pb.ExplainResponse) -> Table:
    """One row a step."""
    rows = []
    for step in found.steps:
        word, tone = _VERDICTS[step.verdict]
        rows.append((tone, (word, step.subject, step.text, step.cure)))
    return Table(columns=("", "ABOUT", "WHAT", "TO MEND IT"), rows=tuple(rows), empty="nothing to say")


def planned(found: Iterable[pb.PlannedChange]) -> Table:
    """One row a change."""
    rows = []
    for change in found:
        sign, tone = _ACTIONS[change.action]
        arrow = " → ".join(filter(None, (change.before, change.after)))
        rows.append((tone, (sign, change.what, change.fleet, change.name, arrow)))
    columns = ("", "WHAT", "FLEET", "NAME", "HOW")
    return Table(columns=columns, rows=tuple(rows), empty="nothing would change")


def event(found: pb.WatchResponse) -> tuple[Tone, str]:
    """One line an event."""
    at = found.at.ToDatetime().strftime("%H:%M:%S")
    if found.HasField("change"):
        change = found.change
        word, tone = _PHASES[change.phase]
        parts = [f"#{change.number}", word, change.cause]
        parts += [f"{name} {count}" for name, count in sorted(change.resources.items())]
        if change.HasField("served_after"):
            parts.append(f"after {change.served_after.ToMilliseconds()} ms by {change.answered} of {change.proxies}")
        parts += [f"refused by {', '.join(change.refused)}"] if change.refused else []
        for sign, some in (("+", change.problems_new), ("-", change.problems_gone)):
            parts += [f"{sign}{problem.service or problem.source}: {problem.reason}" for problem in some]
        return tone, _one_line(at, "  ".join(filter(None, parts)))
    if found.HasField("node"):
        node = found.node
        word, tone = _NODE_EVENTS[node.kind]
        what = f"{_short(node.type_url)}: {node.refusal.message}" if node.type_url else node.address
        return tone, _one_line(at, f"{node.fleet} {node.node} {word}  {what}")
    return Tone.DOUBTFUL, f"{at} {found.lost} events were lost: too slow"


def _one_line(at: str, text: str) -> str:
    return f"{at} {text.replace(chr(10), ' ')}"


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]


def _age(since: Timestamp, now: float) -> str:
    seconds = max(0.0, now - since.ToMicroseconds() / 1e6)
    for limit, size, unit in ((90.0, 1.0, "s"), (5400.0, 60.0, "min"), (129_600.0, 3600.0, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
