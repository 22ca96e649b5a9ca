"""What is wanted and what is there at one time, and what was the case before. Pure.

In: a ``Situation``, the ``Memory`` of earlier ones, the time. Out: the next ``Memory``. It must not know what follows
from it, the engine or the clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm_xds.networks.observed import Config, Fleet, Observed, Relay
from swarm_xds.networks.wanted import Attachment, RelaySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTimings:
    """How long to wait, in seconds.

    Attributes:
        linger: Until something that nobody needs any more is removed; ``docker stack rm`` does it by itself, and fails
            for what it listed and does not find.
        recreate_after: From when a relay vanished until it is made again; ``docker stack rm`` may have begun with it.
        settle: From when a relay was begun until it gets its network. A ``docker stack rm`` that began before it, and
            so does not know of it, has removed a service of the stack by then.
        quiet: From when any service of the stack vanished until a relay is made there.
        update_again: From one change of a relay, whoever made it, until we change it: two control planes that want
            different things, as while one of them is replaced, must not take turns.
        read_again: The same for a reader of secrets, through which no request goes: a new secret is not to wait.
        gather: From a change until a look at what is there, in which other changes come along.
        resync: Between two looks at what is there, even if nothing told of a change.
        retry_first: Before the first new try after a failure; doubled each time.
        retry_cap: The longest such wait.
        attach_quiet: Without a further change until a fleet is attached to networks or detached.
        attach_wait: The same from the first change on, whatever else changes.
        attach_look: Between two looks at a fleet that has to be changed and cannot be yet.
        attach_again: After an update of a fleet has failed, until it is tried again.
        finish: From when a network is all that is left of its stack until it is removed.
        min_serving: No time: how many proxies of a fleet go on serving while it is attached or detached.
        call: Longest time that a call may take.
    """

    linger: float = 5.0
    recreate_after: float = 5.0
    settle: float = 0.5
    quiet: float = 2.0
    update_again: float = 10.0
    read_again: float = 1.0
    gather: float = 0.05
    resync: float = 30.0
    retry_first: float = 0.1
    retry_cap: float = 15.0
    attach_quiet: float = 2.0
    attach_wait: float = 15.0
    attach_look: float = 1.0
    attach_again: float = 60.0
    finish: float = 3.0
    min_serving: int = 1
    call: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """A fleet's service as the source read it last: which fleet it is, and how many of its tasks serve."""

    fleet: str
    serving: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is wanted and what is there, at one time.

    Attributes:
        wanted: All relays that should exist, sorted by name.
        attachments: All networks that fleets should be attached to.
        fleets: Services of proxies, by id.
        observed: As the engine has just listed it.
        told: Names of relays that the source read last, or that were made since the last look.
        members: Ids of the services of each stack, as the source read them last.
        networks: Names of networks by id, for the log.
    """

    wanted: tuple[RelaySpec, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    fleets: Mapping[str, Proxies] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)
    told: frozenset[str] = frozenset()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    @property
    def unneeded(self) -> tuple[tuple[Relay, ...], tuple[Config, ...]]:
        """Relays that are not wanted, and configs that no relay has or is to have."""
        names = {name for spec in self.wanted for name in (spec.name, spec.config_name, *spec.pause_names)}
        used = {config_id for relay in self.observed.relays for config_id in relay.config_ids}
        return (
            tuple(relay for relay in self.observed.relays if relay.name not in names),
            tuple(each for each in self.observed.configs if each.name not in names and each.id not in used),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A service as it was at the last look, and since when; minus infinity if before the first."""

    id: str
    version: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What is to be changed about a fleet, since when, and since when it is just that."""

    what: tuple[frozenset[str], frozenset[str]]
    first: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was the case before, and since when.

    Attributes:
        relays: Those that were there, by name.
        vanished: When a relay that is wanted was first missed, by name.
        unneeded: When something was first found that nobody needs, by id; a config also when another one of its stack
            went last, which ``docker stack rm`` may be going through.
        configs: The stack of each config that was there, by id.
        members: The services of each stack.
        disturbed: When a service of a stack was last missed, by stack.
        fleets: Services of proxies that were there, by id.
        pending: What is to be changed about them, by id.
        lifeless: When a network was first found to be all that is left of its stack, by id.
    """

    relays: Mapping[str, Seen] = field(default_factory=dict)
    vanished: Mapping[str, float] = field(default_factory=dict)
    unneeded: Mapping[str, float] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    disturbed: Mapping[str, float] = field(default_factory=dict)
    fleets: Mapping[str, Seen] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    lifeless: Mapping[str, float] = field(default_factory=dict)


