"""From labels and networks to the relays that have to stand in the swarm."""

from dataclasses import replace
from typing import Any

import pytest

from swarm_xds.labels import Via, parse
from swarm_xds.networks.home import RelayOptions
from swarm_xds.networks.plan import Configure, NetworkOptions, plan_networks
from swarm_xds.networks.wanted import NetworkPlan, Way
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import FleetService, Network, Node, PublishedPort, PublishMode, Service, SwarmState, Task

FRONT = Network(id="n1", name="shop_front", stack="shop", subnets=("10.0.1.0/24",))
EDGE = Network(id="n9", name="swarm-xds", subnets=("10.9.0.0/24",))
CONTROL = Network(id="n8", name="control", internal=True, subnets=("10.8.0.0/24",))
FLEET = FleetService(id="f1", name="swarm-xds_edge", fleet="default", image="edge:1", network_ids=("n8", "n9"))


def service(name: str = "shop_web", network: str = "n1", **more: Any) -> Service:
    """A routed service on one network."""
    labels = {"xds.hosts": f"{name}.example.org", "xds.port": "80", **more.pop("labels", {})}
    return Service(
        id=name, name=name, stack="shop", labels=tuple(sorted(labels.items())), network_ids=(network,), **more
    )


def state(*services: Service, front: Network = FRONT, **more: Any) -> SwarmState:
    """A swarm with the fleet on its own two networks."""
    return replace(
        SwarmState(
            services=services,
            networks=(front, CONTROL, EDGE),
            fleet_networks=(("default", ("n8", "n9")),),
            fleet_services=(FLEET,),
        ),
        **more,
    )


def plan(
    swarm: SwarmState, options: NetworkOptions | RelayOptions | None = None
) -> tuple[NetworkPlan, tuple[Problem, ...]]:
    """Plan with a configuration that shows what it was made from."""
    intents = [(each, parse(each)[0]) for each in swarm.services]
    if not isinstance(options, NetworkOptions):
        options = NetworkOptions(relay=options or RelayOptions())
    configure = Configure(
        relay=lambda fleet, net: f"{fleet} {net}",
        reader=lambda fleet, identity, secrets: f"{fleet} {identity} {dict(secrets)}",
    )
    return plan_networks(swarm, intents, "default", options, configure)


def test_a_network_of_its_own_takes_a_relay() -> None:
    """The relay has the network's stack, the fleet's image, and stands on the fleet's network that is not internal."""
    made, problems = plan(state(service()))
    (relay,) = made.relays
    assert not problems
    assert (relay.stack, relay.network_id, relay.fleet_network_id, relay.image) == ("shop", "n1", "n9", "edge:1")
    assert relay.configuration == "('10.9.0.0/24',) ('10.0.1.0/24',)"
    assert [(use.way, use.network, use.services) for use in made.uses] == [(Way.RELAY, "shop_front", ("shop_web",))]


def test_one_relay_for_all_services_of_a_network() -> None:
    """The second service changes nothing, and neither does their order."""
    one, two = service(), service("shop_api")
    assert plan(state(one, two))[0].relays == plan(state(two, one))[0].relays == plan(state(one))[0].relays


def test_a_shared_network_and_a_host_port_take_none() -> None:
    """Nothing is written for them."""
    port = PublishedPort(target=80, published=8080, mode=PublishMode.HOST)
    made, problems = plan(state(service("shared", "n9"), service("host", ports=(port,))))
    assert not made.relays
    assert not problems
    assert [use.way for use in made.uses] == [Way.HOST, Way.SHARED]


def test_a_service_without_routes_takes_none() -> None:
    """Labels that lead to no route lead to no relay."""
    assert plan(state(service(labels={"xds.port": "eighty"})))[0] == NetworkPlan()


