"""A relay passes on what comes from the fleet and goes into its network, and nothing else."""

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.app import Application
from support.bare_envoy import bare_envoy
from support.certificates import authority
from support.ports import free_port
from support.tls_client import Client, ask_plain
from support.tls_tasks import Task
from swarm_xds.memo import Memo
from swarm_xds.model import (
    Backend,
    BackendShare,
    EdgeOptions,
    Endpoint,
    Fleet,
    Forward,
    Passthrough,
    Route,
    UpstreamTls,
    VirtualHost,
)
from swarm_xds.snapshot import snapshot
from swarm_xds.snapshot.static import static
from swarm_xds.translate import translate
from swarm_xds.translate.relay import authority_pattern, relay, relay_configuration

FLEET, NETWORK = ("127.0.0.0/24",), ("127.7.0.0/16",)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 2**32 - 1), st.booleans())
def test_the_pattern_takes_exactly_the_addresses_of_the_subnet(
    base: int, prefix: int, other: int, inside: bool
) -> None:
    """Whatever the length of the prefix."""
    subnet = ipaddress.ip_network((base, prefix), strict=False)
    assert isinstance(subnet, ipaddress.IPv4Network)
    address = subnet[other % subnet.num_addresses] if inside else ipaddress.IPv4Address(other)
    matched = re.fullmatch(authority_pattern((subnet,)), f"{address}:8080")
    assert bool(matched) == (address in subnet)


@pytest.mark.parametrize(
    "authority", ["10.0.1.5", "10.0.1.5:0", "10.0.1.05:80", "10.0.1.5:80@x", "x10.0.1.5:80", "a:80"]
)
def test_what_is_no_address_and_port_does_not_match(authority: str) -> None:
    """No name, no missing port, nothing before or after."""
    subnet = ipaddress.IPv4Network("10.0.1.0/24")
    assert re.fullmatch(authority_pattern((subnet,)), authority) is None


def test_a_relay_without_a_subnet_is_refused() -> None:
    """It would be open to all, or of no use."""
    for fleet, network in (((), NETWORK), (FLEET, ()), (FLEET, ("2001:db8::/64",))):
        with pytest.raises(ValueError, match="no IPv4 subnet"):
            relay_configuration(fleet, network, 500)


@pytest.fixture
async def relay_port(envoy_binary: Path, tmp_path: Path) -> AsyncIterator[int]:
    """The port of a real Envoy with a relay's configuration."""
    port = free_port()
    async with bare_envoy(envoy_binary, tmp_path, relay(FLEET, NETWORK, port, 500)):
        yield port


async def ask(port: int, request: str, source: str = "127.0.0.1") -> str:
    """Return the first line of a relay's answer; empty if it closes without one."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        try:
            writer.write(request.encode())
            return (await reader.readline()).decode().strip()
        except ConnectionError:
            return ""
        finally:
            writer.close()


@pytest.mark.envoy
async def test_a_real_relay_lets_the_fleet_in_and_nobody_out(relay_port: int) -> None:
    """CONNECT into the network from the fleet; all else is 403, and strangers get no answer at all."""
    with Application() as application:
        task = f"127.7.0.9:{application.port}"
        elsewhere = f"127.8.0.9:{application.port}"
        assert "200" in await ask(relay_port, f"CONNECT {task} HTTP/1.1\r\nhost: {task}\r\n\r\n")
        for target in (elsewhere, f"localhost:{application.port}"):
            assert "403" in await ask(relay_port, f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n"), target
        # The target is what counts, not the host that a client claims beside it.
        assert "403" in await ask(relay_port, f"CONNECT {elsewhere} HTTP/1.1\r\nhost: {task}\r\n\r\n")
        assert "403" in await ask(relay_port, f"GET http://{task}/ HTTP/1.1\r\nhost: {task}\r\n\r\n")
        assert "403" in await ask(relay_port, f"GET / HTTP/1.1\r\nhost: {task}\r\n\r\n")
        stranger = await ask(relay_port, f"CONNECT {task} HTTP/1.1\r\nhost: {task}\r\n\r\n", source="127.9.0.1")
        assert stranger == ""


@pytest.mark.envoy
async def test_tls_to_a_task_and_its_own_pass_through_a_relay(
    relay_port: int, envoy_binary: Path, tmp_path: Path
) -> None:
    """An edge verifies the task's certificate through the relay, and passes through what clients speak to it."""
    ca = authority()
    options = EdgeOptions(http_port=free_port(), https_port=free_port(), address="127.0.0.1")
    with Task("far", tmp_path, ca.issue("far.example.org"), address="127.7.0.9") as task:
        endpoint = Endpoint("127.7.0.9", task.server_port, via=("127.0.0.1", relay_port))
        backend = Backend(
            name="far", service="far", endpoints=(endpoint,), relayed=True, tls=UpstreamTls(authorities=ca.cert)
        )
        passed = replace(backend, name="passed", tls=None)
        route = Route(path="/", action=Forward(backends=(BackendShare("far", 1),)), services=("far",))
        hosts = ("far.example.org", "wrong.example.org")
        fleet = Fleet(
            name="default",
            virtual_hosts=tuple(VirtualHost(host=host, routes=(route,)) for host in hosts),
            backends=(backend, passed),
            passthroughs=(Passthrough(host=hosts[0], backends=(BackendShare("passed", 1),), services=("far",)),),
        )
        made = snapshot(translate(fleet, options, Memo()), Memo())
        async with bare_envoy(envoy_binary, tmp_path, static(made, free_port())):
            assert await _status(options.http_port, "far.example.org") == 200
            assert await _status(options.http_port, "wrong.example.org") == 503
            client = Client(options.https_port, ca, tmp_path)
            assert (await asyncio.to_thread(client.ask, "far.example.org")).task == "far"


async def _status(port: int, host: str) -> int:
    """Return the status of an answer; 0 without one."""
    try:
        return (await asyncio.to_thread(ask_plain, port, host, "/")).status
    except OSError:
        return 0
