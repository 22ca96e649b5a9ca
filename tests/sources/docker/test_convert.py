"""The engine's JSON to values: the shapes that a real engine (20.10) gives, and odd ones."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_xds.problem import Kind
from swarm_xds.sources.docker import convert
from swarm_xds.swarm import Network, Node, PublishedPort, PublishMode, Service, Task

INGRESS, FRONT = "9aeqx95hm85rhdso4mywzc3s6", "siftpx77lp5ckq0vlznfsk33o"
WEB, TASK = "nzdxowh2webzeta6vlo0hnxnh", "idqskpnkz91agwsnhjc51hgo5"

PORT_HOST = {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 18080, "PublishMode": "host"}
PORT_MESH = {"Protocol": "tcp", "TargetPort": 9000, "PublishMode": "ingress"}

#: As a manager answered, cut down to what is read and some of what is not.
SERVICE: dict[str, Any] = {
    "ID": WEB,
    "Version": {"Index": 39},
    "CreatedAt": "2026-11-23T20:35:36.756006565Z",
    "UpdatedAt": "2026-11-23T20:35:40.852042408Z",
    "Spec": {
        "Name": "shop_web",
        "Labels": {
            "com.docker.lb.port": "8080",
            "com.docker.lb.hosts": "a.example",
            "com.docker.stack.namespace": "shop",
        },
        "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": FRONT, "Aliases": ["web"]}]},
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Mode": "vip", "Ports": [PORT_HOST, PORT_MESH]},
    },
    "Endpoint": {
        "Ports": [PORT_HOST, PORT_MESH | {"PublishedPort": 30000}],
        "VirtualIPs": [{"NetworkID": INGRESS, "Addr": "10.0.0.5/24"}, {"NetworkID": FRONT, "Addr": "10.0.1.2/24"}],
    },
}
#: The engine repeats a port published in host mode.
TASK_RAW: dict[str, Any] = {
    "ID": TASK,
    "ServiceID": WEB,
    "Slot": 1,
    "NodeID": "xws1x4vpd1svg5xl41jzyf65m",
    "Status": {"State": "running", "Message": "started", "PortStatus": {"Ports": [PORT_HOST, PORT_HOST]}},
    "DesiredState": "running",
    "NetworksAttachments": [
        {"Network": {"ID": INGRESS, "Spec": {"Name": "ingress", "Ingress": True}}, "Addresses": ["10.0.0.6/24"]},
        {"Network": {"ID": FRONT, "Spec": {"Name": "shop_net"}}, "Addresses": ["10.0.1.3/24"]},
    ],
}
NETWORK: dict[str, Any] = {
    "Name": "shop_net",
    "Id": FRONT,
    "Created": "2026-11-23T20:35:36.398342746Z",
    "Scope": "swarm",
    "Driver": "overlay",
    "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}]},
    "Ingress": False,
    "Containers": None,
    "Labels": {"com.docker.stack.namespace": "shop"},
}
NODE: dict[str, Any] = {
    "ID": "xws1x4vpd1svg5xl41jzyf65m",
    "Spec": {"Labels": {}, "Role": "manager", "Availability": "active"},
    "Description": {"Hostname": "node1"},
    "Status": {"State": "ready", "Addr": "192.0.2.1"},
    "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "192.0.2.1:2377"},
}


def changed(raw: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with another value at a dotted path; ``...`` takes the key away."""
    copy = json.loads(json.dumps(raw))
    *folders, last = path.split(".")
    at = copy
    for folder in folders:
        at = at[folder]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy


def one_service(raw: object) -> convert.ServiceRecord:
    """Convert a service that is without problems."""
    batch = convert.services([raw], frozenset({INGRESS}))
    assert batch.problems == ()
    (record,) = batch.records.values()
    return record


def one_task(raw: object) -> convert.TaskRecord | None:
    """Convert a task that is without problems."""
    batch = convert.tasks([raw])
    assert batch.problems == ()
    (record,) = batch.records.values()
    return record


