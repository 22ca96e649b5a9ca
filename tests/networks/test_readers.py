"""From labels that name Docker secrets to the readers that have to stand in the swarm, and what they run."""

from dataclasses import replace
from typing import Any

import pytest

from swarm_xds.labels import parse
from swarm_xds.networks import specification
from swarm_xds.networks.home import RelayOptions
from swarm_xds.networks.readers import RunningReader, plan_readers, running_readers
from swarm_xds.networks.wanted import RelaySpec, SecretFile
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.swarm import FleetService, Network, Secret, Service, SwarmState, Task

EDGE = Network(id="n9", name="swarm-xds", subnets=("10.9.0.0/24",))
FLEET = FleetService(id="f1", name="swarm-xds_edge", fleet="default", image="edge:1", network_ids=("n9",))
PKI = tuple(
    Secret(id=f"p{number}", name=f"swarm-xds-{what}.v1", pki="fp1")
    for number, what in enumerate(("ca", "relay.crt", "relay.key", "control-plane.crt", "control-plane.key"))
)
IDENTITY = (
    SecretFile(id="p0", name="swarm-xds-ca.v1", file="authorities.crt"),
    SecretFile(id="p1", name="swarm-xds-relay.crt.v1", file="reader.crt"),
    SecretFile(id="p2", name="swarm-xds-relay.key.v1", file="reader.key"),
)


def service(name: str = "shop_web", stack: str = "shop", **labels: str) -> Service:
    """A routed service with TLS; ``ssl_cert="site.crt"``."""
    own = {"hosts": f"{name.replace('_', '-')}.example.org", "port": "80", **labels}
    given = {f"com.docker.lb.{key}" if "ca" not in key else f"xds.tls.{key}": value for key, value in own.items()}
    return Service(id=name, name=name, stack=stack, labels=tuple(sorted(given.items())))


def secret(name: str, stack: str = "", **more: Any) -> Secret:
    """A secret whose id tells its name."""
    return Secret(id=f"id-{name}", name=name, stack=stack, **more)


def state(*services: Service, secrets: tuple[Secret, ...] = (), **more: Any) -> SwarmState:
    """A swarm with a fleet and our own certificates."""
    return replace(
        SwarmState(
            services=services,
            networks=(EDGE,),
            fleet_networks=(("default", ("n9",)),),
            fleet_services=(FLEET,),
            secrets=(*PKI, *secrets),
        ),
        **more,
    )


def plan(swarm: SwarmState, *, asks: bool = True) -> tuple[list[RelaySpec], list[Problem]]:
    """Plan with a configuration that shows what it was made from."""
    intents = [(each, parse(each)[0]) for each in swarm.services]
    return plan_readers(
        swarm, intents, "default", RelayOptions(), lambda *given: repr(given).replace("'", ""), asks=asks
    )


def mounted(swarm: SwarmState) -> dict[str, list[str]]:
    """Return the names of the secrets that each stack's reader hands over."""
    return {reader.stack: [each.name for each in reader.secrets] for reader in plan(swarm)[0]}


PAIR = {"ssl_cert": "site.crt", "ssl_key": "site.key"}


@pytest.mark.parametrize(
    ("secrets", "labels", "expected"),
    [
        pytest.param(["shop_site.crt", "shop_site.key"], PAIR, ["shop_site.crt", "shop_site.key"], id="bare name"),
        pytest.param(
            ["shop_site.crt", "shop_site.key"],
            {"ssl_cert": "shop_site.crt", "ssl_key": "shop_site.key"},
            ["shop_site.crt", "shop_site.key"],
            id="the stack's prefix",
        ),
        pytest.param(["site.crt", "site.key"], PAIR, ["site.crt", "site.key"], id="external"),
        pytest.param(
            ["site.crt", "shop_site.crt", "site.key"], PAIR, ["shop_site.crt", "site.key"], id="the stack's own first"
        ),
        pytest.param(
            ["shop_site.crt", "shop_site.crt.v9", "shop_site.crt.v10", "shop_site.key"],
            PAIR,
            ["shop_site.crt.v10", "shop_site.crt.v9", "shop_site.key"],
            id="the two newest versions",
        ),
        pytest.param(["site.crt.v3"], {"ssl_cert": "site.crt.v3"}, ["site.crt.v3"], id="a version by its name"),
        pytest.param(["site.pem"], {"ssl_cert": "site.pem"}, ["site.pem"], id="both in one"),
        pytest.param(["people.crt"], {"client_ca": "people.crt"}, ["people.crt"], id="authorities of clients"),
        pytest.param(["other_site.crt", "shop_site.crt2", "siteXcrt"], PAIR, None, id="names that are only alike"),
    ],
)
def test_what_a_label_names(secrets: list[str], labels: dict[str, str], expected: list[str] | None) -> None:
    """By the rules of every certificate: exact, or a prefix of versions, in a stack by its name in the file too."""
    swarm = state(service(**labels), secrets=tuple(secret(name) for name in secrets))
    assert mounted(swarm) == ({"shop": sorted(expected, key=lambda name: f"id-{name}")} if expected else {})


