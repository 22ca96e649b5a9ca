"""What a deployment would change."""

import time
from dataclasses import replace

import pytest

from support.certificates import authority
from support.spoil import SPOILT, spoil_cluster_by_rule, spoiling
from support.story import NETWORK, Story, service
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold
from swarm_xds.debug.preview import Planned, Preview, What, preview
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.problem import Kind
from swarm_xds.swarm import Secret, Service


def plan(
    *there: Service,
    stacks: tuple[str, ...] = (),
    planned: tuple[Planned, ...] = (),
    known: tuple[str, ...] = (),
    files: dict[str, bytes] | None = None,
    secrets: tuple[str, ...] = (),
    pipeline: Pipeline | None = None,
) -> Preview:
    """Plan on a swarm of some services, with secrets that nobody has read and files that are read."""
    story = Story()
    held = hold(Held(), {name: read(name, content) for name, content in (files or {}).items()}, time.time())
    story.publish(*there, certificates=CertificatesReading(certificates=held.certificates))
    assert story.record.situation is not None
    there_are = tuple(Secret(id=name, name=name) for name in known)
    situation = replace(story.record.situation, state=replace(story.record.situation.state, secrets=there_are))
    return preview(situation, planned, stacks, pipeline or Pipeline(EdgeOptions(), "default"), secrets)


def would(name: str = "shop_web", *, networks: tuple[str, ...] = (NETWORK.name,), **labels: str) -> Planned:
    """Return a service as it would be."""
    given = {"hosts": "shop.example.org", "port": "80"} | labels
    return Planned(
        name=name,
        stack="shop",
        labels=tuple((f"com.docker.lb.{key}", value) for key, value in given.items()),
        networks=networks,
    )


def told(found: Preview) -> list[tuple[What, str, str, str]]:
    """Return the changes without their fleet."""
    return [(each.what, each.name, each.before, each.after) for each in found.changes]


def test_a_new_service_comes() -> None:
    """With its route and cluster; nobody else is touched."""
    found = plan(service("web"), planned=(would(),))
    assert told(found) == [
        (What.CLUSTER, "shop_web", "", "port 80 on edge"),
        (What.ROUTE, "shop.example.org/", "", "to shop_web"),
    ]
    assert not found.new


def test_nothing_changes_for_the_same() -> None:
    """Not even by the order of labels."""
    same = Planned(name="web", labels=service("web").labels, networks=(NETWORK.name,))
    assert told(plan(service("web", tasks=2), planned=(same,))) == []


def test_a_port_and_a_host_change() -> None:
    """Each is said as it was and as it would be."""
    changed = would("web", hosts="new.example.org", port="81")
    assert told(plan(service("web"), planned=(changed,))) == [
        (What.CLUSTER, "web", "port 80 on edge", "port 81 on edge"),
        (What.ROUTE, "new.example.org/", "", "to web"),
        (What.ROUTE, "web.example.org/", "to web", ""),
    ]


def test_a_service_that_is_not_in_its_stack_any_more_goes() -> None:
    """If the whole stack is given, as `docker stack deploy --prune` takes it."""
    there = Service(id="x", name="shop_old", stack="shop", labels=service("old").labels, network_ids=(NETWORK.id,))
    assert ("old.example.org/", "to shop_old", "") in [each[1:] for each in told(plan(there, stacks=("shop",)))]
    assert told(plan(there)) == []


def test_a_host_that_others_claim_is_shared_and_told() -> None:
    """A new service is the youngest, and has no task yet."""
    found = plan(service("web"), planned=(would(hosts="web.example.org", context_root="/"),))
    assert (What.ROUTE, "web.example.org/", "to web", "to shop_web 0%, web 100%") in told(found)


def test_a_new_service_is_younger_than_all_others() -> None:
    """Whatever its name: what can hold only once stays as it is."""
    found = plan(service("web"), planned=(would("a_new", hosts="web.example.org", ip_hash="true"),))
    assert [(each.service, "older service web" in each.reason) for each in found.new] == [("a_new", True)]


def test_problems_come_and_go() -> None:
    """A bad value keeps the route as it is, and says so."""
    found = plan(service("web", prot="1"), planned=(would("web", hosts="web.example.org", port="eighty"),))
    assert [each.label for each in found.gone] == ["com.docker.lb.prot"]
    assert [each.label for each in found.new] == ["com.docker.lb.port", ""]
    assert told(found) == [(What.CLUSTER, "web", "port 80 on edge", "in its last accepted form")]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"files": {"app.pem": authority().issue("shop.example.org").pair}}, id="it is there"),
        pytest.param({"known": ("app.pem",)}, id="it is a secret that no service has named yet"),
        pytest.param({"secrets": ("shop_app.pem",)}, id="it comes with the stack"),
        pytest.param({"secrets": ("shop_app.pem-2",)}, id="it comes with the stack, in a version"),
    ],
)
def test_a_certificate_is_not_missed(given: dict[str, object]) -> None:
    """Its host is served over TLS, in full."""
    found = plan(planned=(would(ssl_cert="app.pem"),), **given)  # type: ignore[arg-type]
    assert (What.ROUTE, "https://shop.example.org/", "", "to shop_web") in told(found)
    assert (What.CLUSTER, "shop_web", "", "port 80 on edge") in told(found)
    assert not found.new


def test_a_certificate_that_there_is_not_is_missed() -> None:
    """Neither here nor in the stack; one that is for another host is as good as none."""
    (missed,) = plan(planned=(would(ssl_cert="app.pem"),), secrets=("shop_other.pem",)).new
    assert 'there is no file or secret "app.pem"' in missed.reason
    other = {"app.pem": authority().issue("b.example.org").pair}
    assert "does not name" in plan(planned=(would(ssl_cert="app.pem"),), files=other).new[0].reason


def test_a_network_that_is_not_there_yet_is_the_new_stacks_own() -> None:
    """The fleet does not stand on it, which is a problem that would come."""
    found = plan(planned=(would(networks=("shop_front",)),))
    assert any("shop_front" in each.reason for each in found.new)


def test_what_would_break_a_rule_of_envoys_api_is_told() -> None:
    """A new service would be left out, one that is there stays as it is, and both say which rule it is."""
    pipeline = Pipeline(EdgeOptions(), "default", translator=spoiling("clusters", spoil_cluster_by_rule))
    planned = (would("web", hosts=f"{SPOILT}1.example.org"), would(hosts=f"{SPOILT}2.example.org"), would("fine"))
    found = plan(service("web"), planned=planned, pipeline=pipeline)
    assert [each[1] for each in told(found)] == ["fine", "shop.example.org/"]
    assert [(each.service, each.kind, each.reason.rpartition("; ")[2]) for each in found.new] == [
        ("shop_web", Kind.REJECTED, "the service is left out"),
        ("web", Kind.REJECTED, "the service is still served in its last accepted form"),
    ]
    assert all("duration.gt 0s" in each.reason for each in found.new)