def test_service() -> None:
    """Each field of a real service; the ingress network's virtual IP is left out."""
    assert one_service(SERVICE) == convert.ServiceRecord(
        service=Service(
            id=WEB,
            name="shop_web",
            stack="shop",
            created=1795466136756006565,
            labels=(
                ("com.docker.lb.hosts", "a.example"),
                ("com.docker.lb.port", "8080"),
                ("com.docker.stack.namespace", "shop"),
            ),
            network_ids=(FRONT,),
            virtual_ips=((FRONT, "10.0.1.2"),),
            ports=(
                PublishedPort(target=8080, published=18080, mode=PublishMode.HOST),
                PublishedPort(target=9000, published=30000, mode=PublishMode.INGRESS),
            ),
        ),
        kept=True,
        replicas=2,
    )


def test_task() -> None:
    """Each field of a real task; the ingress network's address is left out and a repeated port given once."""
    assert one_task(TASK_RAW) == convert.TaskRecord(
        task=Task(
            id=TASK,
            node_id="xws1x4vpd1svg5xl41jzyf65m",
            addresses=((FRONT, "10.0.1.3"),),
            host_ports=(PublishedPort(target=8080, published=18080, mode=PublishMode.HOST),),
        ),
        service_id=WEB,
        running=True,
        state=("running", "running"),
    )


def test_network_and_node() -> None:
    """Each field of a real network and a real node."""
    assert convert.networks([NETWORK]).records == {
        FRONT: Network(id=FRONT, name="shop_net", stack="shop", subnets=("10.0.1.0/24",))
    }
    (record,) = convert.nodes([NODE]).records.values()
    assert record.node == Node(id=NODE["ID"], hostname="node1", address="192.0.2.1")
    assert record.up


@pytest.mark.parametrize(
    ("labels", "kept", "fleet"),
    [
        pytest.param({"com.docker.lb.hosts": "a"}, True, None, id="interlock"),
        pytest.param({"xds.hosts": "a"}, True, None, id="ours"),
        pytest.param({"com.docker.ucp.mesh.http": "x"}, True, None, id="hrm"),
        pytest.param({"com.docker.ucp.mesh.http.2": "x"}, True, None, id="hrm numbered"),
        pytest.param({"swarm-xds.fleet": "edge"}, True, "edge", id="fleet"),
        pytest.param({"swarm-xds.fleet": ""}, True, "", id="default fleet"),
        pytest.param({"com.docker.lbx": "a", "xds": "b", "my.xds.hosts": "c"}, False, None, id="alike only"),
        pytest.param({}, False, None, id="none"),
        pytest.param(None, False, None, id="null"),
        pytest.param(..., False, None, id="absent"),
    ],
)
def test_which_services_are_kept(labels: object, *, kept: bool, fleet: str | None) -> None:
    """A label of ours, or a fleet's, makes a service ours."""
    record = one_service(changed(SERVICE, "Spec.Labels", labels))
    assert (record.kept, record.fleet, record.relay) == (kept, fleet, False)


RELAY_LABELS = {"swarm-xds.relay": FRONT, "swarm-xds.relay.fleet": "edge"}


@pytest.mark.parametrize(
    ("labels", "relay"),
    [
        pytest.param(RELAY_LABELS, True, id="ours"),
        pytest.param(RELAY_LABELS | {"swarm-xds.fleet": "edge", "xds.hosts": "a"}, True, id="with other labels"),
        pytest.param({"swarm-xds.relay": FRONT}, False, id="alike only"),
    ],
)
def test_which_services_are_relays(labels: object, *, relay: bool) -> None:
    """A relay is nothing else, whatever labels somebody has added."""
    record = one_service(changed(SERVICE, "Spec.Labels", labels))
    assert (record.kept, record.relay, record.fleet) == (relay, relay, None)


def test_image_of_a_fleet() -> None:
    """Relays take it over; that of other services is nobody's business."""
    fleet = one_service(changed(SERVICE, "Spec.Labels", {"swarm-xds.fleet": "edge"}))
    assert (fleet.image, one_service(SERVICE).image) == ("app:1", "")