def test_a_reader_belongs_to_the_stack_of_its_secrets() -> None:
    """So that whose removal takes the secrets takes it too: also where another stack's service names them."""
    swarm = state(
        service(ssl_cert="site.pem"),
        service("blog_web", "blog", ssl_cert="shop_site.pem"),
        service("alone", "", ssl_cert="common.pem"),
        secrets=(secret("shop_site.pem", "shop"), secret("common.pem")),
    )
    assert mounted(swarm) == {"shop": ["shop_site.pem"], "": ["common.pem"]}
    names = [reader.name for reader in plan(swarm)[0]]
    assert [name.rpartition("-")[0] for name in names] == ["swarm-xds-reader", "shop_0-swarm-xds-reader"]


def test_a_reader() -> None:
    """It stands on the fleet's network alone, runs once, and its configuration names files."""
    swarm = state(service(**PAIR), secrets=(secret("shop_site.crt", "shop"), secret("shop_site.key", "shop")))
    (reader,), problems = plan(swarm)
    assert problems == []
    assert (reader.network_id, reader.fleet_network_id, reader.replicas, reader.image) == ("", "n9", 1, "edge:1")
    assert reader.identity == IDENTITY
    folder = "/run/secrets"
    assert reader.configuration == (
        f"((10.9.0.0/24,), ({folder}/authorities.crt, {folder}/reader.crt, {folder}/reader.key), "
        f"{{id-shop_site.crt: {folder}/id-shop_site.crt, id-shop_site.key: {folder}/id-shop_site.key}})"
    )


def test_our_own_certificates_are_nobody_elses() -> None:
    """A label that names them is a label that names nothing."""
    assert plan(state(service(ssl_cert="swarm-xds-control-plane.crt", ssl_key="swarm-xds-control-plane.key"))) == (
        [],
        [],
    )


@pytest.mark.parametrize(
    ("pki", "used"),
    [
        pytest.param((), None, id="none"),
        pytest.param(PKI[:2], None, id="not whole"),
        pytest.param((*PKI[:2], replace(PKI[2], pki="fp2")), None, id="of two sets"),
        pytest.param(tuple(replace(each, pki="") for each in PKI), None, id="somebody else's"),
        pytest.param(
            (*PKI, *(replace(e, id=f"{e.id}b", name=f"{e.name[:-1]}10", pki="fp2") for e in PKI)), 10, id="newest"
        ),
        pytest.param((*PKI, replace(PKI[0], id="p9", name="swarm-xds-ca.v2", pki="fp2")), 1, id="newest whole one"),
    ],
)
def test_identity(pki: tuple[Secret, ...], used: int | None) -> None:
    """The newest whole set of ours is mounted; without one nothing is read, and the cure is told."""
    swarm = replace(state(service(ssl_cert="site.pem")), secrets=(*pki, secret("site.pem")))
    readers, problems = plan(swarm)
    assert [each.name for reader in readers for each in reader.identity] == (
        [f"swarm-xds-{what}.v{used}" for what in ("ca", "relay.crt", "relay.key")] if used else []
    )
    if not used:
        (problem,) = problems
        assert (problem.severity, problem.kind, problem.service) == (Severity.ERROR, Kind.UNREAD, "shop_web")
        assert (problem.label, problem.value) == ("com.docker.lb.ssl_cert", "site.pem")
        assert "swarm-xds pki init --docker" in problem.cure


