"""A snapshot is whole, its versions follow from its bytes, and what is unchanged is the same object."""

import time
from dataclasses import replace
from typing import Any

import pytest

from support.certificates import authority
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.values import Certificate, TlsChallenge
from swarm_xds.memo import Memo
from swarm_xds.model import (
    Backend,
    BackendShare,
    EdgeOptions,
    Endpoint,
    Fleet,
    Forward,
    Route,
    SecureHost,
    ServerTls,
    UpstreamTls,
    VirtualHost,
)
from swarm_xds.snapshot import (
    ADS_ORDER,
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    InconsistentError,
    Resource,
    Resources,
    Snapshot,
    Snapshots,
    snapshot,
)
from swarm_xds.translate import FleetMessages, translate

OPTIONS = EdgeOptions()


def fleet(*names: str, address: str = "10.0.0.1") -> Fleet:
    """Return a fleet with a host and a backend of each name."""
    return Fleet(
        name="default",
        virtual_hosts=tuple(
            VirtualHost(
                host=name,
                routes=(Route(path="/", action=Forward(backends=(BackendShare(name, 1),)), services=(name,)),),
            )
            for name in names
        ),
        backends=tuple(Backend(name=name, service=name, endpoints=(Endpoint(address, 80),)) for name in names),
    )


def made(model: Fleet, memo: Memo | None = None) -> Snapshot:
    """Return a fleet's snapshot."""
    memo = memo or Memo()
    result = snapshot(translate(model, OPTIONS, memo), memo)
    memo.sweep()
    return result


def messages(*names: str) -> FleetMessages:
    """Return the messages of a fleet."""
    return translate(fleet(*names), OPTIONS, Memo())


def test_each_type_is_there_with_its_names() -> None:
    """Clusters and endpoints by backend, one listener and one route configuration."""
    whole = made(fleet("b", "a"))
    assert {type_url: list(whole.of(type_url)) for type_url in ADS_ORDER if whole.of(type_url)} == {
        CLUSTER: ["a", "b"],
        ENDPOINT: ["a", "b"],
        LISTENER: ["http"],
        ROUTE: ["http"],
    }


def test_equal_content_has_equal_versions_and_other_content_others() -> None:
    """On every replica and after every restart, and per resource, type and whole."""
    one, same, other = made(fleet("a", "b")), made(fleet("b", "a")), made(fleet("a", "b", address="10.0.0.2"))
    assert one.of(CLUSTER).version == same.of(CLUSTER).version
    assert one.of(ROUTE).version != same.of(ROUTE).version, "the model's order of hosts is the message's"
    assert one.of(ENDPOINT).version != other.of(ENDPOINT).version
    assert one.of(CLUSTER)["a"].version == other.of(CLUSTER)["a"].version
    assert one.version != other.version
    assert made(fleet("a", "b")).version == one.version