@pytest.mark.parametrize(
    ("path", "value", "field", "want"),
    [
        pytest.param("CreatedAt", ..., "created", 0, id="no creation time"),
        pytest.param("CreatedAt", "yesterday", "created", 0, id="odd creation time"),
        pytest.param("Spec.TaskTemplate.Networks", None, "network_ids", (), id="null networks"),
        pytest.param("Spec.TaskTemplate", ..., "network_ids", (), id="no task template"),
        pytest.param(
            "Spec.TaskTemplate.Networks", [{"Target": "b"}, {"Target": "a"}, 5], "network_ids", ("a", "b"), id="sorted"
        ),
        pytest.param("Endpoint", ..., "virtual_ips", (), id="no endpoint"),
        pytest.param("Endpoint.VirtualIPs", [{"NetworkID": FRONT}], "virtual_ips", (), id="dnsrr"),
        pytest.param("Endpoint.VirtualIPs", [{"NetworkID": FRONT, "Addr": "x/24"}], "virtual_ips", (), id="no address"),
        pytest.param("Spec.EndpointSpec", ..., "ports", (), id="no endpoint specification"),
        pytest.param(
            "Spec.EndpointSpec.Ports",
            [PORT_HOST | {"Protocol": "udp"}, {"TargetPort": 70000}, {}],
            "ports",
            (),
            id="no TCP port",
        ),
        pytest.param(
            "Endpoint.Ports",
            None,
            "ports",
            (
                PublishedPort(target=8080, published=18080, mode=PublishMode.HOST),
                PublishedPort(target=9000, published=0, mode=PublishMode.INGRESS),
            ),
            id="port not chosen yet",
        ),
        pytest.param(
            "Spec.Labels",
            {"xds.port": 8080, "xds.compress": True, "xds.hosts": None},
            "labels",
            (("xds.compress", "true"), ("xds.hosts", ""), ("xds.port", "8080")),
            id="labels that are no strings",
        ),
    ],
)
def test_service_with_something_missing(path: str, value: object, field: str, want: object) -> None:
    """What is absent, null or odd leaves its field empty and the rest as it is."""
    service = one_service(changed(SERVICE, path, value)).service
    assert getattr(service, field) == want
    assert service.name == "shop_web"


@pytest.mark.parametrize(
    ("mode", "status", "want"),
    [
        pytest.param({"Replicated": {"Replicas": 3}}, None, (3, False), id="replicated"),
        pytest.param({"Replicated": {"Replicas": 0}}, None, (0, False), id="scaled to zero"),
        pytest.param({"Global": {}}, None, (None, False), id="global"),
        pytest.param({"Global": {}}, {"State": "updating"}, (None, True), id="updating"),
        pytest.param({"Global": {}}, {"State": "rollback_started"}, (None, True), id="rolling back"),
        pytest.param({"Global": {}}, {"State": "completed"}, (None, False), id="updated"),
        pytest.param({"Global": {}}, {"State": "paused"}, (None, False), id="paused"),
    ],
)
def test_what_a_service_is_to_have(mode: object, status: object, want: tuple[int | None, bool]) -> None:
    """Wanted replicas and the state of an update."""
    record = one_service(changed(changed(SERVICE, "Spec.Mode", mode), "UpdateStatus", status))
    assert (record.replicas, record.updating) == want


@pytest.mark.parametrize(
    ("state", "desired", "running", "serving", "moving"),
    [
        pytest.param("running", "running", True, True, False, id="takes traffic"),
        pytest.param("running", "shutdown", True, False, True, id="to be stopped"),
        pytest.param("running", "remove", True, False, True, id="to be removed"),
        pytest.param("starting", "running", False, True, True, id="starting"),
        pytest.param("pending", "running", False, True, True, id="not placed"),
        pytest.param("ready", "ready", False, False, False, id="waiting for its turn"),
    ],
)
def test_task_states(state: str, desired: str, *, running: bool, serving: bool, moving: bool) -> None:
    """Running is what the container does, serving what the swarm wants of it."""
    raw = changed(changed(TASK_RAW, "Status.State", state), "DesiredState", desired)
    record = one_task(raw)
    assert record is not None
    assert (record.running, record.task.serving, record.moving) == (running, serving, moving)


