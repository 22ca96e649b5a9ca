"""Three views of one Envoy: what is intended, what it has acknowledged, and what it has by its own word."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer
import yaml
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.json_format import MessageToDict

from support.story import Story, service
from swarm_xds.cli.ask.client import Asked
from swarm_xds.cli.ask.compare import Finding, Has, compare, unequal
from swarm_xds.cli.ask.dumped import Differences, differences, show, take
from swarm_xds.cli.ask.envoy import Dump, DumpError, read
from swarm_xds.cli.ask.show import Style
from swarm_xds.debug import views
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

Json = dict[str, Any]
NODE = pb.Node(node="envoy-1", fleet="default", variant="delta", standing=pb.STANDING_CURRENT)
SINCE = "2026-11-27T13:00:00Z"
CERTIFICATE = "certificate/app.example.org"
LISTS = {
    CLUSTER: ("ClustersConfigDump", "dynamic_active_clusters", "cluster"),
    ENDPOINT: ("EndpointsConfigDump", "dynamic_endpoint_configs", "endpoint_config"),
    ROUTE: ("RoutesConfigDump", "dynamic_route_configs", "route_config"),
    SECRET: ("SecretsConfigDump", "dynamic_active_secrets", "secret"),
}


def intended() -> pb.GetSnapshotResponse:
    """Return what a fleet with two services and a certificate is to have."""
    build = Story().publish(service("shop"), service("web", tasks=2))
    found = views.snapshot("default", build.snapshots.of("default"))
    secret = Secret(name=CERTIFICATE)
    secret.tls_certificate.certificate_chain.inline_string = "chain"
    secret.tls_certificate.private_key.inline_bytes = b"[redacted]"
    found.resources.add(name=CERTIFICATE, version="v1").resource.Pack(secret)
    return found


class Dumped:
    """What an Envoy answers that has exactly this, and parts of it to be changed."""

    def __init__(self, snapshot: pb.GetSnapshotResponse) -> None:
        own = {"name": "own", "sds_config": {"path_config_source": {"path": "/own.yaml"}}}
        node = {"id": "envoy-1", "cluster": "default"}
        self.parts: dict[str, Json] = {
            "BootstrapConfigDump": {"bootstrap": {"node": node, "static_resources": {"clusters": [own]}}},
            "ListenersConfigDump": {"dynamic_listeners": []},
            **{part: {key: []} for part, key, _ in LISTS.values()},
        }
        for each in snapshot.resources:
            content = MessageToDict(each.resource, preserving_proto_field_name=True)
            if each.resource.type_url == LISTENER:
                state = {"version_info": each.version, "last_updated": SINCE, "listener": content}
                self.listeners.append({"name": each.name, "active_state": state})
                continue
            part, key, inside = LISTS[each.resource.type_url]
            added: Json = {"version_info": each.version, "last_updated": SINCE, inside: content}
            if each.resource.type_url == SECRET:
                added["name"] = each.name
            if each.resource.type_url == ENDPOINT:  # as Envoy writes them: of its own, and without a version
                content["policy"] = {"overprovisioning_factor": 140}
                for endpoint in (one for group in content.get("endpoints", ()) for one in group["lb_endpoints"]):
                    endpoint |= {"health_status": "HEALTHY", "load_balancing_weight": 1}
                    endpoint["endpoint"]["health_check_config"] = {}
                added = {inside: content}
            self.parts[part][key].append(added)
        self.secrets.append({"name": "own", "version_info": "", "secret": {"@type": SECRET, "name": "own"}})

    @property
    def listeners(self) -> list[Json]:
        """All listeners."""
        found: list[Json] = self.parts["ListenersConfigDump"]["dynamic_listeners"]
        return found

    @property
    def secrets(self) -> list[Json]:
        """All secrets that are in use."""
        found: list[Json] = self.parts["SecretsConfigDump"]["dynamic_active_secrets"]
        return found

    @property
    def clusters(self) -> Json:
        """The part of the clusters."""
        return self.parts["ClustersConfigDump"]

    @property
    def document(self) -> Json:
        """The whole answer."""
        return {"configs": [{"@type": f"type.googleapis.com/envoy.admin.v3.{name}", **part}
                            for name, part in self.parts.items()]}  # fmt: skip


def ask(
    change: Callable[[Dumped], object] = lambda _: None, node: pb.Node | None = NODE, *answered: pb.Difference
) -> list[Finding]:
    """Compare with an Envoy that has everything but for a change."""
    snapshot = intended()
    dumped = Dumped(snapshot)
    change(dumped)
    return compare(snapshot, node, answered, read(dumped.document))


def told(finding: Finding) -> tuple[str, str, Has, str]:
    """Return what a finding says, without its fields."""
    return finding.type_url.rpartition(".")[2], finding.name, finding.envoy, finding.acknowledged


def test_an_envoy_that_has_everything_has_no_finding() -> None:
    """Neither for what it adds to endpoints, nor for its own certificate from a file, nor in another form of values."""
    assert ask() == []

    def other_form(dumped: Dumped) -> None:
        for each in dumped.clusters["dynamic_active_clusters"]:
            each["cluster"]["connect_timeout"] = "0.500000s"

    assert ask(other_form) == []


def test_missing_extra_and_different() -> None:
    """By type and name, and the field that differs by its path."""

    def change(dumped: Dumped) -> None:
        shop, web = dumped.clusters["dynamic_active_clusters"]
        web["cluster"]["connect_timeout"] = "1s"
        dumped.clusters["dynamic_active_clusters"] = [web, {"cluster": shop["cluster"] | {"name": "old"}}]
        (routes,) = dumped.parts["RoutesConfigDump"]["dynamic_route_configs"]
        hosts = routes["route_config"]["virtual_hosts"]
        next(each for each in hosts if each["name"] == "web.example.org")["routes"][0]["route"]["cluster"] = "old"
        routes["route_config"]["virtual_hosts"] = [each for each in hosts if each["name"] != "shop.example.org"]

    found = ask(change)
    assert [told(each) for each in found] == [
        ("Cluster", "old", Has.EXTRA, "no"),
        ("Cluster", "shop", Has.MISSING, "yes"),
        ("Cluster", "web", Has.DIFFERENT, "yes"),
        ("RouteConfiguration", "http", Has.DIFFERENT, "yes"),
    ]
    assert [(each.path, each.intended, each.envoy) for each in found[2].fields] == [("connect_timeout", "0.500s", "1s")]
    host, cluster = found[3].fields
    assert (host.path, host.envoy, host.intended["name"]) == (
        "virtual_hosts[shop.example.org]",
        None,
        "shop.example.org",
    )
    assert (cluster.path, cluster.intended, cluster.envoy) == (
        "virtual_hosts[web.example.org].routes[0].route.cluster",
        "web",
        "old",
    )
    assert (found[2].since, bool(found[2].intended_version)) == (SINCE, True)


def test_endpoints_go_by_their_address() -> None:
    """One that is not there, one that should not be, and a relay in between."""

    def change(dumped: Dumped) -> None:
        groups = dumped.parts["EndpointsConfigDump"]["dynamic_endpoint_configs"]
        (web,) = [each for each in groups if each["endpoint_config"]["cluster_name"] == "web"]
        first, second = web["endpoint_config"]["endpoints"][0]["lb_endpoints"]
        first["endpoint"]["address"]["socket_address"]["port_value"] = 81
        second["metadata"] = {"filter_metadata": {"x": {}}}
        # Of a cluster with names from DNS Envoy lists what the names stand for.
        groups.append({"endpoint_config": {"@type": ENDPOINT, "cluster_name": "by-name"}})

    (found,) = ask(change)
    assert told(found) == ("ClusterLoadAssignment", "web", Has.DIFFERENT, "yes")
    assert [(each.path, each.intended, each.envoy) for each in found.fields] == [
        ("10.9.0.10:80", {}, None),
        ("10.9.0.10:81", None, {}),
        ("10.9.0.11:80.metadata", None, {"filter_metadata": {"x": {}}}),
    ]


def test_a_secret_is_told_by_its_version() -> None:
    """Its content is redacted on both sides; only the incremental variant has a version for each."""

    def change(dumped: Dumped) -> None:
        dumped.secrets[0]["version_info"] = "v0"

    (found,) = ask(change)
    assert [(each.path, each.intended, each.envoy) for each in found.fields] == [
        ("(redacted)", "version v1", "version v0")
    ]
    assert ask(change, pb.Node(node="envoy-1", variant="sotw", standing=pb.STANDING_CURRENT)) == []


def test_what_waits_is_not_in_use_yet() -> None:
    """With the fields of what is in use instead, if there is something."""

    def change(dumped: Dumped) -> None:
        shop, web = dumped.clusters["dynamic_active_clusters"]
        older = {**web, "cluster": web["cluster"] | {"connect_timeout": "1s"}}
        dumped.clusters.update(dynamic_active_clusters=[older], dynamic_warming_clusters=[shop, web])
        dumped.listeners[0]["warming_state"] = dumped.listeners[0].pop("active_state")

    found = ask(change)
    assert [(each.name, each.envoy, [field.path for field in each.fields]) for each in found] == [
        ("shop", Has.WARMING, []),
        ("web", Has.WARMING, ["connect_timeout"]),
        ("http", Has.WARMING, []),
    ]


def test_a_listener_that_was_refused_has_envoys_words() -> None:
    """Also where there is none from before."""

    def change(dumped: Dumped) -> None:
        (listener,) = dumped.listeners
        del listener["active_state"]
        listener["error_state"] = {"details": "address in use"}

    (found,) = ask(change)
    assert (told(found), found.reason) == (("Listener", "http", Has.MISSING, "yes"), "address in use")


def test_a_listener_that_is_being_drained_is_nobodys() -> None:
    """It is on its way out."""
    assert ask(lambda dumped: dumped.listeners.append({"name": "old", "draining_state": {"version_info": "1"}})) == []


def test_what_was_not_acknowledged_is_a_finding_too() -> None:
    """Though the Envoy has it by now; what is not known is answered by the Envoy itself."""
    difference = pb.Difference(
        fleet="default", node="envoy-1", type_url=CLUSTER, name="web", kind=pb.Difference.KIND_OTHER, refused="bad"
    )
    unknown = pb.Difference(fleet="default", node="envoy-1", type_url=ROUTE, kind=pb.Difference.KIND_UNKNOWN)
    gone = pb.Difference(node="envoy-1", type_url=CLUSTER, name="old", kind=pb.Difference.KIND_EXTRA)
    found = ask(lambda _: None, NODE, difference, unknown, gone)
    assert [(told(each), each.reason) for each in found] == [
        (("Cluster", "old", Has.SAME, "still"), ""),
        (("Cluster", "web", Has.SAME, "another version"), "bad"),
    ]


def test_an_envoy_that_has_no_stream_here() -> None:
    """Another control plane may have it: what it has is compared all the same."""
    for node in (None, pb.Node(node="envoy-1", standing=pb.STANDING_GONE)):
        (found,) = ask(lambda dumped: dumped.secrets.pop(0), node)
        assert told(found) == ("Secret", CERTIFICATE, Has.MISSING, "not connected")


def test_a_resource_of_a_type_that_is_not_known() -> None:
    """A newer Envoy, or somebody else's filter: the rest is compared."""

    def change(dumped: Dumped) -> None:
        chain = dumped.listeners[0]["active_state"]["listener"]["filter_chains"][0]
        chain["filters"][0]["typed_config"] = {"@type": "type.googleapis.com/no.such.Type"}

    (found,) = ask(change)
    assert told(found) == ("Listener", "http", Has.UNREADABLE, "yes")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "not what Envoy answers"),
        ({}, "not what Envoy answers"),
        ({"configs": [1]}, "not what Envoy answers"),
        ({"configs": []}, "ask for /config_dump\\?include_eds"),
        ({"configs": [each for each in Dumped(intended()).document["configs"] if "Endpoints" not in each["@type"]]},
         "EndpointsConfigDump missing"),
        ({"configs": [{**each, "dynamic_listeners": ["x"]} for each in Dumped(intended()).document["configs"]]},
         "not what Envoy answers"),
    ],
)  # fmt: skip
def test_a_document_that_is_no_dump(document: object, reason: str) -> None:
    """Or not a whole one: a part that was left out must not count as missing resources."""
    with pytest.raises(DumpError, match=reason):
        read(document)