def difference(situation: Situation, fleet: Fleet) -> tuple[frozenset[str], frozenset[str]]:
    """Return the ids of networks that a fleet's service is to be attached to, and detached from."""
    known = situation.fleets.get(fleet.id)
    if known is None:
        return frozenset(), frozenset()
    wanted = frozenset(each.network_id for each in situation.attachments if each.fleet == known.fleet)
    there = frozenset(fleet.network_ids)
    return wanted - there, (there & fleet.attached.keys()) - wanted


def remember(before: Memory | None, situation: Situation, now: float, timings: NetworkTimings) -> Memory:
    """Return what to remember of a situation; ``before`` is None at the first."""
    first, before = before is None, before or Memory()
    wanted = {spec.name for spec in situation.wanted}
    present = {relay.name for relay in situation.observed.relays}
    vanished = dict.fromkeys(_missed(before, situation, first=first), now) | dict(before.vanished)
    left = {stack for stack, ids in before.members.items() if ids - situation.members.get(stack, frozenset())}
    disturbed = dict(before.disturbed) | dict.fromkeys(left, now)
    relays, configs = situation.unneeded
    there = {each.id: each.stack for each in situation.observed.configs}
    losing = {stack for each, stack in before.configs.items() if each not in there}
    unneeded = {relay.id: before.unneeded.get(relay.id, now) for relay in relays}
    unneeded |= {each.id: now if each.stack in losing else before.unneeded.get(each.id, now) for each in configs}
    return Memory(
        relays={relay.name: _seen_relay(before, relay, now, first=first) for relay in situation.observed.relays},
        vanished={name: at for name, at in vanished.items() if name in wanted - present},
        unneeded=unneeded,
        configs=there,
        members=situation.members,
        disturbed={stack: at for stack, at in disturbed.items() if now - at < timings.quiet},
        fleets={
            each.id: _seen(before.fleets.get(each.id), each, now, first=first) for each in situation.observed.fleets
        },
        pending=_pending(before, situation, now),
        lifeless={each.id: before.lifeless.get(each.id, now) for each in situation.observed.left if each.lifeless},
    )


def _pending(before: Memory, situation: Situation, now: float) -> dict[str, Pending]:
    found = {}
    for fleet in situation.observed.fleets:
        what, known = difference(situation, fleet), before.pending.get(fleet.id)
        if any(what):
            last = known.last if known and known.what == what else now
            found[fleet.id] = Pending(what=what, first=known.first if known else now, last=last)
    return found


def _missed(before: Memory, situation: Situation, *, first: bool) -> set[str]:
    """Return the names of relays that were there and are not, but for those that nobody needed."""
    missed = {name for name, seen in before.relays.items() if seen.id not in before.unneeded}
    missed |= situation.told - before.relays.keys()
    if first:
        # Where only the config is left, the relay has just been removed, or its maker was stopped in between.
        places = {(config.fleet, config.network_id) for config in situation.observed.configs}
        missed |= {spec.name for spec in situation.wanted if (spec.fleet, spec.mark) in places}
    return missed - {relay.name for relay in situation.observed.relays}


def _seen_relay(before: Memory, relay: Relay, now: float, *, first: bool) -> Seen:
    known = before.relays.get(relay.name)
    # One that somebody else has made meanwhile may be updated at once, unless it has just been begun.
    whenever = first or (known is None and bool(relay.fingerprint))
    return _seen(known, relay, now, first=whenever)


def _seen(known: Seen | None, service: Relay | Fleet, now: float, *, first: bool) -> Seen:
    if known and (known.id, known.version) == (service.id, service.version):
        return known
    return Seen(id=service.id, version=service.version, since=float("-inf") if first else now)