@pytest.mark.parametrize(
    ("swarm", "options", "reason"),
    [
        pytest.param(state(service(), fleet_services=()), None, "no image", id="no image"),
        pytest.param(state(service(), front=replace(FRONT, subnets=())), None, "no subnet", id="no subnet"),
        pytest.param(
            state(service(), front=replace(FRONT, subnets=("10.9.0.128/25",))), None, "overlaps", id="overlap"
        ),
        pytest.param(state(service()), RelayOptions(network="other"), "network other", id="not on the named network"),
        pytest.param(
            state(service(), fleet_networks=(("default", ("n8",)),)), None, "not internal", id="internal networks only"
        ),
    ],
)
def test_what_makes_a_relay_impossible_is_told(swarm: SwarmState, options: RelayOptions | None, reason: str) -> None:
    """No relay, and each service of the network knows why."""
    made, problems = plan(swarm, options)
    assert not made.relays
    (problem,) = problems
    assert problem.service == "shop_web"
    assert reason in problem.reason


def test_an_encrypted_network_is_relayed_with_a_warning() -> None:
    """Requests come to it over a network that is not."""
    made, problems = plan(state(service(), front=replace(FRONT, encrypted=True)))
    assert len(made.relays) == 1
    assert "encrypted" in problems[0].reason


def test_names_and_fingerprints_are_those_of_the_content() -> None:
    """The service keeps its name when its content changes; the config, which cannot change, gets another."""
    (relay,), (other,) = (plan(state(service()), RelayOptions(replicas=each))[0].relays for each in (2, 3))
    assert relay.name == other.name
    assert relay.fingerprint != other.fingerprint
    assert relay.config_name == other.config_name
    changed = replace(relay, configuration="another")
    assert changed.config_name != relay.config_name
    long = replace(relay, stack="s" * 60)
    assert max(len(long.name), len(long.config_name), len(relay.config_name)) <= 63


def test_pauses_stand_in_a_stack_and_are_no_part_of_the_relay() -> None:
    """Without a stack there is no removal to give a moment to; more or fewer of them replace no task of a relay."""
    (relay,), (fewer,), (alone,) = (
        plan(state(service(), front=front), RelayOptions(pauses=pauses))[0].relays
        for pauses, front in ((3, FRONT), (1, FRONT), (3, replace(FRONT, stack="")))
    )
    assert relay.pause_names == tuple(f"{relay.name}-pause-{number:02}" for number in (1, 2, 3))
    assert fewer.pause_names == relay.pause_names[:1]
    assert fewer.fingerprint == relay.fingerprint
    assert alone.pause_names == ()
    long = [replace(relay, stack="s" * size, network_id=each, pauses=64) for size in (26, 30, 34) for each in "xyz"]
    names = [name for each in long for name in each.pause_names]
    assert len(set(names)) == len(names) / 3 == 3 * 64
    assert max(map(len, names)) <= 63


DIRECT = {"xds.network.via": "direct"}
OTHER = Network(id="n2", name="pay_back", stack="pay", subnets=("10.0.2.0/24",))


def on(*addresses: str) -> Task:
    """Return a proxy that runs on networks."""
    return Task(
        id=f"t{len(addresses)}", addresses=tuple((each, f"10.0.0.{number}") for number, each in enumerate(addresses))
    )


def attached(*tasks: Task) -> dict[str, Any]:
    """Return what is different about a swarm whose fleet we have attached to the stack's network."""
    fleet = replace(FLEET, network_ids=("n1", "n8", "n9"), attached=("n1",), tasks=tasks)
    return {"fleet_services": (fleet,), "fleet_networks": (("default", ("n1", "n8", "n9")),)}


def standing(count: int, *, host_ports: bool = True, attached: bool = False) -> dict[str, Any]:
    """Return what is different about a swarm where so many proxies run, which may hold ports of their nodes."""
    proxies = tuple(replace(on("n8", "n9"), id=f"p{number}") for number in range(count))
    ours = ("n1",) if attached else ()
    networks = (*ours, "n8", "n9")
    fleet = replace(FLEET, host_ports=host_ports, network_ids=networks, attached=ours, tasks=proxies)
    return {"fleet_services": (fleet,), "fleet_networks": (("default", networks),)}


def running_relay() -> Service:
    """Return the relay of the stack's network, running."""
    labels = (("swarm-xds.relay", "n1"), ("swarm-xds.relay.fleet", "default"))
    task = Task(id="r", addresses=(("n1", "10.0.1.9"), ("n9", "10.9.0.9")))
    return Service(id="r1", name="relay", labels=labels, network_ids=("n1", "n9"), tasks=(task,))