@pytest.mark.parametrize(
    ("file", "admin", "status", "reason"),
    [
        ("", "http://127.0.0.1:1", 3, "admin interface http://127.0.0.1:1: "),
        ("", "ftp://x", 2, "--admin ftp://x: not a URL such as "),
        (".", "", 2, ".: Is a directory"),
        (__file__, "", 2, "not JSON"),
        ("x", "y", 2, "--config-dump and --admin exclude each other"),
    ],
)
def test_a_dump_that_cannot_be_had(
    capsys: pytest.CaptureFixture[str], file: str, admin: str, status: int, reason: str
) -> None:
    """The reason, and a status of its own where nobody answers."""
    with pytest.raises(typer.Exit) as caught:
        take(file, admin)
    assert (caught.value.exit_code, reason in capsys.readouterr().err) == (status, True)


def test_an_envoy_without_a_name_is_asked_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    """No name would stand for all proxies."""
    with pytest.raises(typer.Exit):
        differences(Asked(), Dump(node="", fleet=""), node="", fleet="")
    assert "say with --node which one it is" in capsys.readouterr().err


def test_an_envoy_of_another_control_plane_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was never here has no differences to ask for."""
    debug = Mock(spec_set=("GetSnapshot", "ListNodes", "Diff"))
    debug.GetSnapshot.return_value = pb.GetSnapshotResponse(fleet="default")
    debug.ListNodes.return_value = pb.ListNodesResponse(nodes=[pb.Node(node="envoy-1")])
    debug.Diff.return_value = pb.DiffResponse()
    monkeypatch.setattr("swarm_xds.cli.ask.dumped.connect", lambda _: contextlib.nullcontext(debug))
    assert differences(Asked(), Dump(node="envoy-2", fleet=""), node="", fleet="").findings == ()
    debug.Diff.assert_not_called()
    differences(Asked(), Dump(node="envoy-1", fleet=""), node="", fleet="")
    debug.Diff.assert_called_once()


def test_an_envoy_that_went_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its differences are not known, as it has no stream."""
    debug = Mock(spec_set=("GetSnapshot", "ListNodes", "Diff"))
    debug.GetSnapshot.return_value = intended()
    debug.ListNodes.return_value = pb.ListNodesResponse(nodes=[pb.Node(node="envoy-1", standing=pb.STANDING_GONE)])
    monkeypatch.setattr("swarm_xds.cli.ask.dumped.connect", lambda _: contextlib.nullcontext(debug))
    found = differences(Asked(), read(Dumped(intended()).document), node="", fleet="")
    assert (found.node, found.findings) == ("envoy-1", ())
    debug.Diff.assert_not_called()


