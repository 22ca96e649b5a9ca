"""What is wanted and what is there at one time, and what was the case before. Pure.

In: a ``Situation``, the ``Memory`` of earlier ones, the time. Out: the next ``Memory``. It must not know what follows
from it, the engine or the clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm_xds.networks.observed import Config, Observed, Relay
from swarm_xds.networks.wanted import RelaySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTimings:
    """How long to wait, in seconds.

    Attributes:
        linger: Until something that nobody needs any more is removed; ``docker stack rm`` does it by itself, and fails
            for what it listed and does not find.
        recreate_after: From when a relay vanished until it is made again; ``docker stack rm`` may have begun with it.
        settle: From when a relay was begun until it gets its network. A ``docker stack rm`` that began before it, and so
            does not know of it, has removed a service of the stack by then.
        quiet: From when any service of the stack vanished until a relay is made there.
        update_again: From one change of a relay, whoever made it, until we change it: two control planes that want
            different things, as while one of them is replaced, must not take turns.
        resync: Between two looks at what is there, even if nothing told of a change.
        retry_first: Before the first new try after a failure; doubled each time.
        retry_cap: The longest such wait.
        call: Longest time that a call may take.
    """

    linger: float = 5.0
    recreate_after: float = 5.0
    settle: float = 0.3
    quiet: float = 2.0
    update_again: float = 10.0
    resync: float = 30.0
    retry_first: float = 0.1
    retry_cap: float = 15.0
    call: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is wanted and what is there, at one time.

    Attributes:
        wanted: All relays that should exist, sorted by name.
        observed: As the engine has just listed it.
        told: Names of relays that the source read last, or that were made since the last look.
        members: Ids of the services of each stack, as the source read them last.
        networks: Names of networks by id, for the log.
    """

    wanted: tuple[RelaySpec, ...] = ()
    observed: Observed = field(default_factory=Observed)
    told: frozenset[str] = frozenset()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    @property
    def unneeded(self) -> tuple[tuple[Relay, ...], tuple[Config, ...]]:
        """Relays that are not wanted, and configs that no relay has or is to have."""
        names = {name for spec in self.wanted for name in (spec.name, spec.config_name)}
        used = {config_id for relay in self.observed.relays for config_id in relay.config_ids}
        return (
            tuple(relay for relay in self.observed.relays if relay.name not in names),
            tuple(each for each in self.observed.configs if each.name not in names and each.id not in used),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A relay as it was at the last look, and since when; never before the first look."""

    id: str
    version: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was the case before, and since when.

    Attributes:
        relays: Those that were there, by name.
        vanished: When a relay that is wanted was first missed, by name.
        unneeded: When something was first found that nobody needs, by id.
        members: The services of each stack.
        disturbed: When a service of a stack was last missed, by stack.
    """

    relays: Mapping[str, Seen] = field(default_factory=dict)
    vanished: Mapping[str, float] = field(default_factory=dict)
    unneeded: Mapping[str, float] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    disturbed: Mapping[str, float] = field(default_factory=dict)


def remember(before: Memory | None, situation: Situation, now: float, timings: RelayTimings) -> Memory:
    """Return what to remember of a situation; ``before`` is None at the first."""
    first, before = before is None, before or Memory()
    wanted = {spec.name for spec in situation.wanted}
    present = {relay.name for relay in situation.observed.relays}
    vanished = dict.fromkeys(_missed(before, situation, first=first), now) | dict(before.vanished)
    left = {stack for stack, ids in before.members.items() if ids - situation.members.get(stack, frozenset())}
    disturbed = dict(before.disturbed) | dict.fromkeys(left, now)
    relays, configs = situation.unneeded
    unneeded = [relay.id for relay in relays] + [config.id for config in configs]
    return Memory(
        relays={relay.name: _seen(before, relay, now, first=first) for relay in situation.observed.relays},
        vanished={name: at for name, at in vanished.items() if name in wanted - present},
        unneeded={each: before.unneeded.get(each, now) for each in unneeded},
        members=situation.members,
        disturbed={stack: at for stack, at in disturbed.items() if now - at < timings.quiet},
    )


def _missed(before: Memory, situation: Situation, *, first: bool) -> set[str]:
    """Return the names of relays that were there and are not, but for those that nobody needed."""
    missed = {name for name, seen in before.relays.items() if seen.id not in before.unneeded}
    missed |= situation.told - before.relays.keys()
    if first:
        # Where only the config is left, the relay has just been removed, or its maker was stopped in between.
        places = {(config.fleet, config.network_id) for config in situation.observed.configs}
        missed |= {spec.name for spec in situation.wanted if (spec.fleet, spec.network_id) in places}
    return missed - {relay.name for relay in situation.observed.relays}


def _seen(before: Memory, relay: Relay, now: float, *, first: bool) -> Seen:
    known = before.relays.get(relay.name)
    if known and (known.id, known.version) == (relay.id, relay.version):
        return known
    # One that somebody else has made meanwhile may be updated at once, unless it has just been begun.
    whenever = first or (not known and relay.fingerprint)
    return Seen(id=relay.id, version=relay.version, since=float("-inf") if whenever else now)
