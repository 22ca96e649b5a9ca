"""When fleets are attached to networks and detached, and when a left network goes: tables of situations over time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from swarm_xds.networks import specification
from swarm_xds.networks.decision import Decision, FleetChange
from swarm_xds.networks.memory import Memory, NetworkTimings, Proxies, Situation, remember
from swarm_xds.networks.observed import Fleet, LeftNetwork, Observed, observed
from swarm_xds.networks.steps import decide
from swarm_xds.networks.wanted import Attachment

TIMINGS = NetworkTimings()
EDGE = Fleet(id="f1", name="edge", version=5, network_ids=("n9",), host_ports=True)
FRONT, BACK = (
    Attachment(fleet="default", network_id=each, network_name=name, stack=stack, reason="service web asks for it")
    for each, name, stack in (("n1", "shop_front", "shop"), ("n2", "pay_back", "pay"))
)
ON_FRONT = replace(EDGE, network_ids=("n1", "n9"), attached={"n1": "shop_front"})
OFF_FRONT = replace(EDGE, attached={"n1": "shop_front"})
LEFT = LeftNetwork(id="n1", name="shop_front", stack="shop")


def at(
    attachments: Sequence[Attachment] = (), fleet: Fleet = EDGE, *left: LeftNetwork, serving: int = 3, **more: Any
) -> Situation:
    """Return a situation."""
    fleets = more.pop("fleets", {"f1": Proxies(fleet="default", serving=serving)})
    seen = Observed(fleets=(fleet,), left=left)
    return Situation(attachments=tuple(attachments), observed=seen, fleets=fleets, **more)


def follow(*story: tuple[float, Situation], timings: NetworkTimings = TIMINGS) -> Decision:
    """Return the decision at the end of a story."""
    memory: Memory | None = None
    for now, situation in story:
        memory = remember(memory, situation, now, timings)
        decision = decide(situation, memory, now, timings)
    return decision


def told(decision: Decision) -> tuple[list[str], list[float]]:
    """Return what is done now, and when something else is."""
    return [f"{step.action}: {step.network}" for step in decision.steps], [each.at for each in decision.later]


ATTACH = "update fleet: shop_front"


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param([(0, at())], [], [], id="nothing wanted"),
        pytest.param([(0, at([FRONT]))], [], [2.0], id="not at once"),
        pytest.param([(0, at([FRONT])), (2, at([FRONT]))], [ATTACH], [], id="after a quiet while"),
        pytest.param(
            [(0, at([FRONT])), (1.5, at([FRONT, BACK])), (2, at([FRONT, BACK]))], [], [3.5], id="a second: wait anew"
        ),
        pytest.param(
            [(0, at([FRONT])), (1.5, at([FRONT, BACK])), (3.5, at([FRONT, BACK]))],
            [f"{ATTACH}, pay_back"],
            [],
            id="both in one",
        ),
        pytest.param(
            [(float(now), at([FRONT, BACK][: 1 + now % 2])) for now in range(16)],
            ["update fleet: shop_front, pay_back"],
            [],
            id="never quiet: but not for ever",
        ),
        pytest.param([(0, at([FRONT])), (1, at()), (2, at())], [], [], id="wanted no more"),
        pytest.param([(0, at([FRONT], ON_FRONT))], [], [], id="as it should be"),
        pytest.param([(0, at([], ON_FRONT))], [], [2.0], id="detached, not at once"),
        pytest.param([(0, at([], ON_FRONT)), (2, at([], ON_FRONT))], [ATTACH], [], id="detached"),
        pytest.param(
            [(0, at([], replace(EDGE, network_ids=("n1", "n9"))))], [], [], id="its owner's attachment is left alone"
        ),
        pytest.param(
            [(0, at([FRONT], replace(EDGE, update="updating"))), (9, at([FRONT], replace(EDGE, update="updating")))],
            [],
            [10.0],
            id="not while it is updated",
        ),
        pytest.param(
            [(0, at([FRONT])), (9, at([FRONT], replace(EDGE, version=6, update="rollback_completed")))],
            [],
            [69.0],
            id="after a failure: much later",
        ),
        pytest.param(
            [(t, at([FRONT], replace(EDGE, version=5 + bool(t), update="paused"))) for t in (0, 9, 69)],
            [ATTACH],
            [],
            id="and then again",
        ),
        pytest.param(
            [(0, at([FRONT], fleets={})), (9, at([FRONT], fleets={}))], [], [], id="a fleet of nobody we know"
        ),
    ],
)
def test_attaching(story: list[tuple[float, Situation]], now: list[str], later: list[float]) -> None:
    """All that is to change about a fleet is one update, when nothing more has come for a while."""
    assert told(follow(*story)) == (now, later)


@pytest.mark.parametrize(
    ("fleet", "serving", "order", "parallelism"),
    [
        pytest.param(EDGE, 3, "stop-first", 1, id="a port of the node: one after the other"),
        pytest.param(replace(EDGE, parallelism=2), 3, "stop-first", 2, id="as its owner says"),
        pytest.param(replace(EDGE, parallelism=0), 3, "stop-first", 2, id="all but those that have to serve"),
        pytest.param(replace(EDGE, parallelism=3), 3, "stop-first", 2, id="no more than those"),
        pytest.param(replace(EDGE, host_ports=False), 1, "start-first", 1, id="no port of the node"),
        pytest.param(replace(EDGE, host_ports=False, parallelism=0), 3, "start-first", 2, id="not all at once"),
    ],
)
def test_pace(fleet: Fleet, serving: int, order: str, parallelism: int) -> None:
    """Enough proxies go on serving."""
    (step,) = follow((0, at([FRONT], fleet, serving=serving)), (2, at([FRONT], fleet, serving=serving))).steps
    assert step.change == FleetChange(attach=(("n1", "shop_front"),), order=order, parallelism=parallelism)


def test_too_few_proxies() -> None:
    """The only proxy is not taken away, and somebody has to know; unless that is what its owner wants."""
    alone = at([FRONT], serving=1)
    decision = follow((0, alone), (2, alone))
    assert not decision.steps
    assert [(each.at, each.stuck) for each in decision.later] == [(3.0, True)]
    assert "direct_min_serving" in decision.later[0].reason
    (step,) = follow((0, alone), (2, alone), timings=replace(TIMINGS, min_serving=0)).steps
    assert step.change is not None
    assert step.change.parallelism == 1


@pytest.mark.parametrize(
    ("story", "now", "later"),
    [
        pytest.param([(0, at([], OFF_FRONT, LEFT))], [], [3.0], id="all that is left: not at once"),
        pytest.param(
            [(0, at([], OFF_FRONT, LEFT)), (3, at([], OFF_FRONT, LEFT))],
            ["remove network: shop_front"],
            [],
            id="it goes",
        ),
        pytest.param(
            [(0, at([], OFF_FRONT, LEFT)), (1, at([], OFF_FRONT, replace(LEFT, alive=True)))],
            ["forget network: shop_front"],
            [],
            id="something of the stack is there: not our business",
        ),
        pytest.param(
            [(0, at([], OFF_FRONT, LEFT)), (3, at([], OFF_FRONT, replace(LEFT, gone=True)))],
            ["forget network: shop_front"],
            [],
            id="it is gone",
        ),
        pytest.param(
            [(0, at([], OFF_FRONT, replace(LEFT, stack="")))],
            ["forget network: shop_front"],
            [],
            id="no stack's network",
        ),
        pytest.param(
            [(0, at([FRONT], OFF_FRONT, LEFT)), (2, at([FRONT], OFF_FRONT, LEFT))], [ATTACH], [], id="wanted again"
        ),
    ],
)
def test_left_network(story: list[tuple[float, Situation]], now: list[str], later: list[float]) -> None:
    """What a failed removal has left is removed, and nothing else."""
    assert told(follow(*story)) == (now, later)


RAW: dict[str, Any] = {
    "ID": "f1",
    "Version": {"Index": 5},
    "Spec": {
        "Name": "edge",
        "Labels": {"swarm-xds.fleet": "default", "swarm-xds.attached.n1": "shop_front", "mine": "1"},
        "TaskTemplate": {"Networks": [{"Target": "n9", "Aliases": ["edge"]}, {"Target": "n1"}], "ForceUpdate": 4},
        "Mode": {"Global": {}},
        "UpdateConfig": {"Parallelism": 2, "Delay": 5, "Order": "stop-first"},
        "EndpointSpec": {"Mode": "dnsrr", "Ports": [{"TargetPort": 80, "PublishMode": "host"}]},
    },
    "UpdateStatus": {"State": "paused", "Message": "a task failed"},
}


def test_a_fleet_reads_back() -> None:
    """Where it stands, and because of whom."""
    (fleet,) = observed([], [], [RAW]).fleets
    expected = replace(ON_FRONT, update="paused", message="a task failed", parallelism=2)
    assert fleet == expected
    assert observed([], [], [{**RAW, "Spec": RAW["Spec"] | {"UpdateConfig": None}}]).fleets[0].parallelism == 1


def test_what_is_written_to_a_fleet() -> None:
    """Its owner's choices stay: other labels, networks with their aliases, mode, ports, the rest of the update's."""
    change = FleetChange(
        attach=(("n2", "pay_back"),), detach=("n1",), forget=("n7",), order="stop-first", parallelism=1
    )
    body = specification.changed_fleet(RAW["Spec"], change)
    assert body == {
        "name": "edge",
        "labels": {**RAW["Spec"]["Labels"], "swarm-xds.attached.n2": "pay_back"},
        "task_template": {"Networks": [{"Target": "n9", "Aliases": ["edge"]}, {"Target": "n2"}], "ForceUpdate": 4},
        "mode": {"Global": {}},
        "update_config": {"Parallelism": 1, "Delay": 5, "Order": "stop-first"},
        "rollback_config": None,
        "endpoint_spec": RAW["Spec"]["EndpointSpec"],
    }
    forgotten = specification.changed_fleet(RAW["Spec"], FleetChange(forget=("n1",)))
    assert forgotten["labels"] == {"swarm-xds.fleet": "default", "mine": "1"}
    assert forgotten["task_template"] == RAW["Spec"]["TaskTemplate"]
    assert forgotten["update_config"] == RAW["Spec"]["UpdateConfig"]
