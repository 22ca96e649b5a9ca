"""Which writes are due when: tables of situations, one after the other, with the time given."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from swarm_xds.networks.decision import Decision
from swarm_xds.networks.memory import Memory, NetworkTimings, Situation, remember
from swarm_xds.networks.observed import Config, Observed, Relay
from swarm_xds.networks.steps import decide
from swarm_xds.networks.wanted import RelaySpec

from .conftest import NEWER, SPEC, config_of, relay_of

TIMINGS = NetworkTimings()
RELAY, CONFIG = relay_of(SPEC), config_of(SPEC)
OTHER = replace(SPEC, network_id="n2", network_name="shop_back")
MEMBERS = {"shop": frozenset({"web", "api"})}


def at(
    wanted: Sequence[RelaySpec] = (SPEC,),
    relays: Sequence[Relay] = (),
    configs: Sequence[Config] = (),
    members: dict[str, frozenset[str]] = MEMBERS,
    **more: Any,
) -> Situation:
    """Return a situation."""
    observed = Observed(relays=tuple(relays), configs=tuple(configs))
    return Situation(wanted=tuple(wanted), observed=observed, members=members, **more)


THERE = at(relays=[RELAY], configs=[CONFIG])
ABSENT = at()
UNWANTED = at([], [RELAY], [CONFIG])


def follow(*story: tuple[float, Situation]) -> Decision:
    """Return the decision at the end of a story."""
    memory: Memory | None = None
    for now, situation in story:
        memory = remember(memory, situation, now, TIMINGS)
        decision = decide(situation, memory, now, TIMINGS)
    return decision


def told(decision: Decision) -> tuple[list[str], list[tuple[str, float]]]:
    """Return what is done now, and what later and when."""
    return [str(step.action) for step in decision.steps], [(str(d.step.action), d.at) for d in decision.later]


READER = replace(SPEC, network_id="")
OTHERS = replace(READER, stack="blog")
MAKE = ["create relay"]
ATTACH = ["create config", "update relay"]
BEGUN = relay_of(SPEC, fingerprint="", network_ids=("n9",), config_ids=())


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param([(0, ABSENT)], MAKE, [], id="never seen: at once"),
        pytest.param([(0, THERE)], [], [], id="as it should be"),
        pytest.param([(0, at([]))], [], [], id="nothing wanted, nothing there"),
        pytest.param(
            [(0, THERE), (1, ABSENT)], [], [(action, 6.0) for action in MAKE], id="vanished: not before it is sure"
        ),
        pytest.param([(0, THERE), (1, ABSENT), (5.9, ABSENT)], [], [(a, 6.0) for a in MAKE], id="vanished: still not"),
        pytest.param([(0, THERE), (1, ABSENT), (6, ABSENT)], MAKE, [], id="vanished: after a while"),
        pytest.param(
            [(0, THERE), (1, ABSENT), (6, ABSENT), (6.1, THERE), (9, ABSENT)],
            [],
            [(action, 14.0) for action in MAKE],
            id="vanished again: anew",
        ),
        pytest.param(
            [(0, at(configs=[CONFIG]))], [], [("create relay", 5.0)], id="only its config is left when we begin"
        ),
        pytest.param(
            [(0, ABSENT), (1, at(relays=[BEGUN]))],
            [],
            [(a, 1 + TIMINGS.settle) for a in ATTACH],
            id="begun: not at once",
        ),
        pytest.param(
            [(0, ABSENT), (1, at(relays=[BEGUN])), (1.5, at(relays=[BEGUN]))], ATTACH, [], id="begun: after a moment"
        ),
        pytest.param([(0, at(relays=[BEGUN]))], ATTACH, [], id="begun before our time"),
        pytest.param(
            [(0, ABSENT), (1, at(relays=[BEGUN])), (1.1, at(relays=[BEGUN], members={"shop": frozenset({"web"})}))],
            [],
            [(a, 3.1) for a in ATTACH],
            id="begun, and a service of the stack has vanished",
        ),
        pytest.param(
            [(0, ABSENT), (1, at(relays=[BEGUN])), (1.5, at(relays=[BEGUN], configs=[CONFIG]))],
            ["update relay"],
            [],
            id="we were stopped in between",
        ),
        pytest.param(
            [(0, ABSENT), (1, at(told=frozenset({SPEC.name})))],
            [],
            [(action, 6.0) for action in MAKE],
            id="made and vanished between two looks, the source saw it",
        ),
        pytest.param(
            [(0, THERE), (1, ABSENT), (2, at([])), (3, ABSENT)], MAKE, [], id="vanished, unwanted, wanted again"
        ),
        pytest.param(
            [(0, THERE), (1, UNWANTED), (6, UNWANTED), (6.1, at([])), (6.2, ABSENT)],
            MAKE,
            [],
            id="removed by us, wanted again: at once",
        ),
        pytest.param(
            [(0, at([OTHER])), (1, at([OTHER], members={"shop": frozenset({"web"})}))],
            [],
            [(action, 3.0) for action in MAKE],
            id="a service of the stack has vanished",
        ),
        pytest.param(
            [(0, ABSENT), (1, at(members={"shop": frozenset({"web"})})), (3, at(members={"shop": frozenset({"web"})}))],
            MAKE,
            [],
            id="a service of the stack vanished a while ago",
        ),
        pytest.param(
            [(0, at(members=MEMBERS | {"pay": frozenset({"x"})})), (1, ABSENT)], MAKE, [], id="one of another stack"
        ),
        pytest.param(
            [(0, ABSENT), (1, at(members={"shop": frozenset({"web", "api", "new"})}))],
            MAKE,
            [],
            id="a new service of the stack",
        ),
    ],
)
def test_creation(story: list[tuple[float, Situation]], now: list[str], later: list[tuple[str, float]]) -> None:
    """A relay is made at once, unless somebody may be removing the stack."""
    assert told(follow(*story)) == (now, later)


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param(
            [(0, THERE), (1, UNWANTED)], [], [("remove relay", 6.0), ("remove config", 6.0)][:1], id="not at once"
        ),
        pytest.param([(0, THERE), (1, UNWANTED), (6, UNWANTED)], ["remove relay"], [], id="after a while"),
        pytest.param([(0, UNWANTED)], [], [("remove relay", 5.0)], id="left by somebody: the same"),
        pytest.param(
            [(0, UNWANTED), (3, THERE), (4, UNWANTED)], [], [("remove relay", 9.0)], id="wanted again in between"
        ),
        pytest.param([(0, UNWANTED), (3, at([], [], [CONFIG]))], [], [("remove config", 8.0)], id="then its config"),
        pytest.param(
            [(0, UNWANTED), (3, at([], [], [CONFIG])), (8, at([], [], [CONFIG]))],
            ["remove config"],
            [],
            id="in the end",
        ),
        pytest.param([(0, UNWANTED), (3, at([]))], [], [], id="removed with its stack"),
    ],
)
def test_removal(story: list[tuple[float, Situation]], now: list[str], later: list[tuple[str, float]]) -> None:
    """What nobody needs stays for a while, since the removal of the stack fails for what it does not find."""
    assert told(follow(*story)) == (now, later)


OLD = relay_of(SPEC)
NEW = relay_of(NEWER, version=8)
BOTH = [CONFIG, config_of(NEWER)]


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param([(0, at([NEWER], [OLD], [CONFIG]))], ["create config", "update relay"], [], id="config first"),
        pytest.param([(0, at([NEWER], [OLD], BOTH))], ["update relay"], [], id="stopped after the config"),
        pytest.param([(0, at([NEWER], [NEW], BOTH))], [], [("remove config", 5.0)], id="the old config last"),
        pytest.param(
            [(0, at([NEWER], [replace(NEW, config_ids=(CONFIG.id, BOTH[1].id))], BOTH))],
            [],
            [],
            id="not while old tasks run",
        ),
        pytest.param(
            [(0, at(relays=[replace(RELAY, network_ids=("n9",))], configs=[CONFIG]))],
            ["update relay"],
            [],
            id="a network was taken from it",
        ),
        pytest.param(
            [(0, THERE), (1, at(relays=[NEW], configs=BOTH))],
            [],
            [("update relay", 11.0), ("remove config", 6.0)][:1],
            id="somebody has just made it otherwise",
        ),
        pytest.param(
            [(0, THERE), (1, at(relays=[NEW], configs=BOTH)), (11, at(relays=[NEW], configs=BOTH))],
            ["update relay"],
            [],
            id="somebody made it otherwise a while ago",
        ),
    ],
)
def test_update(story: list[tuple[float, Situation]], now: list[str], later: list[tuple[str, float]]) -> None:
    """Make before break, and no quarrel with another control plane."""
    assert told(follow(*story)) == (now, later)


PAUSED = replace(SPEC, pauses=2)
#: Two pauses, and one more than are wanted.
PAUSES = [
    replace(CONFIG, id=f"p{number}", name=name) for number, name in enumerate(replace(SPEC, pauses=3).pause_names)
]
STANDING = [CONFIG, *PAUSES[:2]]
PAUSE = "create pause"


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param([(0, at([PAUSED], [BEGUN]))], ATTACH, [], id="not before the relay is as it should be"),
        pytest.param([(0, at([PAUSED], [RELAY], [CONFIG]))], [PAUSE, PAUSE], [], id="then at once"),
        pytest.param([(0, at([PAUSED], [RELAY], STANDING[:2]))], [PAUSE], [], id="one is missing"),
        pytest.param([(0, at([PAUSED], [RELAY], STANDING))], [], [], id="as it should be"),
        pytest.param(
            [(0, at([PAUSED], [RELAY], [CONFIG])), (1, at([PAUSED], [RELAY], [CONFIG], {"shop": frozenset({"web"})}))],
            [],
            [(PAUSE, 3.0), (PAUSE, 3.0)],
            id="not while somebody may be removing the stack",
        ),
        pytest.param(
            [(0, at([PAUSED], [RELAY], STANDING)), (1, at([PAUSED]))],
            [],
            [("create relay", 6.0)],
            id="nor without the relay",
        ),
        pytest.param(
            [(0, at([PAUSED], [RELAY], [CONFIG, *PAUSES]))], [], [("remove config", 5.0)], id="more than are wanted"
        ),
        pytest.param(
            [(0, at([], [RELAY], STANDING))],
            [],
            [("remove relay", 5.0), ("remove config", 5.0), ("remove config", 5.0)],
            id="nobody needs the relay any more",
        ),
        pytest.param([(0, at([], [], STANDING[1:]))], [], [("remove config", 5.0)] * 2, id="made too late"),
        pytest.param(
            [(0, at([], [], STANDING)), (4, at([], [], STANDING[1:])), (5, at([], [], STANDING[1:]))],
            [],
            [("remove config", 9.0)] * 2,
            id="somebody is going through them",
        ),
    ],
)
def test_pauses(story: list[tuple[float, Situation]], now: list[str], later: list[tuple[str, float]]) -> None:
    """Configs that only take ``docker stack rm`` a moment come last, and go as a relay's own does."""
    assert told(follow(*story)) == (now, later)


