"""Intended, acknowledged and a real Envoy's own configuration."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from google.protobuf.json_format import MessageToDict

from support.certificates import authority
from support.command import command
from support.tls_world import tls_world, write
from support.world import World, world
from swarm_xds.cli.ask.client import Asked
from swarm_xds.cli.ask.compare import Finding, Has, compare
from swarm_xds.cli.ask.contexts import Target
from swarm_xds.cli.ask.dumped import differences, take
from swarm_xds.cli.ask.envoy import read
from swarm_xds.debug import views
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.snapshot import SECRET

pytestmark = pytest.mark.envoy
DUMP = "/config_dump?include_eds"


async def findings(place: World) -> tuple[Finding, ...]:
    """Compare with what Envoy's admin interface says, as the command does; the control plane is on this event loop."""
    asked = Asked(target=Target(address=place.debug))
    dump = await asyncio.to_thread(take, "", place.envoy.admin)
    return (await asyncio.to_thread(differences, asked, dump, node="", fleet="")).findings


async def test_an_envoy_that_is_frozen_is_told_resource_by_resource(envoy_binary: Path) -> None:
    """Before, while it is behind, and after."""
    async with world(envoy_binary) as place, httpx.AsyncClient() as client, asyncio.timeout(110):
        place.add("shop", "shop.example.org")
        await place.until(client, "shop.example.org", 200, seconds=60)
        await place.app.publisher.answered()
        assert await findings(place) == ()

        # What it has while it is frozen is what it had before.
        dump = (await client.get(place.envoy.admin + DUMP)).content
        os.kill(place.envoy.pid, signal.SIGSTOP)
        published = len(place.published)
        place.add("late", "late.example.org", tasks=1)
        while not any(each.changed for each in place.published[published:]):
            await asyncio.sleep(0.01)
        args = ("diff", "--config-dump", "-", "--address", place.debug)
        behind = await asyncio.to_thread(command, *args, given=dump.decode())
        assert behind.returncode == 1, behind.stderr
        rows = [" ".join(line.split()) for line in behind.stdout.splitlines()]
        assert any(row.startswith("Cluster late no missing") for row in rows), behind.stdout
        assert any(row.startswith("ClusterLoadAssignment late no missing") for row in rows)
        (route,) = [row for row in rows if row.startswith("RouteConfiguration http another version different")]
        assert "virtual_hosts[late.example.org] {" in route
        assert "(not set)" in route

        os.kill(place.envoy.pid, signal.SIGCONT)
        await place.until(client, "late.example.org", 200, seconds=60)
        await place.app.publisher.answered()
        assert await findings(place) == ()


@pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])
async def test_secrets_are_told_by_their_versions(envoy_binary: Path, tmp_path: Path, *, incremental: bool) -> None:
    """Also after one of two was replaced; none of the others' is taken for another, nor is any key shown."""
    ca = authority()
    stack = "\n".join(
        ["services:"]
        + [
            f'  {name}: {{image: app, x-tasks: ["127.0.0.1:1"], deploy: {{labels: {{xds.port: 80,'
            f" xds.hosts: {name}.example.org, xds.ssl_cert: {name}.pem}}}}}}"
            for name in ("a", "b")
        ]
    )
    certs = {f"{name}.pem": ca.issue(f"{name}.example.org").pair for name in ("a", "b")}
    async with tls_world(envoy_binary, tmp_path, ca, stack, certs, incremental=incremental) as place:
        async with httpx.AsyncClient() as client:
            before = (await client.get(place.envoy.admin + DUMP)).json()
            await place.change(lambda: write(place.certs / "a.pem", ca.issue("a.example.org").pair))
            after = (await client.get(place.envoy.admin + DUMP)).json()
        latest = place.app.publisher.latest
        assert latest is not None
        snapshot = views.snapshot("default", latest.of("default"))
        node = pb.Node(node="envoy-1", variant="delta" if incremental else "sotw", standing=pb.STANDING_CURRENT)
        assert compare(snapshot, node, (), read(after)) == []
        (found,) = compare(snapshot, node, (), read(before))
        assert (found.type_url, found.name, found.envoy) == (SECRET, "certificate/a.example.org", Has.DIFFERENT)
        # The same certificate with another key: only the version tells, where there is one for each.
        hidden = {"configs": [*before["configs"]]}
        (part,) = [each for each in hidden["configs"] if "dynamic_active_secrets" in each]
        content = next(each for each in snapshot.resources if each.name == found.name).resource
        for each in part["dynamic_active_secrets"]:
            if each["name"] == found.name:
                each["secret"] = MessageToDict(content, preserving_proto_field_name=True)
        paths = [field.path for each in compare(snapshot, node, (), read(hidden)) for field in each.fields]
        assert paths == (["(redacted)"] if incremental else [])
        assert "PRIVATE" not in json.dumps(after)
