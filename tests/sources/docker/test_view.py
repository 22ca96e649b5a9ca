"""What is known: lists and single objects in, readings out, with every unchanged object the same."""

from typing import Any

import pytest

from swarm_xds.sources import Reading
from swarm_xds.sources.docker import convert
from swarm_xds.sources.docker.view import View
from swarm_xds.swarm import FleetService


def raw_service(name: str, **more: Any) -> dict[str, Any]:
    """Return a routed service whose id is its name."""
    spec = {"Name": name, "Labels": {"xds.hosts": f"{name}.example"}, "Mode": {"Replicated": {"Replicas": 1}}}
    return {"ID": name, "Spec": spec} | more


def raw_task(service: str, number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a running task."""
    status = {"State": "running"}
    return {"ID": f"{service}.{number}", "ServiceID": service, "DesiredState": "running", "Status": status} | more


def full() -> View:
    """Return a view of two services with a task each, read once."""
    view = View()
    refill(view)
    return view


def refill(view: View) -> None:
    """Take all lists anew, from other bytes of the same content."""
    view.set_networks(convert.networks([{"Id": "n1", "Name": "front", "Scope": "swarm"}]))
    view.set_nodes(convert.nodes([{"ID": "node1", "Status": {"State": "ready"}}]))
    view.set_services(convert.services([raw_service("shop"), raw_service("web")]))
    view.set_tasks(["shop", "web"], convert.tasks([raw_task("shop"), raw_task("web")]))


def taken(view: View) -> Reading:
    """Return the next reading, which there must be."""
    reading = view.reading("test")
    assert reading is not None
    return reading


def names(reading: Reading) -> list[str]:
    """Return the services' names with their number of tasks."""
    return [f"{service.name}:{len(service.tasks)}" for service in reading.state.services]


def test_same_lists_are_no_news() -> None:
    """Reading everything again yields nothing."""
    view = full()
    assert names(taken(view)) == ["shop:1", "web:1"]
    refill(view)
    assert view.reading("again") is None


def test_lists_keep_unchanged_objects() -> None:
    """After a full list, what is equal is the same object."""
    view = full()
    before = taken(view)
    refill(view)
    view.set_tasks(["web"], convert.tasks([raw_task("web"), raw_task("web", 2)]))
    after = taken(view)
    assert names(after) == ["shop:1", "web:2"]
    assert after.state.services[0] is before.state.services[0]
    assert after.state.services[1].tasks[0] is before.state.services[1].tasks[0]
    assert after.state.networks[0] is before.state.networks[0]
    assert after.state.nodes[0] is before.state.nodes[0]


ODD = {"Spec": {"Name": "web", "Labels": "odd"}}


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        pytest.param([raw_service("shop")], ["shop:1"], id="not in the list: gone"),
        pytest.param([raw_service("shop"), {"ID": "web"} | ODD], ["shop:1", "web:1"], id="cannot be read: as it was"),
        pytest.param([raw_service("shop"), {"ID": "new"} | ODD], ["shop:1"], id="cannot be read and new: left out"),
        pytest.param([raw_service("shop"), ODD], ["shop:1", "web:1"], id="no id: nothing is taken for absent"),
        pytest.param([raw_service("shop"), None], ["shop:1", "web:1"], id="no object: nothing is taken for absent"),
    ],
)
def test_lists_with_something_missing(listed: list[Any], kept: list[str]) -> None:
    """Only what is surely not there is gone."""
    view = full()
    taken(view)
    view.set_services(convert.services(listed))
    reading = taken(view)
    assert names(reading) == kept
    assert len(reading.problems) == len(listed) - 1


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        pytest.param([], 0, id="ended and forgotten"),
        pytest.param([raw_task("web", Status={"State": "failed"})], 0, id="ended"),
        pytest.param([raw_task("web", NetworksAttachments="odd")], 1, id="cannot be read: as it was"),
        pytest.param([{"ServiceID": "web"}], 1, id="no id: nothing is taken for absent"),
    ],
)
def test_tasks_with_something_missing(listed: list[Any], count: int) -> None:
    """A task that cannot be read stays as it was."""
    view = full()
    taken(view)
    view.set_tasks(["web"], convert.tasks(listed))
    assert names(taken(view)) == ["shop:1", f"web:{count}"]