@pytest.mark.parametrize(
    ("swarm", "asks", "reason"),
    [
        pytest.param(state(), False, "no certificate to ask for it with", id="no certificate of its own"),
        pytest.param(state(fleet_services=()), True, "no image", id="no image"),
        pytest.param(state(fleet_networks=(("default", ()),)), True, "no relay can meet it", id="no network"),
    ],
)
def test_what_makes_a_reader_impossible_is_told(swarm: SwarmState, reason: str, *, asks: bool) -> None:
    """To each service that names a secret, and to no other."""
    services = (service(ssl_cert="site.pem"), service("shop_plain"))
    readers, problems = plan(replace(swarm, services=services, secrets=(*PKI, secret("site.pem"))), asks=asks)
    assert readers == []
    assert [problem.service for problem in problems] == ["shop_web"]
    assert reason in problems[0].reason


def spec() -> RelaySpec:
    """A reader with one secret."""
    return plan(state(service(ssl_cert="site.pem"), secrets=(secret("shop_site.pem", "shop"),)))[0][0]


def test_specification() -> None:
    """Files for Envoy's own user alone; a label that says what control planes may ask for."""
    made = specification.service(spec(), "c1")
    container = made["task_template"]["ContainerSpec"]
    assert container["User"] == "101:101"
    assert [each["SecretName"] for each in container["Secrets"]] == [*(f.name for f in IDENTITY), "shop_site.pem"]
    assert container["Secrets"][-1] == {
        "SecretID": "id-shop_site.pem",
        "SecretName": "shop_site.pem",
        "File": {"Name": "id-shop_site.pem", "UID": "101", "GID": "101", "Mode": 0o400},
    }
    assert made["labels"] == {
        "com.docker.stack.namespace": "shop",
        "swarm-xds.relay": "secrets.shop",
        "swarm-xds.relay.fleet": "default",
        "swarm-xds.relay.fingerprint": spec().fingerprint,
        "swarm-xds.reader": "id-shop_site.pem",
    }
    assert made["task_template"]["Networks"] == [{"Target": "n9"}]
    assert made["mode"] == {"Replicated": {"Replicas": 1}}


def test_seed() -> None:
    """A reader that is just begun holds on to no secret and no config, and nobody asks it."""
    begun = specification.seed(spec())
    assert not {"Secrets", "Configs"} & begun["task_template"]["ContainerSpec"].keys()
    assert begun["mode"] == {"Replicated": {"Replicas": 0}}
    assert "swarm-xds.reader" not in begun["labels"]


def test_another_secret_is_another_reader() -> None:
    """Of the same name, so that it is updated; and by another config."""
    before = spec()
    secrets = (secret("shop_site.pem", "shop"), secret("shop_site.pem.v2", "shop"))
    (after,), _ = plan(state(service(ssl_cert="site.pem"), secrets=secrets))
    assert after.name == before.name
    assert after.config_name != before.config_name
    assert after.fingerprint != before.fingerprint


def test_running_readers() -> None:
    """Where they run and what they have; what is just begun, and a relay, are none.

    A label cannot give a secret another's name, or one that is not there.
    """
    labels = specification.service(spec(), "c1")["labels"]
    reader = Service(
        id="r1",
        name="reader",
        labels=tuple(sorted(labels.items())),
        tasks=(
            Task(id="t1", addresses=(("n9", "10.9.0.7"),)),
            Task(id="t2", addresses=(("n9", "10.9.0.8"),), serving=False),
        ),
    )
    begun = tuple(sorted(specification.seed(spec())["labels"].items()))
    relay = Service(id="r2", name="relay", labels=begun)
    there = (secret("shop_site.pem", "shop"), secret("other"))
    assert running_readers(SwarmState(relays=(reader, relay))) == ()
    assert running_readers(SwarmState(relays=(reader, relay), secrets=there)) == (
        RunningReader(addresses=("10.9.0.7",), secrets=(("id-shop_site.pem", "shop_site.pem"),)),
    )
