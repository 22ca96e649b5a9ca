"""Whether the proxies have what the route takes: each one's own word."""

from collections.abc import Iterator

from swarm_xds.explain.values import Facts, Step, Subject, Verdict, broken, note, ok
from swarm_xds.observe import Member, Standing, TypeState
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from swarm_xds.translate.names import backend_ca, certificate, client_ca

_PLURALS = {CLUSTER: "clusters", ENDPOINT: "endpoints", LISTENER: "listeners", ROUTE: "routes", SECRET: "secrets"}
#: Names of refused resources that are repeated.
_SHOWN = 5


def proxy_steps(facts: Facts, fleet: str, host: str, backends: tuple[str, ...], *, secure: bool = False) -> list[Step]:
    """Return what each proxy of a fleet says to what a route takes.

    Args:
        facts: What is known.
        fleet: Whose proxies.
        host: The virtual host; empty if there is none.
        backends: The clusters that the route names.
        secure: Whether the request comes over TLS.
    """
    secrets = tuple(map(backend_ca, backends)) + ((certificate(host), client_ca(host)) if secure else ())
    members = [each for each in facts.members if each.fleet == fleet]
    there = [each for each in members if each.standing is not Standing.GONE]
    steps: list[Step] = []
    running = sum(len(each.tasks) for each in facts.state.fleet_services if each.fleet == fleet)
    if not there and running:
        # With several control planes each knows its own streams only.
        text = f"none of the {running} proxies of fleet {fleet} that run is connected to this control plane"
        return [note(Subject.PROXY, text, cure="ask the other control planes, or see the logs of these proxies")]
    if not there:
        text = f"no proxy of fleet {fleet} is connected"
        cure = (
            "start one, see whether its bootstrap names this control plane and this fleet, or ask another control plane"
        )
        if members:
            gone = max(members, key=lambda member: member.since)
            text += f"; {gone.node} went {_ago(facts.now - gone.since)}"
        return [broken(Subject.PROXY, text, cure=cure)]
    current = [each.node for each in there if each.standing is Standing.CURRENT]
    if current:
        text = f"{len(current)} of {len(there)} proxies have accepted everything"
        steps.append(ok(Subject.PROXY, text))
    for member in there:
        if member.standing is not Standing.CURRENT:
            steps += _behind(facts, member, host, (*backends, *secrets))
    return steps


def _behind(facts: Facts, member: Member, host: str, names: tuple[str, ...]) -> Iterator[Step]:
    told = False
    for state in member.types:
        what = _PLURALS.get(state.type_url, state.type_url)
        if state.refusal is not None:
            told = True
            concerned = _concerns(state, host, names)
            refused = ", ".join(state.refusal.names[:_SHOWN]) + (", …" if len(state.refusal.names) > _SHOWN else "")
            yield Step(
                subject=Subject.PROXY,
                verdict=Verdict.BROKEN if concerned else Verdict.NOTE,
                text=f"{member.node} has refused {what} ({refused}) {_ago(facts.now - state.refusal.at)}: "
                f"{state.refusal.message}",
                cure="it keeps what it had; take back the last change of these, and report what it says",
            )
        elif state.standing is Standing.WAITING:
            told = True
            concerned = _concerns(state, host, names)
            yield Step(
                subject=Subject.PROXY,
                verdict=Verdict.BROKEN if concerned else Verdict.NOTE,
                text=f"{member.node} has not answered its newest {what} for {_time(facts.now - state.since)}",
                cure="wait a moment; if it stays, look at that proxy and its connection",
            )
    if not told:
        text = f"{member.node} has asked for nothing since {_ago(facts.now - member.since)}"
        yield broken(Subject.PROXY, text, cure="look at that proxy's log")


def _concerns(state: TypeState, host: str, names: tuple[str, ...]) -> bool:
    """Tell whether what a proxy lacks is in the request's way."""
    if state.type_url == SECRET and state.refusal is None:
        return False
    if state.type_url in {CLUSTER, ENDPOINT, SECRET}:
        return state.refusal is None or bool(set(state.refusal.names) & set(names))
    if state.type_url == ROUTE:
        return bool(host)
    return state.type_url == LISTENER


def _ago(seconds: float) -> str:
    return f"{_time(seconds)} ago"


def _time(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 90:  # noqa: PLR2004 - where minutes say more than seconds
        return f"{seconds:.0f} s"
    if seconds < 5400:  # noqa: PLR2004
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
