"""Takes the steps and tells of them; what fails is tried again later and holds up nothing else.

In: a ``Decision`` and the situation it was made in. Out: writes through ``RelayEngine``, and the log. It must not know
why a step is due.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from swarm_xds.networks.decision import Action, Decision, FleetChange, Step
from swarm_xds.networks.engine import OvertakenError, RelayEngine
from swarm_xds.networks.memory import NetworkTimings, Situation
from swarm_xds.networks.troubles import Troubles
from swarm_xds.networks.wanted import RelaySpec
from swarm_xds.sources.docker.api import EngineError, NotManagerError

_log = structlog.get_logger(__name__)
#: Subjects that are worked at side by side.
_HANDS = 4


class Applier:
    """Takes steps, and remembers those that failed.

    Attributes:
        made: Names of relays that are there, or may be, without anybody having looked since.
        operations: How many steps of each action were taken, and how many failed.
    """

    def __init__(self, timings: NetworkTimings) -> None:
        self._troubles = Troubles(timings)
        self._stuck: frozenset[tuple[str, str]] = frozenset()
        self.made: frozenset[str] = frozenset()
        self.operations: Counter[tuple[Action, bool]] = Counter()

    @property
    def next_at(self) -> float | None:
        """When something that failed is to be tried again."""
        return self._troubles.next_at

    async def apply(
        self, engine: RelayEngine, situation: Situation, decision: Decision, due: Callable[[Step], bool]
    ) -> bool:
        """Take the steps that are still ``due`` at their turn; return whether there may be something new to see.

        Those of one subject are taken one after the other, those of different subjects side by side.

        Raises:
            EngineError: The engine does not answer, or it is no manager; a step that it refuses is not an error.
        """
        self._troubles.keep({step.subject for step in decision.steps})
        self._tell_of_stuck(decision)
        config_ids = {config.name: config.id for config in situation.observed.configs}
        by_subject: dict[str, list[Step]] = {}
        for step in decision.steps:
            by_subject.setdefault(step.subject, []).append(step)
        hands = asyncio.Semaphore(_HANDS)

        async def work(steps: list[Step]) -> bool:
            async with hands:
                return await self._apply(engine, situation, steps, config_ids, due)

        # Not a TaskGroup: in Python 3.11 it loses a cancellation that comes together with a child's error.
        results = await asyncio.gather(*(work(steps) for steps in by_subject.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _apply(
        self,
        engine: RelayEngine,
        situation: Situation,
        steps: list[Step],
        config_ids: dict[str, str],
        due: Callable[[Step], bool],
    ) -> bool:
        """Take the steps of one subject; what fails is tried again after a while."""
        acted = looked = False
        for step in steps:
            if not due(step):
                return True
            if self._troubles.resting(step.subject, _now()):
                break
            try:
                if step.stack and not looked and step.action in _INTO_STACKS:
                    await _look_once_more(step.stack, engine, situation)
                    looked = True
                done = await _take(step, engine, config_ids)
            except OvertakenError as error:
                self._troubles.failed(step.subject, _now(), tell=False)
                _log.debug("network.overtaken", **_about(step), reason=str(error))
                break
            except EngineError as error:
                if not error.status or isinstance(error, NotManagerError):
                    self._note(step)  # it may have been done all the same
                    raise
                self._failed(step, error)
                break
            acted = True
            self._note(step)
            self._troubles.over(step.subject)
            if done:
                self.operations[step.action, True] += 1
                _tell(step)
        return acted

    def _tell_of_stuck(self, decision: Decision) -> None:
        """Log each step that waits for something which may never come, once."""
        stuck = {(each.step.subject, each.reason): each.step for each in decision.later if each.stuck}
        for (_, reason), step in stuck.items():
            if (step.subject, reason) not in self._stuck:
                _log.warning("network.stuck", **_about(step), action=str(step.action), reason=reason)
        self._stuck = frozenset(stuck)

    def _note(self, step: Step) -> None:
        if step.action is Action.CREATE_RELAY:
            self.made |= {step.name}

    def _failed(self, step: Step, error: EngineError) -> None:
        self.operations[step.action, False] += 1
        first, attempt = self._troubles.failed(step.subject, _now())
        log = _log.warning if first else _log.debug
        log("network.failed", **_about(step), action=str(step.action), error=error.reason, attempt=attempt)


async def _look_once_more(stack: str, engine: RelayEngine, situation: Situation) -> None:
    """Make sure that nobody has begun to remove the stack, of which the source may be about to tell.

    Raises:
        OvertakenError: A service that the source has read is gone.
    """
    if gone := situation.members.get(stack, frozenset()) - await engine.members(stack):
        raise OvertakenError(f"{len(gone)} services of stack {stack} are gone")


async def _take(step: Step, engine: RelayEngine, config_ids: dict[str, str]) -> bool:
    """Take a step; return whether it was us who did it."""
    match step.action:
        case Action.CREATE_CONFIG:
            spec = _spec(step)
            config_ids[spec.config_name] = await engine.create_config(spec)
        case Action.CREATE_PAUSE:
            await engine.create_pause(_spec(step), step.name)
        case Action.CREATE_RELAY:
            return await engine.create_service(_spec(step))
        case Action.UPDATE_RELAY:
            spec = _spec(step)
            await engine.update_service(spec, step.id, step.version, config_ids[spec.config_name])
        case Action.REMOVE_RELAY:
            return await engine.remove_service(step.id)
        case Action.REMOVE_CONFIG:
            return await engine.remove_config(step.id)
        case Action.UPDATE_FLEET | Action.FORGET_NETWORK:
            await engine.update_fleet(step.id, step.version, _change(step))
        case Action.REMOVE_NETWORK:
            return await engine.remove_network(step.id)
    return True


def _change(step: Step) -> FleetChange:
    assert step.change is not None, step  # noqa: S101 - a bug, not a condition
    return step.change


def _spec(step: Step) -> RelaySpec:
    assert step.spec is not None, step  # noqa: S101 - a bug, not a condition
    return step.spec


#: Those after which a relay holds on to something of its stack, or something of it may be left.
_INTO_STACKS = {Action.CREATE_CONFIG, Action.CREATE_PAUSE, Action.UPDATE_RELAY}
_EVENTS = {
    Action.CREATE_RELAY: "network.relay_created",
    Action.UPDATE_RELAY: "network.relay_updated",
    Action.REMOVE_RELAY: "network.relay_removed",
    Action.UPDATE_FLEET: "network.fleet_updated",
    Action.REMOVE_NETWORK: "network.removed",
}


def _tell(step: Step) -> None:
    if step.action in _EVENTS:
        _log.info(_EVENTS[step.action], **_about(step), reason=step.reason)
    else:
        _log.debug("network.written", action=str(step.action), **_about(step), reason=step.reason)


def _about(step: Step) -> dict[str, str]:
    return {"service": step.name, "network": step.network, "stack_name": step.stack, "fleet": step.fleet}


def _now() -> float:
    return asyncio.get_running_loop().time()