def test_order() -> None:
    """Relays are made in the order of the plan; then things are removed."""
    left = relay_of(replace(SPEC, network_id="n3"), id="r3")
    memory = remember(None, at([SPEC, OTHER], [left], [CONFIG]), 0, TIMINGS)
    situation = at([SPEC, OTHER], [left], [config_of(left_spec := replace(SPEC, network_id="n3", configuration="x"))])
    assert left_spec.config_name not in {SPEC.config_name, OTHER.config_name}
    memory = remember(memory, situation, 0, TIMINGS)
    decision = decide(situation, memory, 5, TIMINGS)
    assert [(str(step.action), step.name) for step in decision.steps] == [
        ("create relay", SPEC.name),
        ("create relay", OTHER.name),
        ("remove relay", left.name),
        ("remove config", left_spec.config_name),
    ]


def test_reasons_and_deadline() -> None:
    """Each step says why, for whom, and what it waits for."""
    names = {"n1": "shop_front"}
    decision = follow((0, THERE), (1, at(networks=names)))
    (create,) = decision.later
    assert decision.next_at == 6.0
    assert (create.step.network, create.step.stack, create.step.fleet) == ("shop_front", "shop", "edge")
    assert create.reason == "it has vanished: somebody may be removing the stack"
    (remove,) = follow((0, at([], [RELAY], [CONFIG], networks=names))).later
    assert (remove.step.network, remove.step.reason) == ("shop_front", "nothing is routed to its network any more")
    assert follow((0, THERE)).next_at is None


def read_config(spec: RelaySpec) -> Config:
    """Return a reader's config as it is read."""
    return replace(config_of(spec), network_id=spec.mark)


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param([(0, at([READER]))], MAKE, [], id="never seen: at once"),
        pytest.param(
            [(0, at([READER], configs=[read_config(READER)]))], [], [("create relay", 5.0)], id="only its config left"
        ),
        pytest.param(
            [(0, at([READER], configs=[read_config(OTHERS)]))],
            MAKE,
            [("remove config", 5.0)],
            id="only the config of another stack's",
        ),
        pytest.param(
            [
                (0, at([READER], [relay_of(READER, network_id=READER.mark)])),
                (1, at([READER], [relay_of(READER, network_id=READER.mark, version=8, fingerprint="old")])),
            ],
            [],
            [(action, 1 + TIMINGS.read_again) for action in ATTACH],
            id="changed a moment ago",
        ),
    ],
)
def test_a_reader_of_secrets(
    story: list[tuple[float, Situation]], now: list[str], later: list[tuple[str, float]]
) -> None:
    """As a relay, but that one of another stack is nothing to it, and that it does not wait long between changes."""
    assert told(follow(*story)) == (now, later)
