"""The commands that ask a running control plane, as a user calls them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest
import yaml

from support.command import command
from support.ports import free_port
from support.world import HOSTS, PORT, World, world

pytestmark = pytest.mark.envoy


@pytest.fixture
async def place(envoy_binary: Path) -> AsyncIterator[World]:
    """A running system with one good and one bad service."""
    async with world(envoy_binary) as place, httpx.AsyncClient() as client:
        place.add("shop", "shop.example.org")
        place.engine.add_service("bad", labels={HOSTS: "bad.example.org", PORT: "70000"}, networks=[place.network])
        await place.until(client, "shop.example.org", 200, seconds=60)
        async with asyncio.timeout(60):
            while not any(each.build.problems for each in place.published):
                await asyncio.sleep(0.01)
        await place.app.publisher.answered()
        yield place


async def ask(place: World, *args: str) -> CompletedProcess[str]:
    """Run a command against the control plane, which lives on this test's event loop."""
    return await asyncio.to_thread(command, *args, "--address", place.debug)


async def test_each_command_says_what_is_the_case(place: World) -> None:
    """Plain columns when it is piped, and a status that a program can go by."""
    expected = {
        "routes": (0, "default  shop.example.org  /     shop  2"),
        "services": (0, "shop     2      edge      shop.example.org/"),
        "problems": (1, 'error     bad      com.docker.lb.port="70000"'),
        "nodes": (0, "default  envoy-1  current"),
        "diff": (0, "every proxy has what it is to have"),
        "networks": (0, "shared"),
        "snapshot": (0, "ClusterLoadAssignment  shop"),
        "explain shop.example.org/a": (0, "GET goes to shop, by 2 endpoints"),
        "explain bad.example.org": (1, "give the port that the container listens on"),
    }
    for words, (status, text) in expected.items():
        result = await ask(place, *words.split())
        assert result.returncode == status, (words, result.stdout, result.stderr)
        assert text in result.stdout, (words, result.stdout)
        assert "\x1b" not in result.stdout


async def test_documents_for_programs(place: World) -> None:
    """JSON and YAML say the same."""
    for words in (
        "routes",
        "services",
        "problems",
        "nodes",
        "diff",
        "networks",
        "snapshot",
        "explain shop.example.org",
    ):
        as_json = json.loads((await ask(place, *words.split(), "--output", "json")).stdout)
        as_yaml = await ask(place, *words.split(), "-o", "yaml")
        assert as_json == yaml.safe_load(as_yaml.stdout), (words, as_yaml.stderr)


async def test_documents_have_every_field(place: World) -> None:
    """So that a program need not know which ones are left out when empty."""
    (route,) = json.loads((await ask(place, "routes", "-o", "json")).stdout)["routes"]
    assert route == {
        "fleet": "default",
        "scheme": "http",
        "host": "shop.example.org",
        "path": "/",
        "services": ["shop"],
        "shares": [{"cluster": "shop", "weight": 1, "endpoints": route["shares"][0]["endpoints"]}],
        "redirect": "",
        "strip_prefix": False,
    }
    snapshot = json.loads((await ask(place, "snapshot", "--type", "cluster", "-o", "json")).stdout)
    assert snapshot["resources"][0]["resource"]["name"] == "shop"


