"""The network manager: keeps relays and fleets' attachments as the newest plan wants them.

In: after each build the plan and the state it was made from. Out: writes to the swarm, and a log of them. The shell
around ``memory`` and ``steps``: awaits, the clock and the log are here and in ``apply``. It must not know what a label
means or what a relay is configured to do.

It looks at what is there, takes the steps that this asks for, and looks again. It keeps no record of its own, so it may
be stopped at any time, and any number of them may run at once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from swarm_xds.networks.apply import Applier
from swarm_xds.networks.decision import Action, Decision, FleetChange, Step
from swarm_xds.networks.engine import OvertakenError, RelayEngine
from swarm_xds.networks.memory import Memory, NetworkTimings, Proxies, Situation, remember
from swarm_xds.networks.observed import Fleet, Observed
from swarm_xds.networks.steps import decide
from swarm_xds.networks.wanted import Attachment, NetworkPlan, RelaySpec
from swarm_xds.sources.docker.api import Engine, EngineError
from swarm_xds.sources.docker.endpoint import Endpoint
from swarm_xds.sources.docker.outage import Outage
from swarm_xds.swarm import SwarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What ``uninstall`` did: steps that were taken, and those that failed with the reason."""

    removed: tuple[Step, ...]
    failed: tuple[tuple[Step, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The part of a plan and a state that a step depends on, to see whether anything of it has changed."""

    relays: tuple[RelaySpec, ...]
    attachments: tuple[Attachment, ...]
    fleets: dict[str, Proxies]
    members: dict[str, frozenset[str]]
    told: tuple[object, ...]
    names: frozenset[str] = field(compare=False)
    networks: dict[str, str] = field(compare=False)

    @classmethod
    def of(cls, plan: NetworkPlan, state: SwarmState) -> "_Wanted":
        members: dict[str, set[str]] = {}
        for service in state.services:
            if service.stack:
                members.setdefault(service.stack, set()).add(service.id)
        return cls(
            relays=plan.relays,
            attachments=plan.attachments,
            fleets={
                each.id: Proxies(fleet=each.fleet, serving=sum(task.serving for task in each.tasks))
                for each in state.fleet_services
            },
            members={stack: frozenset(ids) for stack, ids in members.items()},
            told=tuple((relay.id, relay.labels, relay.network_ids) for relay in state.relays),
            names=frozenset(relay.name for relay in state.relays),
            networks={network.id: network.name for network in state.networks},
        )

    def with_observed(self, observed: Observed, made: frozenset[str] = frozenset()) -> Situation:
        return Situation(
            wanted=self.relays,
            attachments=self.attachments,
            fleets=self.fleets,
            observed=observed,
            told=self.names | made,
            members=self.members,
            networks=self.networks,
        )


class NetworkManager:
    """Keeps the relays of a swarm, through its managers' API.

    Args:
        endpoints: Managers, tried in turn; ``find_endpoints`` gives them.
        timings: How long to wait.
    """

    def __init__(self, endpoints: Sequence[Endpoint], timings: NetworkTimings | None = None) -> None:
        if not endpoints:
            raise ValueError("a network manager needs an endpoint")
        self._endpoints = tuple(endpoints)
        self._timings = timings or NetworkTimings()
        self._wanted: _Wanted | None = None
        self._changed = asyncio.Event()
        self._memory: Memory | None = None
        self._applier = Applier(self._timings)
        #: What the last look led to.
        self.latest: Decision | None = None

    @property
    def operations(self) -> Mapping[tuple[Action, bool], int]:
        """How many steps of each action were taken (True) and failed (False)."""
        return self._applier.operations

    def want(self, plan: NetworkPlan, state: SwarmState) -> None:
        """Take a new plan and the state that it was made from; the swarm follows in the background."""
        wanted = _Wanted.of(plan, state)
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def run(self) -> None:
        """Keep the relays, for ever. Nothing is written before the first plan."""
        await self._changed.wait()
        outage = Outage(self._endpoints, self._timings, away="network.failed", back="network.recovered")
        while True:
            try:
                engine = await Engine.connect(outage.endpoint, limit=self._timings.call)
                try:
                    await self._follow(RelayEngine(engine), outage)
                finally:
                    engine.close()
            except EngineError as error:
                outage.failed(error)
            await asyncio.sleep(outage.delay())

    async def preview(self, plan: NetworkPlan, state: SwarmState) -> Decision:
        """Return the steps that a manager would take if it started now; nothing is written.

        Raises:
            EngineError: No manager answers.
        """
        now = _now()
        async with self._any() as engine:
            situation = _Wanted.of(plan, state).with_observed(await engine.observe())
        return decide(situation, remember(None, situation, now, self._timings), now, self._timings)

    async def uninstall(self) -> Removal:
        """Remove all relays and their configs, at once, and detach fleets from what they were attached to.

        Control planes that still run would do it all again.

        Raises:
            EngineError: No manager answers, so that nothing was removed.
        """
        at_once = NetworkTimings(linger=0.0)
        removed, failed = [], []
        async with self._any() as engine:
            # Twice, since a config is not to be removed as long as a relay has it.
            for action, remove in (
                (Action.REMOVE_RELAY, engine.remove_service),
                (Action.REMOVE_CONFIG, engine.remove_config),
            ):
                situation = Situation(observed=await engine.observe())
                decision = decide(situation, remember(None, situation, 0.0, at_once), 0.0, at_once)
                for step in decision.steps:
                    if step.action is not action:
                        continue
                    try:
                        await remove(step.id)
                    except EngineError as error:
                        failed.append((step, error.reason))
                    else:
                        removed.append(step)
            for fleet in (await engine.observe()).fleets:
                if not fleet.attached:
                    continue
                step = _detach(fleet)
                try:
                    await engine.update_fleet(step.id, step.version, step.change or FleetChange())
                except (EngineError, OvertakenError) as error:
                    failed.append((step, str(error)))
                else:
                    removed.append(step)
        return Removal(removed=tuple(removed), failed=tuple(failed))

    async def _follow(self, engine: RelayEngine, outage: Outage) -> None:
        """Look, act and wait, until the engine fails."""
        known = False
        while True:
            self._changed.clear()
            wanted = self._wanted
            assert wanted is not None, "there is a plan"  # noqa: S101 - a bug, not a condition
            situation = wanted.with_observed(await engine.observe(), self._applier.made)
            self._applier.made = frozenset()
            if not known:
                known = True
                outage.over()
            now = _now()
            self._memory = remember(self._memory, situation, now, self._timings)
            decision = self.latest = decide(situation, self._memory, now, self._timings)
            acted = await self._applier.apply(engine, situation, decision, partial(self._still_due, wanted))
            if not acted:
                await self._rest(decision)

    def _still_due(self, wanted: _Wanted, step: Step) -> bool:
        """Whether nothing has changed since that could make a step wrong."""
        newest = self._wanted
        if newest is wanted or newest is None:
            return True
        if step.spec is None or step.spec not in newest.relays:
            return False
        return wanted.members.get(step.stack, frozenset()) <= newest.members.get(step.stack, frozenset())

    async def _rest(self, decision: Decision) -> None:
        """Wait until something changes or is due; changes seldom come alone, so one is given a moment for company."""
        times = (decision.next_at, self._applier.next_at, _now() + self._timings.resync)
        try:
            async with asyncio.timeout_at(min(at for at in times if at is not None)):
                await self._changed.wait()
                await asyncio.sleep(self._timings.gather)
        except TimeoutError:
            pass

    @asynccontextmanager
    async def _any(self) -> AsyncIterator[RelayEngine]:
        """Connect to the first manager that answers."""
        for last, endpoint in enumerate(self._endpoints, 1 - len(self._endpoints)):
            try:
                engine = await Engine.connect(endpoint, limit=self._timings.call)
                await RelayEngine(engine).observe()
            except EngineError:
                if not last:
                    raise
                continue
            try:
                yield RelayEngine(engine)
            finally:
                engine.close()
            return


def _detach(fleet: Fleet) -> Step:
    """Return what takes from a fleet's service all that we have attached it to, and every trace of it."""
    networks = tuple(sorted(fleet.attached))
    return Step(
        action=Action.UPDATE_FLEET,
        name=fleet.name,
        network=", ".join(fleet.attached[each] for each in networks),
        stack="",
        fleet="",
        reason="everything is to go",
        subject=fleet.name,
        change=FleetChange(detach=networks, forget=networks),
        id=fleet.id,
        version=fleet.version,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