@pytest.mark.parametrize("state", ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"])
def test_ended_tasks_are_none(state: str) -> None:
    """The engine's history of tasks is nobody's business."""
    assert one_task(changed(TASK_RAW, "Status.State", state)) is None


def test_ingress_is_known_by_id_too() -> None:
    """An attachment without the network's specification is recognised by the list of networks."""
    raw = changed(TASK_RAW, "NetworksAttachments", [{"Network": {"ID": INGRESS}, "Addresses": ["10.0.0.6/24"]}])
    assert convert.tasks([raw], frozenset({INGRESS})).records[TASK].task.addresses == ()  # type: ignore[union-attr]
    assert convert.tasks([raw]).records[TASK].task.addresses == ((INGRESS, "10.0.0.6"),)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "value", "want"),
    [
        pytest.param("Scope", "local", None, id="of one node"),
        pytest.param("Labels", None, Network(id=FRONT, name="shop_net", subnets=("10.0.1.0/24",)), id="no labels"),
        pytest.param("IPAM", ..., Network(id=FRONT, name="shop_net", stack="shop"), id="no subnets"),
        pytest.param(
            "IPAM.Config",
            [{"Subnet": "fd00::/64"}, {"Subnet": "10.2.0.1/16"}, {"Subnet": "all"}, {}],
            Network(id=FRONT, name="shop_net", stack="shop", subnets=("10.2.0.0/16", "fd00::/64")),
            id="two subnets",
        ),
        pytest.param(
            "Ingress",
            True,
            Network(id=FRONT, name="shop_net", stack="shop", ingress=True, subnets=("10.0.1.0/24",)),
            id="ingress",
        ),
        pytest.param(
            "Internal",
            True,
            Network(id=FRONT, name="shop_net", stack="shop", internal=True, subnets=("10.0.1.0/24",)),
            id="internal",
        ),
        pytest.param(
            "Options",
            {"encrypted": ""},
            Network(id=FRONT, name="shop_net", stack="shop", encrypted=True, subnets=("10.0.1.0/24",)),
            id="encrypted",
        ),
    ],
)
def test_networks(path: str, value: object, want: Network | None) -> None:
    """Networks of the swarm, with what they may lack."""
    assert convert.networks([changed(NETWORK, path, value)]).records == {FRONT: want}


@pytest.mark.parametrize(
    ("path", "value", "address", "up"),
    [
        pytest.param("Status.State", "down", "192.0.2.1", False, id="down"),
        pytest.param("Status.State", "disconnected", "192.0.2.1", False, id="disconnected"),
        pytest.param("Status.State", "unknown", "192.0.2.1", True, id="unknown to a new leader"),
        pytest.param("Status.Addr", "::", "192.0.2.1", True, id="listens everywhere"),
        pytest.param("Status.Addr", "192.0.2.9", "192.0.2.9", True, id="status first"),
        pytest.param("ManagerStatus", ..., "192.0.2.1", True, id="worker"),
        pytest.param("Status", None, "192.0.2.1", True, id="no status"),
    ],
)
def test_nodes(path: str, value: object, address: str, *, up: bool) -> None:
    """A node's address and whether its tasks can be reached."""
    (record,) = convert.nodes([changed(NODE, path, value)]).records.values()
    assert (record.node.address, record.up) == (address, up)


