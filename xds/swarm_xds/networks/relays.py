"""The next writes of relays and their configs. Pure.

In: a ``Situation``, the ``Memory`` of earlier ones, the time. Out: steps, each with its time. It must not know the
engine or the clock, or whether an earlier step succeeded: it only looks at what is there now.

Most of it is about ``docker stack rm``. That command lists what carries the stack's label, then removes the services in
the order of their names, the secrets, the configs and the networks, within 20 ms to 2 s and without a second try. So a
relay must be neither made again nor removed by us while that may be under way. And it is made in two steps: first
begun, so that whoever lists the stack from then on lists it too, and then, if no service of the stack has vanished
meanwhile, given its network and its tasks.
"""

from collections.abc import Collection, Iterator

from swarm_xds.networks.decision import Action, Delayed, Step
from swarm_xds.networks.memory import Memory, NetworkTimings, Situation
from swarm_xds.networks.observed import Config, Relay
from swarm_xds.networks.specification import network_ids
from swarm_xds.networks.wanted import READER_MARK, RelaySpec


def for_wanted(situation: Situation, memory: Memory, timings: NetworkTimings) -> list[Delayed]:
    """Return what makes relays as they are wanted."""
    present = {relay.name: relay for relay in situation.observed.relays}
    configs = {config.name for config in situation.observed.configs}
    found: list[Delayed] = []
    for spec in situation.wanted:
        relay = present.get(spec.name)
        reason = _why(spec, relay)
        if not reason:
            found += _pauses(spec, configs, memory, timings)
            continue
        at, waiting = _when(spec, relay, memory, timings)
        if relay is not None and spec.config_name not in configs:
            step = _step(Action.CREATE_CONFIG, spec, "the relay is to be updated", name=spec.config_name)
            found.append(Delayed(step=step, at=at, reason=waiting))
        action = Action.CREATE_RELAY if relay is None else Action.UPDATE_RELAY
        found.append(Delayed(step=_step(action, spec, reason, relay), at=at, reason=waiting))
    return found


def _why(spec: RelaySpec, relay: Relay | None) -> str:
    """Return why a relay is to be written; empty if it is as it should be."""
    if relay is None:
        if spec.reads:
            return f"secrets that labels name have no reader of fleet {spec.fleet}"
        return f"network {spec.network_name} has no relay of fleet {spec.fleet}"
    if not relay.fingerprint:
        return "it is begun, and nobody is removing its stack"
    if relay.fingerprint != spec.fingerprint:
        return "it is not made as it is wanted now"
    if relay.network_ids != network_ids(spec):
        return "it does not stand on the networks that it is for"
    return ""


def _when(spec: RelaySpec, relay: Relay | None, memory: Memory, timings: NetworkTimings) -> tuple[float, str]:
    """Return the earliest time, and what is waited for."""
    waits = _doubts(spec, memory, timings)
    if relay is not None and relay.fingerprint:
        again = timings.read_again if spec.reads else timings.update_again
        waits.append((memory.relays[relay.name].since + again, "it was changed a moment ago"))
    elif relay is not None:
        reason = "somebody who does not know of it yet may be removing the stack"
        waits.append((memory.relays[relay.name].since + timings.settle, reason))
    return max(waits)


def _doubts(spec: RelaySpec, memory: Memory, timings: NetworkTimings) -> list[tuple[float, str]]:
    """Return until when somebody may be removing the stack, and why."""
    waits = [(float("-inf"), "")]
    if spec.name in memory.vanished:
        reason = "it has vanished: somebody may be removing the stack"
        waits.append((memory.vanished[spec.name] + timings.recreate_after, reason))
    if spec.stack in memory.disturbed:
        reason = f"a service of stack {spec.stack} has vanished: somebody may be removing the stack"
        waits.append((memory.disturbed[spec.stack] + timings.quiet, reason))
    return waits


def _pauses(spec: RelaySpec, configs: Collection[str], memory: Memory, timings: NetworkTimings) -> Iterator[Delayed]:
    """Yield what makes the pauses of a relay that is as it should be: they hold up nothing, and nothing needs them."""
    at, waiting = max(_doubts(spec, memory, timings))
    for name in spec.pause_names:
        if name not in configs:
            step = _step(Action.CREATE_PAUSE, spec, "the removal of its stack is to take a moment", name=name)
            yield Delayed(step=step, at=at, reason=waiting)


def for_unneeded(situation: Situation, memory: Memory, timings: NetworkTimings) -> list[Delayed]:
    """Return what removes relays and configs that nobody needs."""
    relays, configs = situation.unneeded
    steps = [_removal(Action.REMOVE_RELAY, relay, _why_not(relay), situation) for relay in relays]
    steps += [_removal(Action.REMOVE_CONFIG, config, "no relay needs it", situation) for config in configs]
    return [
        Delayed(
            step=step,
            at=memory.unneeded[step.id] + timings.linger,
            reason="somebody may be removing the stack, or need it again",
        )
        for step in steps
    ]


def _why_not(relay: Relay) -> str:
    if relay.network_id.startswith(READER_MARK):
        return "no label names its secrets any more"
    return "nothing is routed to its network any more"


def _step(action: Action, spec: RelaySpec, reason: str, relay: Relay | None = None, name: str = "") -> Step:
    return Step(
        action=action,
        name=name or spec.name,
        network=spec.network_name,
        stack=spec.stack,
        fleet=spec.fleet,
        reason=reason,
        subject=spec.name,
        spec=spec,
        id=relay.id if relay else "",
        version=relay.version if relay else 0,
    )


def _removal(action: Action, what: Relay | Config, reason: str, situation: Situation) -> Step:
    return Step(
        action=action,
        name=what.name,
        network=situation.networks.get(what.network_id, what.network_id),
        stack=what.stack,
        fleet=what.fleet,
        reason=reason,
        subject=what.name,
        id=what.id,
    )