def test_what_is_unchanged_is_the_same_object() -> None:
    """A change of one backend leaves the others' resources and messages alone."""
    memo = Memo()
    before = made(fleet("a", "b"), memo)
    model = fleet("a", "b")
    changed = replace(model.backends[1], endpoints=())
    after = made(replace(model, backends=(model.backends[0], changed)), memo)
    assert after.of(ENDPOINT)["a"] is before.of(ENDPOINT)["a"]
    assert after.of(ENDPOINT)["b"].version != before.of(ENDPOINT)["b"].version
    assert after.of(CLUSTER) is before.of(CLUSTER)
    assert after.of(ROUTE) is before.of(ROUTE)


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        pytest.param(replace(messages("a", "b"), endpoints=messages("a").endpoints), "b", id="no endpoints"),
        pytest.param(replace(messages("a"), endpoints=messages("a", "b").endpoints), "b", id="endpoints of nobody"),
        pytest.param(
            replace(messages("a"), virtual_hosts=messages("a", "b").virtual_hosts), "b", id="a route that leads nowhere"
        ),
        pytest.param(
            replace(messages("a", "b"), virtual_hosts=messages("a").virtual_hosts), "b", id="a cluster of no route"
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(broken: FleetMessages, name: str) -> None:
    """Such a snapshot is never published; the message names what is missing."""
    with pytest.raises(InconsistentError, match=rf"\['{name}'\]"):
        snapshot(broken, Memo())


CA = authority()


def certificate(*hosts: str) -> Certificate:
    """Return a certificate for hosts."""
    made = hold(Held(), {"site.pem": read("site.pem", CA.issue(*hosts).pair)}, time.time())
    return made.certificates.certificates[0]


def secured(served: Certificate, **tls: Any) -> Fleet:
    """Return a fleet with a host over TLS, whose tasks speak TLS too, through a relay."""
    plain = fleet("a")
    host = SecureHost(virtual_host=plain.virtual_hosts[0], tls=ServerTls(certificate=served, **tls))
    backend = replace(plain.backends[0], relayed=True, tls=UpstreamTls(authorities=CA.cert))
    return replace(plain, secure_hosts=(host,), backends=(backend,))


def test_every_secret_that_is_referred_to_is_there_and_no_other() -> None:
    """Of listeners and of clusters, also inside of the way through a relay."""
    whole = translate(secured(certificate("a"), client_ca=CA.cert), replace(OPTIONS, http3=True), Memo())
    assert {each.name for each in whole.secrets} == {"certificate/a", "client-ca/a", "backend-ca/a"}
    snapshot(whole, Memo())
    for number, each in enumerate(whole.secrets):
        others = whole.secrets[:number] + whole.secrets[number + 1 :]
        with pytest.raises(InconsistentError, match=rf"secrets differ by \['{each.name}'\]"):
            snapshot(replace(whole, secrets=others), Memo())
    routes = tuple(each for each in whole.routes if each.name == "http")
    with pytest.raises(InconsistentError, match=r"routes differ by \['https/a'\]"):
        snapshot(replace(whole, routes=routes), Memo())


def test_nothing_that_is_built_shows_a_key() -> None:
    """Not a model, its messages or a snapshot, nor a resource by itself."""
    model = secured(certificate("a"))
    whole = translate(model, OPTIONS, Memo())
    built = snapshot(whole, Memo())
    resource = built.of(SECRET)["certificate/a"]
    assert b"PRIVATE KEY" in resource.value
    for each in (model, whole, built, resource, list(built.of(SECRET).values())):
        assert "PRIVATE KEY" not in repr(each)


def test_a_rotation_changes_one_secret_and_nothing_else() -> None:
    """Not the listener, nor a cluster: what refers to a secret does so by the name of its host."""
    memo = Memo()
    old, new = (made(secured(certificate("a")), memo) for _ in range(2))
    assert [url for url in ADS_ORDER if old.of(url).version != new.of(url).version] == [SECRET]
    assert old.of(SECRET)["backend-ca/a"] is new.of(SECRET)["backend-ca/a"]
    assert old.of(LISTENER)["https"] is new.of(LISTENER)["https"]


def test_two_resources_of_one_name_are_refused() -> None:
    """XDS forbids it, and Envoy would refuse the whole response."""
    with pytest.raises(ValueError, match="two resources are named 'a'"):
        Resources([Resource.of("a", b"1"), Resource.of("b", b"2"), Resource.of("a", b"3")])
    twice = messages("a")
    twice = replace(twice, clusters=twice.clusters * 2)
    with pytest.raises(ValueError, match="two resources are named 'a'"):
        snapshot(twice, Memo())


def test_an_unknown_fleet_gets_the_empty_snapshot_and_no_name_the_default_one() -> None:
    """An Envoy of a fleet that no service names has listeners, and answers that nobody is there."""
    default, empty = made(fleet("a")), made(Fleet(name=""))
    every = Snapshots(fleets={"default": default}, empty=empty, default="default")
    assert every.of("") is default
    assert every.of("default") is default
    assert every.of("other") is empty
    assert list(empty.of(LISTENER)) == ["http"]


def test_versions_have_a_memory_of_names_too() -> None:
    """The names and versions of a set are told apart, however they are put together."""
    assert Resources([Resource("a", b"", "bc")]).version != Resources([Resource("ab", b"", "c")]).version


def test_a_fleet_without_a_host_over_tls_answers_an_authority() -> None:
    """The listener comes up for it, and names no routes."""
    challenge = TlsChallenge(host="a", certificate=certificate("a"))
    whole = translate(replace(fleet("a"), tls_challenges=(challenge,)), replace(OPTIONS, http3=True), Memo())
    assert [each.name for each in whole.listeners] == ["http", "https"]
    assert [each.name for each in whole.listeners[1].filter_chains] == ["challenge/a"]
    assert [each.name for each in whole.routes] == ["http"]
    assert [each.name for each in whole.secrets] == ["challenge/a"]
    snapshot(whole, Memo())
