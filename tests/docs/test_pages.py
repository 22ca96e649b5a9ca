"""The documentation: printed pages are current, the site builds, and every command and snippet in it is good.

Ours are run where they need no swarm and no control plane, and parsed where they do. Those of others are in a table
that says who runs them, and the files that they name are there. Snippets of stack files go through ``validate``.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from support.allowed import allowed, calls
from support.command import command
from support.engine import FakeEngine
from swarm_xds.cli.main import application
from swarm_xds.cli.reference import KINDS, pages
from swarm_xds.problem import Kind
from swarm_xds.settings import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: A block of commands by its indentation.
_INDENTED = re.compile(r"(?:^    \S.*\n)+(?:^      \S.*\n)*", re.MULTILINE)
_COMMAND = re.compile(r"    (?:[A-Z_]+=\S+ )*(?:docker|curl|make|swarm-xds) ")
_OURS = re.compile(
    r"(?:^swarm-xds|^docker run .*(?:control-plane(?::\S+)?|CONTROL_PLANE_IMAGE)|^docker exec .* swarm-xds) (.+)"
)
#: Ours that need neither a swarm nor a control plane, unless one of these words is among their own.
OFFLINE = {"validate", "translate", "migrate", "bootstrap", "labels", "pki init", "pki renew"}
ONLINE = {"--docker", "--swarm"}
#: How commands of others begin, and where they are run as they stand there, or nearly.
OTHERS = {
    "docker network create": "tests/support/lab.py",
    "docker build": "tests/support/images.py",
    "docker run": "tests/lab",
    "docker exec": "tests/lab",
    "docker stack deploy": "tests/lab",
    "docker stack rm": "tests/lab",
    "docker stack services": "tests/lab",
    "docker service update": "tests/lab",
    "docker service logs": "tests/lab",
    "docker config inspect": "by hand, on an engine with Interlock",
    "docker push": "by hand, with a registry",
    "export": "tests/lab/test_first_steps.py",
    "openssl req": "tests/lab/test_first_steps.py",
    "swarm-xds()": "tests/lab/test_first_steps.py",
    "curl": "tests/features",
    "grpcurl": "tests/debug, by reflection",
    "make demo": "the continuous integration",
    "make test": "the continuous integration",
}
#: Words that stand for something of the reader's.
PLACES = {"DIR": "certs", "FILE": "snapshot", "NAME": "shop"}


@pytest.mark.parametrize("name", sorted(pages()))
def test_printed_pages_are_those_of_the_code(name: str) -> None:
    """`make docs` writes them."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_every_kind_of_problem_has_its_cause_and_cure() -> None:
    """Also one that is new."""
    assert KINDS.keys() == set(Kind)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every link leads somewhere."""
    arguments = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "security" / "index.html").is_file()


def blocks() -> Iterator[tuple[str, str, str]]:
    """Return page, language and content of each block; an indented one is of commands."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        yield from ((page.name, *found) for found in _BLOCK.findall(text))
        yield from (
            (page.name, "", found) for found in _INDENTED.findall(_BLOCK.sub("", text)) if _COMMAND.match(found)
        )


def lines() -> Iterator[str]:
    """Return each command line: without a comment, what it is piped into, and variables before it."""
    for _, language, block in blocks():
        if language in {"", "sh"}:
            for line in block.replace("\\\n", " ").splitlines():
                call = re.sub(r"\$\(.*?\)", "x", line)
                for part in re.split(r" && | \| ", call.split(" #")[0].split(" > ")[0]):
                    yield re.sub(r"^(?:[A-Z_]+=\S+ )+", "", " ".join(part.split()))


def ours() -> set[str]:
    """Return the calls of our command, those in a container among them."""
    found = (_OURS.search(line) for line in lines())
    return {match[1] for match in found if match}


def others() -> set[str]:
    """Return all other calls."""
    return {line for line in lines() if line and not line.startswith("swarm-xds ")}


def name_of(words: list[str]) -> str:
    """Return a command's name, with that of its group."""
    return " ".join(words[:2]) if words[0] in {"pki", "context"} else words[0]


@pytest.mark.parametrize("call", sorted(ours()))
def test_each_command_is_one_that_there_is(call: str) -> None:
    """With options and arguments that it takes."""
    group = typer.main.get_command(application())
    words = shlex.split(call)
    while isinstance(group, click.Group):
        name = words.pop(0)
        found = group.get_command(click.Context(group), name)
        assert found is not None, name
        group = found
    group.make_context(group.name, [word for word in words if word not in {"--help"}])


STACK = """\
services:
  web:
    image: example/web
    networks: [front]
    deploy:
      labels:
        com.docker.lb.hosts: web.example.org
        com.docker.lb.port: "8080"
        com.docker.lb.network: front
networks:
  front:
"""