def test_problems_end() -> None:
    """A problem is gone when its object can be read again, by whichever way."""
    view = full()
    taken(view)
    view.set_services(convert.services([raw_service("shop"), {"ID": "web"} | ODD]))
    assert len(taken(view).problems) == 1
    view.put_service("web", convert.services([raw_service("web")]))
    assert taken(view).problems == ()


@pytest.mark.parametrize(
    ("task", "moving"),
    [
        pytest.param(raw_task("web"), False, id="as it is to be"),
        pytest.param(raw_task("web", Status={"State": "starting"}), True, id="starting"),
        pytest.param(raw_task("web", DesiredState="shutdown"), True, id="stopping"),
        pytest.param(raw_task("web", Status={"State": "failed"}), True, id="missing"),
    ],
)
def test_moving(task: dict[str, Any], *, moving: bool) -> None:
    """A service is in flux until it has what it is to have."""
    view = full()
    view.set_tasks(["web"], convert.tasks([task]))
    assert view.moving("web") is moving
    assert not view.moving("unknown")


@pytest.mark.parametrize(
    ("node", "changed"),
    [
        pytest.param({"Status": {"State": "ready", "Addr": "192.0.2.1"}}, set(), id="another address"),
        pytest.param({"Status": {"State": "down"}}, {"node1"}, id="down"),
        pytest.param({"Spec": {"Availability": "drain"}}, {"node1"}, id="drained"),
    ],
)
def test_nodes_that_matter(node: dict[str, Any], changed: set[str]) -> None:
    """Only a node that may now run more or less puts its services in flux."""
    view = full()
    assert view.set_nodes(convert.nodes([{"ID": "node1"} | node])) == changed


def test_services_on_nodes() -> None:
    """The services with a task on a node."""
    view = full()
    view.set_tasks(["web"], convert.tasks([raw_task("web", NodeID="node1")]))
    assert view.on_nodes({"node1"}) == {"web"}


def test_two_services_of_one_fleet() -> None:
    """Only a network that every proxy of a fleet stands in is the fleet's."""
    view = View(default_fleet="main")
    for name, networks in (("blue", ["n1", "n2"]), ("green", ["n2", "n3"])):
        spec = {"Name": name, "Labels": {"swarm-xds.fleet": ""}}
        template = {"Networks": [{"Target": network} for network in networks]}
        view.put_service(name, convert.services([{"ID": name, "Spec": spec | {"TaskTemplate": template}}]))
    assert taken(view).state.fleet_networks == (("main", ("n2",)),)


def test_relays_and_fleets() -> None:
    """Relays stand apart from the services, with their tasks; a fleet's service is among them and once more as such."""
    view = full()
    view.set_networks(
        convert.networks([{"Id": "n0", "Name": "ingress", "Scope": "swarm", "Ingress": True}]),
    )
    fleet = {"Image": "edge:1"}
    template = {"ContainerSpec": fleet, "Networks": [{"Target": "n0"}, {"Target": "n2"}]}
    labels = {"swarm-xds.fleet": "main", "swarm-xds.attached.n2": "shop_front", "swarm-xds.attached.n3": "gone"}
    ports = {"Ports": [{"Protocol": "udp", "TargetPort": 443, "PublishedPort": 443, "PublishMode": "host"}]}
    spec = {"Name": "edge", "Labels": labels, "TaskTemplate": template, "EndpointSpec": ports}
    view.put_service("edge", convert.services([{"ID": "edge", "Spec": spec}]))
    labels = {"swarm-xds.relay": "n1", "swarm-xds.relay.fleet": "main"}
    view.put_service("relay", convert.services([{"ID": "relay", "Spec": {"Name": "relay", "Labels": labels}}]))
    view.set_tasks(["relay"], convert.tasks([raw_task("relay")]))
    state = taken(view).state
    assert [service.name for service in state.services] == ["edge", "shop", "web"]
    assert [(relay.name, len(relay.tasks), dict(relay.labels)) for relay in state.relays] == [("relay", 1, labels)]
    assert state.fleet_services == (
        FleetService(
            id="edge",
            name="edge",
            fleet="main",
            image="edge:1",
            network_ids=("n2",),
            attached=("n2",),
            host_ports=True,
        ),
    )
    assert view.reading("again") is None
