"""From labels and networks to the relays that have to stand in the swarm."""

from dataclasses import replace
from typing import Any

import pytest

from swarm_xds.labels import parse
from swarm_xds.networks.plan import NetworkOptions, RelayOptions, plan_networks
from swarm_xds.networks.wanted import NetworkPlan, Way
from swarm_xds.problem import Problem
from swarm_xds.swarm import FleetService, Network, PublishedPort, PublishMode, Service, SwarmState

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
    return plan_networks(swarm, intents, "default", options, lambda fleet, net: f"{fleet} {net}")


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
