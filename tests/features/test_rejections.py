"""What passes our checks and Envoy rejects: its service alone goes back, the rest of the change is served.

The translator is made to spoil what has a certain host, since nothing that labels can say is known to do it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from support.world import HOSTS, World, world
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.problem import Kind, Problem
from swarm_xds.translate import FleetMessages, translate

pytestmark = pytest.mark.envoy

#: Hosts that begin so make Envoy reject something.
SPOILT = "spoilt"
OLD, NEW, GOOD = "shop.example.org", f"{SPOILT}.example.org", "better.example.org"


def spoil_cluster(message: cluster_pb2.Cluster) -> None:
    """Make Envoy reject it when it reads it, and with it all that comes in the same response."""
    message.transport_socket.name = "none"
    message.transport_socket.typed_config.Pack(struct_pb2.Struct())


def spoil_cluster_by_rule(message: cluster_pb2.Cluster) -> None:
    """Break a rule of the API."""
    message.connect_timeout.seconds = -1


def spoil_cluster_alone(message: cluster_pb2.Cluster) -> None:
    """Make Envoy reject it when it makes it, where Envoy takes what else is in the response."""
    message.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED


def spoil_endpoints(message: endpoint_pb2.ClusterLoadAssignment) -> None:
    """Give it a name where there must be an address."""
    message.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address = "nowhere"


def spoil_routes(message: route_pb2.RouteConfiguration) -> None:
    """Give its routes a pattern that is none, of which Envoy does not say where it stands."""
    for host in message.virtual_hosts:
        if host.name.startswith(SPOILT):
            host.routes[0].match.ClearField("prefix")
            host.routes[0].match.safe_regex.regex = "("


def spoil_routes_by_rule(message: route_pb2.RouteConfiguration) -> None:
    """Break a rule of the API in one of them."""
    for host in message.virtual_hosts:
        spoil_host_by_rule(host)


def spoil_host_by_rule(host: route_components_pb2.VirtualHost) -> None:
    """Break a rule of the API in its first route."""
    if host.name.startswith(SPOILT):
        host.routes[0].route.cluster_not_found_response_code = 77


def spoilt(message: Message, spoil: Callable[..., None]) -> Any:
    """Return a copy that is spoilt."""
    copy = type(message)()
    copy.CopyFrom(message)
    spoil(copy)
    return copy


def spoiling(type_name: str, spoil: Callable[..., None]) -> Callable[[Fleet, EdgeOptions, Memo], FleetMessages]:
    """Return a translator that spoils the resources of one type of those who have a spoilt host."""

    def translator(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
        messages = translate(fleet, options, memo)
        hosts = [host for host in fleet.virtual_hosts if host.host.startswith(SPOILT)]
        if not hosts:
            return messages
        services = {name for host in hosts for route in host.routes for name in route.services}
        guilty = {backend.name for backend in fleet.backends if backend.service in services}
        changed = []
        for message in getattr(messages, type_name):
            name = message.cluster_name if type_name == "endpoints" else message.name
            changed.append(spoilt(message, spoil) if name in guilty or type_name == "routes" else message)
        if spoil is spoil_routes_by_rule:
            hosts_spoilt = tuple(spoilt(host, spoil_host_by_rule) for host in messages.virtual_hosts)
            messages = replace(messages, virtual_hosts=hosts_spoilt)
        if type_name == "listeners":
            changed.append(listener_pb2.Listener(name="spoilt"))
        return replace(messages, **{type_name: tuple(changed)})

    return translator


WAYS = [
    pytest.param("clusters", spoil_cluster, id="cluster"),
    pytest.param("clusters", spoil_cluster_alone, id="cluster-alone"),
    pytest.param("endpoints", spoil_endpoints, id="endpoints"),
    pytest.param("routes", spoil_routes, id="routes"),
]
RULES = [
    pytest.param("clusters", spoil_cluster_by_rule, 'Cluster for fleet "default"', "duration.gt 0s", id="cluster"),
    pytest.param("routes", spoil_routes_by_rule, "RouteConfiguration", "enum.defined_only", id="routes"),
]


def problems(place: World) -> list[Problem]:
    """Return what is told of rejections now."""
    return [each for each in place.published[-1].build.problems if each.kind is Kind.REJECTED]


@pytest.mark.parametrize("incremental", [False, True], ids=["sotw", "delta"])
@pytest.mark.parametrize(("type_name", "spoil"), WAYS)
async def test_a_service_that_envoy_rejects_goes_back_alone(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], incremental: bool
) -> None:
    """With its last accepted form served, and a new and a changed service beside it served as they are."""
    translator = spoiling(type_name, spoil)
    async with (
        world(envoy_binary, incremental=incremental, translator=translator) as place,
        httpx.AsyncClient() as client,
    ):
        shop = place.add("shop", OLD)
        other = place.add("other", "other.example.org")
        for number in range(4):
            place.add(f"idle{number}", f"idle{number}.example.org")
        await place.until(client, OLD, 200)
        await place.app.publisher.answered()
        place.engine.update_service(shop, labels=place.labels(NEW))
        place.engine.update_service(other, labels=place.labels("changed.example.org"))
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)
        await place.until(client, "changed.example.org", 200)
        await place.until(client, OLD, 200)
        await place.app.publisher.answered()
        (problem,) = problems(place)
        assert (problem.service, problem.label, problem.value) == ("shop", HOSTS, NEW)
        assert problem.reason.startswith('proxy "envoy-1" of fleet "default" rejects the ')
        assert problem.reason.endswith("; the service is still served in its last accepted form")
        for host in (OLD, "fresh.example.org", "changed.example.org", "idle0.example.org"):
            assert (await place.get(client, host)).status_code == 200, host
        place.add("later", "later.example.org")
        await place.until(client, "later.example.org", 200)
        assert len(problems(place)) == 1
        place.engine.update_service(shop, labels=place.labels(GOOD))
        await place.until(client, GOOD, 200)
        await place.app.publisher.answered()
        assert (await place.get(client, OLD)).status_code == 404
        assert problems(place) == []
        rejected = await place.stats(client, r"(cds|lds|rds|eds)\..*update_rejected$")
        assert sum(rejected.values()) < 10


@pytest.mark.parametrize("incremental", [False, True], ids=["sotw", "delta"])
@pytest.mark.parametrize(("type_name", "spoil"), WAYS)
async def test_a_new_service_that_envoy_rejects_is_left_out(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], incremental: bool
) -> None:
    """Also if it is there from the start, on an Envoy that has nothing yet."""
    translator = spoiling(type_name, spoil)
    async with (
        world(envoy_binary, incremental=incremental, translator=translator) as place,
        httpx.AsyncClient() as client,
    ):
        place.add("shop", NEW)
        for number in range(4):
            place.add(f"web{number}", f"web{number}.example.org")
        for number in range(4):
            await place.until(client, f"web{number}.example.org", 200)
        await place.app.publisher.answered()
        (problem,) = problems(place)
        assert problem.service == "shop"
        assert problem.reason.endswith("; the service is left out")
        assert (await place.get(client, NEW)).status_code == 404
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)


@pytest.mark.parametrize(("type_name", "spoil", "what", "rule"), RULES)
async def test_what_breaks_a_rule_is_shown_to_no_envoy(
    envoy_binary: Path, type_name: str, spoil: Callable[..., None], what: str, rule: str
) -> None:
    """Its service goes back alone as if an Envoy had rejected it, or out if it is new, and the problem has the rule."""
    translator = spoiling(type_name, spoil)
    async with world(envoy_binary, translator=translator) as place, httpx.AsyncClient() as client:
        shop = place.add("shop", OLD)
        place.add("new", f"{SPOILT}.new.example.org")
        place.add("other", "other.example.org")
        await place.until(client, OLD, 200)
        await place.until(client, "other.example.org", 200)
        (problem,) = problems(place)
        assert problem.service == "new"
        assert problem.reason.endswith(f"is against {rule}; the service is left out")
        await place.app.publisher.answered()
        place.engine.update_service(shop, labels=place.labels(NEW))
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)
        assert (await place.get(client, OLD)).status_code == 200
        _, problem = problems(place)
        assert (problem.service, problem.label, problem.value) == ("shop", HOSTS, NEW)
        assert problem.reason.startswith(f"the {what}")
        assert problem.reason.endswith("; the service is still served in its last accepted form")
        place.engine.update_service(shop, labels=place.labels(GOOD))
        await place.until(client, GOOD, 200)
        assert [each.service for each in problems(place)] == ["new"]
        await place.app.publisher.answered()
        rejected = await place.stats(client, r"(cds|lds|rds|eds)\..*update_rejected$")
        assert sum(rejected.values()) == 0


async def test_a_listener_that_envoy_rejects_is_nobodys_fault(envoy_binary: Path) -> None:
    """It is told, no service is held back, and everything else goes on."""
    translator = spoiling("listeners", spoil_cluster)
    async with world(envoy_binary, translator=translator) as place, httpx.AsyncClient() as client:
        place.add("web", "web.example.org")
        await place.until(client, "web.example.org", 200)
        place.add("shop", NEW)
        await place.until(client, NEW, 200)
        async with asyncio.timeout(10):
            while not problems(place):
                await asyncio.sleep(0.01)
        (problem,) = problems(place)
        assert (problem.service, problem.label) == ("", "")
        assert "and no service is to blame" in problem.reason
        place.add("fresh", "fresh.example.org")
        await place.until(client, "fresh.example.org", 200)
        assert (await place.get(client, "web.example.org")).status_code == 200
