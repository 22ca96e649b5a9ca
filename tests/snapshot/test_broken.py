"""What breaks a rule is found in the part that it stands in, and only what is new is looked at."""

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message

from swarm_xds.memo import Memo
from swarm_xds.model import Backend, BackendShare, EdgeOptions, Fleet, Forward, Passthrough, Route, VirtualHost
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, broken
from swarm_xds.snapshot.rules import Violation, violations
from swarm_xds.translate import FleetMessages, translate

FLEET = Fleet(
    name="default",
    virtual_hosts=tuple(
        VirtualHost(
            host=f"{name}.example.org",
            routes=(Route(path="/", action=Forward(backends=(BackendShare(name, 1),)), services=(name,)),),
        )
        for name in "ab"
    ),
    backends=tuple(Backend(name=name, service=name) for name in "abc"),
    passthroughs=(Passthrough(host="c.example.org", backends=(BackendShare("c", 1),), services=("c",)),),
)


def messages() -> FleetMessages:
    """Return a fleet's messages."""
    return translate(FLEET, EdgeOptions(), Memo())


def copied(message: Any) -> Any:
    """Return another object of the same content."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def test_what_is_sound_is_not_broken() -> None:
    """All that is made here is."""
    assert broken(messages(), Memo()) == ()


def test_each_is_found_in_its_part() -> None:
    """Clusters and endpoints by their names, hosts and filter chains by theirs within."""
    given = messages()
    cluster, endpoints, host = copied(given.clusters[1]), copied(given.endpoints[2]), copied(given.virtual_hosts[0])
    cluster.connect_timeout.seconds = -1
    endpoints.policy.overprovisioning_factor.value = 0
    host.routes[0].route.cluster_not_found_response_code = 9
    listener = next(each for each in given.listeners if each.name == "https")
    bad = copied(listener)
    bad.filter_chains[0].filters[0].name = ""
    found = broken(
        replace(
            given,
            clusters=(given.clusters[0], cluster, given.clusters[2]),
            endpoints=(*given.endpoints[:2], endpoints),
            virtual_hosts=(host, given.virtual_hosts[1]),
            listeners=(bad,),
        ),
        Memo(),
    )
    assert [(each.type_url, each.name, each.part, each.violation.path, each.violation.rule) for each in found] == [
        (CLUSTER, "b", "", "connect_timeout", "duration.gt 0s"),
        (ENDPOINT, "c", "", "policy.overprovisioning_factor", "uint32.gt 0"),
        (LISTENER, "https", "c.example.org", "filters[0].name", "string.min_len"),
        (ROUTE, "http", "a.example.org", "routes[0].route.cluster_not_found_response_code", "enum.defined_only"),
    ]


def test_what_is_the_tables_own_is_found_too() -> None:
    """Beside the hosts that are looked at for themselves."""
    given = messages()
    table = copied(given.routes[0])
    table.virtual_hosts[-1].routes[0].direct_response.status = 1
    table.request_headers_to_add[0].header.key = ""
    table.virtual_hosts[0].routes[0].route.cluster_not_found_response_code = 9
    found = broken(replace(given, routes=(table, *given.routes[1:])), Memo())
    assert [(each.part, each.violation.path) for each in found] == [
        ("", "request_headers_to_add[0].header.key"),
        ("*", "routes[0].direct_response.status"),
    ]


def test_what_is_the_same_object_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a change costs what changed."""
    looked: list[str] = []

    def counting(message: Message, **more: Any) -> list[Violation]:
        looked.append(type(message).__name__)
        return violations(message, **more)

    monkeypatch.setitem(broken.__globals__, "violations", counting)
    memo, given = Memo(), messages()
    broken(given, memo)
    assert len(looked) > 10
    memo.sweep()
    looked.clear()
    broken(given, memo)
    assert looked == []
    memo.sweep()
    other = replace(given, virtual_hosts=(copied(given.virtual_hosts[0]), given.virtual_hosts[1]))
    broken(other, memo)
    assert looked == ["VirtualHost"]