def ways(made: NetworkPlan) -> tuple[list[Way], int, list[str]]:
    """Return the way of each network, how many relays there are, and which attachments."""
    return [use.way for use in made.uses], len(made.relays), [each.network_name for each in made.attachments]


@pytest.mark.parametrize(
    ("swarm", "options", "expected"),
    [
        pytest.param(state(service(labels=DIRECT)), None, (Way.DIRECT, 0, True), id="asked for by a label"),
        pytest.param(state(service()), NetworkOptions(via=Via.DIRECT), (Way.DIRECT, 0, True), id="by the settings"),
        pytest.param(
            state(service(labels={"xds.network.via": "relay"})),
            NetworkOptions(via=Via.DIRECT),
            (Way.RELAY, 1, False),
            id="the label wins over the settings",
        ),
        pytest.param(
            state(service("a"), service("b", labels=DIRECT)), None, (Way.DIRECT, 0, True), id="one service for all"
        ),
        pytest.param(
            state(service(labels=DIRECT), **attached(on("n9"))), None, (Way.DIRECT, 0, True), id="not every proxy yet"
        ),
        pytest.param(
            state(service(labels=DIRECT), relays=(running_relay(),), **attached(on("n9"), on("n1", "n9"))),
            None,
            (Way.DIRECT, 1, True),
            id="the relay stays until every proxy is there",
        ),
        pytest.param(
            state(service(labels=DIRECT), relays=(running_relay(),), **attached(on("n1", "n9"))),
            None,
            (Way.DIRECT, 0, True),
            id="and no longer",
        ),
        pytest.param(
            state(service(), **attached(on("n1", "n9"))), None, (Way.RELAY, 1, True), id="attached until a relay runs"
        ),
        pytest.param(
            state(service(), relays=(running_relay(),), **attached(on("n1", "n9"))),
            None,
            (Way.RELAY, 1, False),
            id="and no longer then",
        ),
        pytest.param(
            state(service(network="n9", labels=DIRECT)),
            None,
            (Way.SHARED, 0, False),
            id="its owner has said so already",
        ),
        pytest.param(state(service(labels=DIRECT), **standing(2)), None, (Way.DIRECT, 0, True), id="a proxy to spare"),
        pytest.param(
            state(service(labels=DIRECT), **standing(1)),
            NetworkOptions(min_serving=0),
            (Way.DIRECT, 0, True),
            id="none need serve",
        ),
        pytest.param(
            state(service(labels=DIRECT), **standing(1, host_ports=False)),
            None,
            (Way.DIRECT, 0, True),
            id="another starts beside it",
        ),
        pytest.param(
            state(service(labels=DIRECT), **standing(1, attached=True)),
            None,
            (Way.DIRECT, 0, True),
            id="on the way there already",
        ),
    ],
)
def test_direct(swarm: SwarmState, options: NetworkOptions | None, expected: tuple[Way, int, bool]) -> None:
    """The fleet is attached where it is asked for; what serves now serves until the new way does."""
    made, problems = plan(swarm, options)
    way, relays, is_attached = expected
    assert ways(made) == ([way], relays, ["shop_front"] if is_attached else [])
    assert not problems
    assert [relay.fleet_network_id for relay in made.relays] == ["n9"] * relays


@pytest.mark.parametrize(
    ("swarm", "options", "reason"),
    [
        pytest.param(state(service(labels=DIRECT)), NetworkOptions(allow_direct=False), "do not allow", id="forbidden"),
        pytest.param(
            state(service(labels=DIRECT), front=replace(FRONT, subnets=("10.8.0.0/25",))),
            None,
            "overlaps with that of control",
            id="overlapping subnets",
        ),
        pytest.param(
            state(service(labels=DIRECT), fleet_services=()),
            NetworkOptions(relay=RelayOptions(image="edge:1")),
            "no service is labelled",
            id="no service to attach",
        ),
        pytest.param(state(service(labels=DIRECT), **standing(1)), None, "only 1 serve where", id="no proxy to spare"),
        pytest.param(
            state(service(), **standing(2)),
            NetworkOptions(via=Via.DIRECT, min_serving=2),
            "only 2 serve where direct_min_serving is 2",
            id="nor by the settings",
        ),
    ],
)
def test_what_makes_direct_impossible_is_told(swarm: SwarmState, options: NetworkOptions | None, reason: str) -> None:
    """Then a relay serves instead."""
    made, problems = plan(swarm, options)
    assert ways(made) == ([Way.RELAY], 1, [])
    (problem,) = problems
    assert (problem.service, problem.severity) == ("shop_web", Severity.WARNING)
    assert reason in problem.reason