@pytest.mark.parametrize("call", sorted(call for call in ours() if name_of(shlex.split(call)) in OFFLINE))
def test_each_command_that_needs_no_swarm_runs(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with what the pages speak of."""
    words = [PLACES.get(word, word) for word in shlex.split(call) if word not in ONLINE]
    if name_of(words) == "migrate" and words == ["migrate"]:
        words.append("stack.yml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "certs").mkdir()
    (tmp_path / "stack.yml").write_text(STACK, encoding="utf-8")
    (tmp_path / "interlock.toml").write_text('ListenAddr = ":8080"\n', encoding="utf-8")
    if name_of(words) == "pki renew":
        assert CliRunner().invoke(application("pki"), ["pki", "init", "pki"]).exit_code == 0
    words = ["pki" if word == "/pki" else word for word in words]
    result = CliRunner().invoke(application(words[0]), words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("call", sorted(others()))
def test_each_command_of_others_is_known_and_names_files_that_there_are(call: str) -> None:
    """A new kind of command needs its row in the table, and somebody who runs it."""
    assert any(call == known or call.startswith(f"{known} ") for known in OTHERS), call
    words = shlex.split(call.replace("<", "").replace(">", ""))
    for option, name in pairwise(words):
        if option in {"--compose-file", "--file"} and name not in {"stack.yml", "own.yml"}:
            assert (ROOT / name).is_file(), name
    if words[:2] == ["docker", "build"]:
        assert (ROOT / words[-1]).is_dir()
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def snippets() -> list[tuple[str, str]]:
    """Return page and content of each stack file that is shown."""
    return [(page, block) for page, language, block in blocks() if language == "yaml"]


@pytest.mark.parametrize(("page", "text"), [pytest.param(*each, id=f"{each[0]}-{n}") for n, each in
                                            enumerate(snippets())])  # fmt: skip
def test_each_stack_file_is_good(page: str, text: str, tmp_path: Path) -> None:
    """What is left out of it on purpose is not missed: networks that a service names and the snippet does not."""
    document = yaml.safe_load(text)
    assert "services" in document, page
    for service in document["services"].values():
        for name in service.get("networks", ()):
            document.setdefault("networks", {}).setdefault(name, None)
    file = tmp_path / "stack.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    result = CliRunner().invoke(application("validate"), ["validate", "--strict", str(file)])
    assert result.exit_code == 0, result.output


def test_each_setting_in_a_snippet_is_one_that_there_is() -> None:
    """As an environment variable, with a value that it takes."""
    given = {
        name: value
        for _, text in snippets()
        for service in yaml.safe_load(text)["services"].values()
        for name, value in service.get("environment", {}).items()
    }
    assert given
    load({}, given)


def test_there_is_something_to_be_tested() -> None:
    """Else the tests above would pass on nothing."""
    assert len(ours()) > 20
    assert len(others()) > 15
    assert len(snippets()) > 6


def test_all_that_is_asked_of_an_engine_is_on_the_list() -> None:
    """The allow-list of the security page: the fake engine answers nothing else, in any test."""
    with FakeEngine() as engine:
        edge = engine.add_network("swarm-xds", subnet="10.9.0.0/24")
        front = engine.add_network("shop_front", subnet="10.1.0.0/24", stack="shop")
        engine.add_service("swarm-xds_edge", labels={"swarm-xds.fleet": "default"}, networks=[edge], tasks=1)
        labels = {"com.docker.lb.hosts": "shop.example.org", "com.docker.lb.port": "8080"}
        engine.add_service("shop_web", labels=labels, networks=[front], tasks=1)
        assert command("networks", "--plan", "--docker-host", engine.url).returncode == 0
        assert command("uninstall", "--docker-host", engine.url).returncode == 0
        asked = set(engine.calls)
    assert {("GET", "/services"), ("GET", "/tasks"), ("GET", "/configs")} <= asked
    assert all(allowed(*call) for call in asked)
    assert not allowed("POST", "/containers/create")
    assert not allowed("GET", "/secrets/x")


def test_nothing_is_on_the_list_that_nobody_asks_for() -> None:
    """Each row has its call in the code: by the SDK, whose methods bear the names of what they call."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("sources/docker", "networks", "pki")
        for path in (ROOT / "xds" / "swarm_xds" / folder).glob("*.py")
    )
    methods = {
         ("GET", "/version"): "APIClient", ("GET", "/events"): "events",
        ("GET", "/services"): "services", ("GET", "/services/{id}"): "inspect_service", ("GET", "/tasks"): "tasks",
        ("GET", "/networks"): "networks", ("GET", "/networks/{id}"): "inspect_network", ("GET", "/nodes"): "nodes",
        ("GET", "/configs"): "configs", ("GET", "/configs/{id}"): "inspect_config", ("GET", "/secrets"): "secrets",
        ("POST", "/services/create"): "create_service", ("POST", "/services/{id}/update"): "update_service",
        ("POST", "/configs/create"): "create_config", ("DELETE", "/services/{id}"): "remove_service",
        ("DELETE", "/configs/{id}"): "remove_config", ("DELETE", "/networks/{id}"): "remove_network",
        ("POST", "/secrets/create"): "create_secret", ("DELETE", "/secrets/{id}"): "remove_secret",
    }  # fmt: skip
    assert set(calls()) == methods.keys()
    assert not {call for call, method in methods.items() if method not in code}