def test_node_without_an_address() -> None:
    """Where a node listens everywhere, an edge would find itself."""
    (record,) = convert.nodes([{"ID": "n", "Status": {"State": "ready", "Addr": "::"}}]).records.values()
    assert not record.node.address


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(changed(SERVICE, "Spec", ...), id="no specification"),
        pytest.param(changed(SERVICE, "Spec.Labels", ["a"]), id="labels are a list"),
        pytest.param(changed(SERVICE, "Endpoint", "none"), id="endpoint is a string"),
        pytest.param(changed(SERVICE, "Spec.TaskTemplate.Networks", {}), id="networks are an object"),
    ],
)
def test_unreadable_service(odd: dict[str, Any]) -> None:
    """It is named as unreadable with a problem, and the next one is converted."""
    other = changed(SERVICE, "ID", "other")
    batch = convert.services([odd, other])
    assert list(batch.records) == ["other"]
    assert batch.unreadable == {WEB}
    assert not batch.blind
    assert [(i, p.kind) for i, p in batch.problems] == [(WEB, Kind.BAD_VALUE)]


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, {"ID": 7}])
def test_object_without_an_id_makes_the_list_blind(odd: object) -> None:
    """Nobody knows which object it was, so none may be taken for absent."""
    batch = convert.services([odd, SERVICE])
    assert batch.blind
    assert list(batch.records) == [WEB]
    assert len(batch.problems) == 1


def test_label_that_cannot_be_a_string() -> None:
    """A label's list or object is a problem of that label; the service stays."""
    batch = convert.services([changed(SERVICE, "Spec.Labels", {"xds.hosts": ["a"], "xds.port": "1"})])
    assert batch.records[WEB].service.labels == (("xds.port", "1"),)
    assert [(p.service, p.label) for _, p in batch.problems] == [("shop_web", "xds.hosts")]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(raw: object, path: str = "") -> list[str]:
    """Return the dotted path of every value inside."""
    if not isinstance(raw, dict):
        return [path]
    below = [
        place for key, inner in raw.items() if "." not in key for place in places(inner, f"{path}.{key}".strip("."))
    ]
    return [path, *below] if path else below


@pytest.mark.parametrize(
    ("function", "raw"),
    [(convert.services, SERVICE), (convert.tasks, TASK_RAW), (convert.networks, NETWORK), (convert.nodes, NODE)],
    ids=["services", "tasks", "networks", "nodes"],
)
@given(data=st.data())
def test_never_raises(function: Callable[[Any], Any], raw: dict[str, Any], data: st.DataObject) -> None:
    """Whatever stands in any place of an object, it is converted, or named with a problem."""
    place = data.draw(st.sampled_from(places(raw)))
    batch = function([changed(raw, place, data.draw(ANY_JSON))])
    assert batch.records or batch.problems
    hash(tuple(batch.records.values()))


def test_labels_on_the_containers() -> None:
    """They have no effect there, unless the service itself has them too; nothing else is known of such a service."""
    container = {"Labels": {"com.docker.lb.hosts": "a.example", "xds.port": "80", "other": "x"}}
    raw = {
        "ID": WEB,
        "Spec": {"Name": "web", "Labels": {"xds.port": "80"}, "TaskTemplate": {"ContainerSpec": container}},
    }
    found = convert.services([raw])
    ((_, problem),) = found.problems
    assert (problem.kind, problem.service, problem.label, problem.value) == (
        *(Kind.MISPLACED_LABEL, "web"),
        *("com.docker.lb.hosts", "a.example"),
    )
    raw["Spec"]["Labels"] = {}
    alone = convert.services([raw])
    assert len(alone.problems) == 2
    assert not alone.records[WEB].kept


@pytest.mark.parametrize("mode", ["ReplicatedJob", "GlobalJob"])
def test_labels_on_a_job(mode: str) -> None:
    """Its tasks are to end; once is told, whatever number of labels it has, and nothing of a job without any."""
    raw: dict[str, Any] = {"ID": WEB, "Spec": {"Name": "web", "Labels": {"xds.port": "80", "xds.hosts": "a"}}}
    assert not convert.services([raw]).problems
    raw["Spec"]["Mode"] = {mode: {"MaxConcurrent": 1}}
    found = convert.services([raw])
    ((_, problem),) = found.problems
    assert not found.records[WEB].kept
    assert (problem.kind, problem.label, problem.value) == (Kind.MISPLACED_LABEL, "xds.hosts", "a")
    raw["Spec"]["Labels"] = {"other": "x"}
    assert not convert.services([raw]).problems