@pytest.mark.parametrize("style", Style)
def test_a_full_disk_is_said_in_one_line(
    style: Style, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a stack trace."""
    with contextlib.suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(typer.Exit) as caught:
            show(Differences(fleet="default", node="envoy-1", findings=()), style)
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "swarm-xds: cannot write: No space left on device\n"


def test_documents_have_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON and YAML say the same."""
    (finding,) = ask(lambda dumped: dumped.secrets.pop(0))
    found = Differences(fleet="default", node="envoy-1", findings=(finding,))
    show(found, Style.JSON)
    document = json.loads(capsys.readouterr().out)
    show(found, Style.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == document
    assert document == {
        "fleet": "default",
        "node": "envoy-1",
        "findings": [
            {
                "type_url": SECRET,
                "name": CERTIFICATE,
                "envoy": "missing",
                "acknowledged": "yes",
                "intended_version": "v1",
                "envoy_version": "",
                "since": "",
                "fields": [],
                "reason": "",
            }
        ],
    }


@pytest.mark.parametrize(
    ("intended", "envoy", "paths"),
    [
        ({"a": [{"name": "x"}, {"name": "y"}]}, {"a": [{"name": "y"}, {"name": "x"}]}, ["a(order)"]),
        ({"a": [{"name": "x"}, {"name": "x"}]}, {"a": [{"name": "x"}]}, ["a[1]"]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, ["a[1]", "a[2]"]),
        ({"a": {"b": 1}}, {"a": 1}, ["a"]),
        ({}, {"a": {"b": 1}}, ["a"]),
    ],
)
def test_paths(intended: Json, envoy: Json, paths: list[str]) -> None:
    """Elements go by their names, or else by their places."""
    assert [each.path for each in unequal(intended, envoy)] == paths
