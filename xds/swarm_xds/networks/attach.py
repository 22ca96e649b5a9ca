"""The next writes of fleets' own services, and of networks that a failed ``docker stack rm`` has left. Pure.

In: a ``Situation``, the ``Memory`` of earlier ones, the time. Out: steps, each with its time. It must not know the
engine or the clock, or whether an earlier step succeeded: it only looks at what is there now.

A fleet's service carries a label for each network that we have attached it to. The label stays when the service is
detached, and says that the network's stack may be waiting for somebody to remove the network: ``docker stack rm`` has
failed on it, since the fleet was there. When that is done, or is nobody's business, the label goes too.
"""

from swarm_xds.networks.decision import Action, Delayed, FleetChange, Step
from swarm_xds.networks.memory import Memory, NetworkTimings, Situation, difference
from swarm_xds.networks.observed import FAILED, UNDER_WAY, Fleet


def for_fleets(situation: Situation, memory: Memory, now: float, timings: NetworkTimings) -> list[Delayed]:
    """Return what attaches fleets to networks and detaches them: all that is due about one in one update."""
    found = []
    for fleet in situation.observed.fleets:
        change = _change(fleet, situation, timings)
        if change.attach or change.detach:
            step = _step(Action.UPDATE_FLEET, fleet, change, situation)
            at, reason, stuck = _when(fleet, change, memory, now, timings)
            found.append(Delayed(step=step, at=at, reason=reason, stuck=stuck))
        elif change.forget:
            step = _step(Action.FORGET_NETWORK, fleet, change, situation)
            found.append(Delayed(step=step, at=float("-inf"), reason=""))
    return found


def for_left_networks(situation: Situation, memory: Memory, timings: NetworkTimings) -> list[Delayed]:
    """Return what finishes a ``docker stack rm`` that failed because a fleet stood on the stack's network."""
    wanted = {each.network_id for each in situation.attachments}
    wanted |= {network for fleet in situation.observed.fleets for network in fleet.network_ids}
    return [
        Delayed(
            step=Step(
                action=Action.REMOVE_NETWORK,
                name=each.name,
                network=each.name,
                stack=each.stack,
                fleet="",
                reason=f"nothing is left of stack {each.stack}, whose removal failed while a fleet stood on it",
                subject=each.name,
                id=each.id,
            ),
            at=memory.lifeless[each.id] + timings.finish,
            reason="somebody may be deploying the stack again",
        )
        for each in situation.observed.left
        if each.lifeless and each.id not in wanted
    ]


def _change(fleet: Fleet, situation: Situation, timings: NetworkTimings) -> FleetChange:
    attach, detach = difference(situation, fleet)
    settled = frozenset(each.id for each in situation.observed.left if each.settled)
    forget = tuple(sorted((settled & fleet.detached) - attach))
    if not attach and not detach:
        return FleetChange(forget=forget)
    names = {each.network_id: each.network_name for each in situation.attachments}
    order, parallelism = _pace(fleet, situation.fleets[fleet.id].serving, timings)
    return FleetChange(
        attach=tuple((each, names[each]) for each in sorted(attach)),
        detach=tuple(sorted(detach)),
        forget=forget,
        order=order,
        parallelism=parallelism,
    )


def _when(
    fleet: Fleet, change: FleetChange, memory: Memory, now: float, timings: NetworkTimings
) -> tuple[float, str, bool]:
    """Return the earliest time of an update, what is waited for, and whether it may never come by itself."""
    pending, look = memory.pending[fleet.id], now + timings.attach_look
    at = min(pending.last + timings.attach_quiet, pending.first + timings.attach_wait)
    if change.parallelism < 1:
        reason = f"at least {timings.min_serving} proxies must serve at any time, and no more than that do: run more"
        return max(at, look), f"{reason} of them, or lower direct_min_serving", True
    if fleet.update in UNDER_WAY:
        return max(at, look), "the service is being updated", False
    again = memory.fleets[fleet.id].since + timings.attach_again
    if fleet.update in FAILED and again > now:
        return max(at, again), f"the last update of the service has failed ({fleet.update}): {fleet.message}", True
    return at, "more may be to change, and one update is enough for all", False


def _pace(fleet: Fleet, serving: int, timings: NetworkTimings) -> tuple[str, int]:
    """Return in which order and how many at a time a fleet's tasks are replaced; 0 if none may be.

    Its owner's choice holds as far as enough proxies go on serving. A port of the node can be held by one task only.
    """
    if not fleet.host_ports:
        return "start-first", fleet.parallelism or max(1, serving - timings.min_serving)
    most = serving - timings.min_serving
    return "stop-first", max(0, min(fleet.parallelism or most, most))


def _step(action: Action, fleet: Fleet, change: FleetChange, situation: Situation) -> Step:
    attached = dict(change.attach)
    reasons = sorted({each.reason for each in situation.attachments if each.network_id in attached})
    if change.detach:
        reasons.append("nothing is routed directly any more to what it is detached from")
    if not reasons:
        reasons.append("nothing is left to be done about it")
    names = [*attached.values(), *(fleet.attached[each] for each in (*change.detach, *change.forget))]
    return Step(
        action=action,
        name=fleet.name,
        network=", ".join(names),
        stack="",
        fleet=situation.fleets[fleet.id].fleet if fleet.id in situation.fleets else "",
        reason="; ".join(reasons),
        subject=fleet.name,
        change=change,
        id=fleet.id,
        version=fleet.version,
    )