async def test_watch_prints_changes_as_they_happen(place: World) -> None:
    """Line by line, also into a pipe, until it is interrupted."""
    binary = Path(sys.executable).parent / "swarm-xds"
    process = await asyncio.create_subprocess_exec(
        str(binary), "watch", "--last", "1", "--address", place.debug, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(90):
        await process.stdout.readline()
        place.add("late", "late.example.org")
        line = ""
        while "served" not in line or "late" not in line:
            line = (await process.stdout.readline()).decode()
        assert " ms by 1 of 1" in line
        process.send_signal(2)
        assert await process.wait() == 130


async def test_wrong_use_says_what_is_right(place: World) -> None:
    """Without a stack trace."""
    for words, text in (
        ("explain ftp://x", "is no URL"),
        ("snapshot --fleet other", "no service names fleet other"),
        ("snapshot --type cow", "there are cluster"),
        ("problems --severity bad", "there are info, warning, error"),
        ("watch --output yaml", "--output json"),
    ):
        result = await ask(place, *words.split())
        assert (result.returncode, text in result.stderr, result.stdout) == (2, True, ""), result.stderr


def test_a_control_plane_that_does_not_answer_has_a_status_of_its_own() -> None:
    """A program must not take it for a finding."""
    result = command("problems", "--address", f"127.0.0.1:{free_port()}")
    assert result.returncode == 3
    assert "is it running, and is debug_listen set?" in result.stderr
    assert "Traceback" not in result.stderr


async def test_contexts_name_control_planes(place: World, tmp_path: Path) -> None:
    """The first one is the current one; another is chosen by name; the file is the user's own."""
    env = {"XDG_CONFIG_HOME": str(tmp_path)}

    async def run(*args: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(command, *args, env=env)

    assert (await run("context", "set", "here", place.debug)).returncode == 0
    assert (await run("context", "set", "away", f"127.0.0.1:{free_port()}")).returncode == 0
    assert (await run("context", "list")).stdout.splitlines()[1] == f"* here  {place.debug}"
    assert (await run("nodes")).returncode == 0
    assert (await run("nodes", "--context", "away")).returncode == 3
    assert (await run("context", "use", "away")).returncode == 0
    assert (await run("nodes")).returncode == 3
    missing = await run("nodes", "--context", "nowhere")
    assert (missing.returncode, "there are: away, here" in missing.stderr) == (2, True)
    assert (await run("context", "remove", "away")).returncode == 0
    assert (await run("context", "use", "away")).returncode == 2
    assert (await run("context", "set", "", place.debug)).returncode == 2
    bad = await run("context", "set", "x", "nowhere")
    assert (bad.returncode, "is not an address and a port" in bad.stderr) == (2, True)
    (tmp_path / "swarm-xds" / "contexts.yml").write_text("contexts: [", encoding="utf-8")
    broken = await run("nodes")
    assert (broken.returncode, "contexts.yml" in broken.stderr, "Traceback" in broken.stderr) == (2, True, False)


async def test_plan_says_what_a_deployment_would_change(place: World, tmp_path: Path) -> None:
    """Nothing is done; what would be an error is status 1."""
    file = tmp_path / "shop.yml"
    text = """
name: shop
services:
  web:
    image: app
    networks: [edge]
    deploy: {labels: {com.docker.lb.hosts: new.example.org, com.docker.lb.port: "%s"}}
networks: {edge: {external: true}}
"""
    file.write_text(text % 81, encoding="utf-8")
    good = await ask(place, "plan", str(file))
    assert good.returncode == 0, good.stdout + good.stderr
    assert "+  route    default  new.example.org/  to shop_web" in good.stdout
    assert "+  cluster  default  shop_web          port 81 on edge" in good.stdout
    assert "new.example.org" not in (await ask(place, "routes")).stdout
    file.write_text(text % "x", encoding="utf-8")
    bad = await ask(place, "plan", str(file))
    assert (bad.returncode, 'com.docker.lb.port="x"' in bad.stdout) == (1, True), bad.stdout
    file.write_text((text % 81).replace("deploy: {labels: ", "labels: ").replace('"}}', '"}'), encoding="utf-8")
    misplaced = await ask(place, "plan", str(file))
    assert (misplaced.returncode, "it stands on the container" in misplaced.stderr) == (1, True), misplaced.stderr
    file.write_text("services: [", encoding="utf-8")
    broken = await ask(place, "plan", str(file))
    assert (broken.returncode, "not all files can be read" in broken.stderr) == (1, True)


def test_the_shell_completes_commands() -> None:
    """Typer's own completion, for the shells that it knows."""
    result = command(env={"_SWARM_XDS_COMPLETE": "complete_bash", "COMP_WORDS": "swarm-xds expl", "COMP_CWORD": "1"})
    assert result.stdout.split() == ["explain"]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("swarm-xds snapshot --type clu", ["cluster", "clusterloadassignment"]),
        ("swarm-xds problems --severity e", ["error"]),
    ],
)
def test_the_shell_completes_words(words: str, completed: list[str]) -> None:
    """Where an option takes one of a few."""
    result = command(env={"_SWARM_XDS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"})
    assert result.stdout.split() == completed


def test_the_shell_completes_contexts(tmp_path: Path) -> None:
    """By the user's own file."""
    (tmp_path / "swarm-xds").mkdir()
    text = "contexts: {prod: {address: 'a:1'}, preview: {address: 'a:2'}, other: {address: 'a:3'}}"
    (tmp_path / "swarm-xds" / "contexts.yml").write_text(text, encoding="utf-8")
    words = {"COMP_WORDS": "swarm-xds routes --context pr", "COMP_CWORD": "3"}
    result = command(env={"_SWARM_XDS_COMPLETE": "complete_bash", "XDG_CONFIG_HOME": str(tmp_path), **words})
    assert result.stdout.split() == ["prod", "preview"]