def test_two_networks_with_one_subnet() -> None:
    """Only one of them can be attached; the other has a relay, whichever came first."""
    twin = replace(OTHER, subnets=FRONT.subnets)
    two = (service(labels=DIRECT), service("pay_app", "n2", labels=DIRECT))
    for services in (two, two[::-1]):
        made, problems = plan(state(*services, networks=(FRONT, twin, CONTROL, EDGE)))
        assert ways(made) == ([Way.DIRECT, Way.RELAY], 1, ["shop_front"])
        assert [problem.service for problem in problems] == ["pay_app"]


def test_services_that_ask_for_different_ways() -> None:
    """Standing on a network is for all of its services, and who wanted otherwise is told."""
    made, problems = plan(state(service("a", labels={"xds.network.via": "relay"}), service("b", labels=DIRECT)))
    assert ways(made) == ([Way.DIRECT], 0, ["shop_front"])
    assert [problem.service for problem in problems] == ["a"]
    assert "service b asks for it" in problems[0].reason


def test_an_internal_network_is_relayed_and_told_of() -> None:
    """Its owner may have meant that nobody comes in."""
    made, problems = plan(state(service(), front=replace(FRONT, internal=True)))
    assert ways(made) == ([Way.RELAY], 1, [])
    assert [(problem.severity, problem.kind) for problem in problems] == [(Severity.INFO, Kind.NETWORK_CAVEAT)]


@pytest.mark.parametrize(
    ("network", "subnet", "expected"),
    [
        pytest.param(
            "front", "10.0.1.0/29", "network shop_front is nearly full: at least 4 of its 5", id="the stack's"
        ),
        pytest.param("edge", "10.9.0.0/29", "network swarm-xds is nearly full: at least 4 of its 5", id="the fleet's"),
        pytest.param(
            "front",
            "10.0.1.0/29,2001:db8::/64",
            "network shop_front is nearly full: at least 4 of its 5",
            id="of both families",
        ),
        pytest.param("front", "10.0.1.0/28", "", id="room enough"),
    ],
)
def test_networks_that_are_nearly_full(network: str, subnet: str, expected: str) -> None:
    """Tasks, virtual IPs, relays and nodes take addresses; who runs out of them is told before."""
    nodes = (Node(id="a", hostname="a", address="192.0.2.1"),)
    small = {"front": FRONT, "edge": EDGE} | {
        network: replace({"front": FRONT, "edge": EDGE}[network], subnets=tuple(subnet.split(",")))
    }
    web = service(tasks=(Task(id="t", addresses=(("n1", "10.0.1.3"), ("n1", "2001:db8::3"))),))
    proxies = Service(id="f1", name="edge", tasks=(Task(id="p", addresses=(("n9", "10.9.0.3"),)),))
    swarm = state(web, proxies, networks=(small["front"], CONTROL, small["edge"]), nodes=nodes)
    problems = plan(swarm)[1]
    assert [problem.reason.startswith(expected) for problem in problems] == ([True] if expected else [])


def test_a_fleet_that_cannot_leave_a_network_is_told_of() -> None:
    """Its only proxy would be replaced; until somebody acts, the removal of the stack fails."""
    swarm = state(service(network="n9"), **standing(1, attached=True))
    made, problems = plan(swarm)
    assert not made.attachments
    (problem,) = problems
    assert (problem.service, problem.severity) == (FLEET.name, Severity.WARNING)
    assert problem.reason.endswith("it stays on shop_front, which cannot be removed meanwhile")
    assert "direct_min_serving" in problem.cure
    assert not plan(swarm, NetworkOptions(min_serving=0))[1]
    assert not plan(state(service(network="n9"), **standing(2, attached=True)))[1]
