"""From a document to the swarm's state, as if the stack were deployed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_xds.problem import Kind
from swarm_xds.sources.compose.convert import StackFile
from swarm_xds.sources.compose.files import read, together
from swarm_xds.swarm import Network, PublishedPort, PublishMode, Service


def file(text: str, name: str = "shop.yml", **environ: str) -> StackFile:
    """Return what a stack file means."""
    return read(Path(name), text.encode(), environ)


def only(stack: StackFile) -> Service:
    """Return the only service of a good file."""
    assert not stack.problems
    (service,) = stack.services
    return service


def test_a_service_has_its_stacks_name_and_its_own_tasks() -> None:
    """Names as the swarm would have them."""
    service = only(file("services: {web: {image: a, x-tasks: [10.0.0.2, '10.0.0.1:81']}}"))
    assert (service.id, service.name, service.stack, service.source) == ("shop_web", "shop_web", "shop", "shop.yml")
    assert service.network_ids == ("shop_default",)
    assert [(task.id, task.addresses, task.port) for task in service.tasks] == [
        ("shop_web@10.0.0.1:81", (("shop_default", "10.0.0.1"),), 81),
        ("shop_web@10.0.0.2", (("shop_default", "10.0.0.2"),), 0),
    ]


@pytest.mark.parametrize(
    ("path", "head", "stack"),
    [
        ("dir/shop.prod.yml", "", "shop"),
        ("My Shop.yml", "", "My-Shop"),
        ("...yml", "", "stack"),
        ("shop.yml", "name: other\n", "other"),
    ],
)
def test_the_stacks_name(path: str, head: str, stack: str) -> None:
    """The file's own, else the file's name without what cannot stand in one."""
    assert only(file(f"{head}services: {{web: {{image: a}}}}", path)).stack == stack


@pytest.mark.parametrize(
    ("text", "service", "reason"),
    [
        ("web: {image: a, labels: {xds.hosts: a.example}}", "", "it has no services:"),
        ("services: {web: {extends: {service: base}}}", "shop_web", "docker stack deploy does not know extends"),
    ],
)
def test_what_only_docker_compose_knows(text: str, service: str, reason: str) -> None:
    """It is read, as far as it goes, and said."""
    (problem,) = file(text).problems
    assert (problem.service, problem.reason) == (service, reason)


def test_labels_of_the_container_that_the_service_has_too() -> None:
    """They do no harm."""
    labels = "labels: {xds.hosts: a.example, xds.port: '80'}"
    assert not file(f"services: {{web: {{image: a, {labels}, deploy: {{{labels}}}}}}}").problems
    assert len(file(f"services: {{web: {{image: a, {labels}}}}}").problems) == 2


def test_a_bad_name_of_a_stack_is_a_problem_of_the_file() -> None:
    """The file then means nothing."""
    stack = file("name: 'a b'\nservices: {}")
    assert not stack.whole
    assert '"a b" is no name of a stack' in stack.problems[0].reason


@pytest.mark.parametrize(
    ("ports", "published"),
    [
        ("['80:8080']", [(8080, 80)]),
        ("['8080']", [(8080, 0)]),
        ("[8080]", [(8080, 0)]),
        ("['127.0.0.1:80:8080/tcp']", [(8080, 80)]),
        ("['[::1]:80:8080']", [(8080, 80)]),
        ("['80-81:8080-8081']", [(8080, 80), (8081, 81)]),
        ("['8080-8081']", [(8080, 0), (8081, 0)]),
        ("['53:53/udp']", []),
        ("[{target: 8080, published: '80', mode: host}]", [(8080, 80)]),
        ("[{target: 8080}]", [(8080, 0)]),
        ("[{target: 53, protocol: udp}]", []),
        ("", []),
    ],
)
def test_published_ports(ports: str, published: list[tuple[int, int]]) -> None:
    """Every form of the Compose specification; never in host mode, since x-tasks says where the tasks are."""
    service = only(file(f"services: {{web: {{ports: {ports}}}}}"))
    assert service.ports == tuple(
        PublishedPort(target=target, published=at, mode=PublishMode.INGRESS) for target, at in published
    )


def test_networks() -> None:
    """Own, named, external in both forms, and the default one that nobody declares."""
    stack = file(
        "services: {web: {networks: [a, b, c, d]}, other: {}}\n"
        "networks: {a: , b: {name: x}, c: {external: true}, d: {external: {name: y}}}"
    )
    assert {network.id: network for network in stack.networks} == {
        "shop_a": Network(id="shop_a", name="shop_a", stack="shop"),
        "x": Network(id="x", name="x", stack="shop"),
        "c": Network(id="c", name="c"),
        "y": Network(id="y", name="y"),
        "shop_default": Network(id="shop_default", name="shop_default", stack="shop"),
    }
    assert {service.name: service.network_ids for service in stack.services} == {
        "shop_web": ("c", "shop_a", "x", "y"),
        "shop_other": ("shop_default",),
    }


def test_variables_are_substituted_and_told_if_they_are_not_set() -> None:
    """With the environment of the control plane."""
    stack = file("services: {web: {deploy: {labels: {a: '${A}', b: '$B'}}}}", A="1")
    assert stack.services[0].labels == (("a", "1"), ("b", ""))
    (problem,) = stack.problems
    assert "variable B is not set" in problem.reason


def test_dnsrr_has_no_virtual_ip() -> None:
    """Else the service's name stands for it."""
    assert only(file("services: {web: {}}")).virtual_ips == (("shop_default", "web"),)
    assert only(file("services: {web: {deploy: {endpoint_mode: dnsrr}}}")).virtual_ips == ()


def test_a_bad_service_is_named_and_hides_no_other() -> None:
    """Its id is told too, so that its last good form can be kept."""
    stack = file("services: {bad: {deploy: 5}, good: {}}")
    assert stack.whole
    assert stack.bad == {"shop_bad"}
    assert [service.name for service in stack.services] == ["shop_good"]
    assert [problem.service for problem in stack.problems] == ["shop_bad"]


def test_of_two_files_with_one_service_the_first_holds() -> None:
    """And the second says so."""
    first, second = (file(f"name: s\nservices: {{web: {{x-tasks: [10.0.0.{n}]}}}}", f"{n}.yml") for n in (1, 2))
    state, problems = together([first, second])
    assert [task.addresses[0][1] for service in state.services for task in service.tasks] == ["10.0.0.1"]
    assert [(problem.kind, problem.source) for problem in problems] == [(Kind.DUPLICATE, "2.yml")]


SCALARS = st.none() | st.booleans() | st.integers(-1, 70_000) | st.text(max_size=12) | st.floats(allow_nan=False)
FIELDS = st.sampled_from(
    ["services", "networks", "name", "deploy", "labels", "ports", "x-tasks", "external", "target", "web", "default"]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=6), inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(FIELDS, TREES, max_size=4), st.binary(max_size=60))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_no_file_is_too_much(tree: dict[str, object], garbage: bytes) -> None:
    """Any tree and any bytes come to services and problems, never to an exception."""
    import yaml  # noqa: PLC0415 - only here

    for content in (yaml.safe_dump(tree).encode(), garbage, b"services: " + garbage):
        stack = read(Path("any.yml"), content, {})
        assert stack.whole or stack.problems
        for problem in stack.problems:
            assert str(problem).isprintable()
