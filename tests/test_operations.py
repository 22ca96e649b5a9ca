"""The endpoints for operators, as the settings ask for them."""

import asyncio

import pytest
from structlog.testing import capture_logs

from support.ports import free_port
from support.story import Story
from swarm_xds.debug.operators import Stranger
from swarm_xds.given import SettingsError
from swarm_xds.operations import Operations
from swarm_xds.server import AddressError
from swarm_xds.settings import Settings, load
from swarm_xds.sources.compose import ComposeSource


def operations(**settings: str) -> Operations:
    """Return the endpoints of a control plane."""
    return Operations(Settings.model_validate(settings), Story().record, ComposeSource([], {}), None)


async def test_an_empty_address_listens_nowhere() -> None:
    """For those who want neither."""
    with capture_logs() as logs:
        nothing = operations(metrics_listen="", debug_listen="")
        await nothing.start()
        await nothing.stop()
    assert not logs


@pytest.mark.parametrize("name", ["metrics_listen", "debug_listen"])
async def test_a_taken_address_is_an_error_that_names_it(name: str) -> None:
    """Whatever was started before is stopped again by the caller."""
    port = free_port()
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    other = {"metrics_listen": "127.0.0.1:0", "debug_listen": "127.0.0.1:0"}
    both = operations(**other | {name: f"127.0.0.1:{port}"})
    with pytest.raises(AddressError, match=str(port)):
        await both.start()
    await both.stop()
    taken.close()


@pytest.mark.parametrize("name", ["metrics_listen", "debug_listen", "tracing_otlp"])
def test_an_address_without_a_port_is_refused(name: str) -> None:
    """As for the xDS server."""
    with pytest.raises(SettingsError, match="not an address and a port"):
        load({name: "127.0.0.1"}, {})


def test_a_collector_has_a_port() -> None:
    """Nobody can connect to port 0, to which one may bind."""
    with pytest.raises(SettingsError, match="no port to connect to"):
        load({"tracing_otlp": "collector:0"}, {})
    tracing = load({"tracing_otlp": "[2001:db8::1]:4317"}, {}).edge.tracing
    assert tracing is not None
    assert (tracing.host, tracing.port) == ("2001:db8::1", 4317)


@pytest.mark.parametrize("address", ["0.0.0.0:18002", "[::]:18002", "10.0.0.5:18002", "xds.example.org:18002"])
def test_beyond_loopback_the_debug_api_needs_tls_or_a_setting_that_says_what_it_does(address: str) -> None:
    """Also as the second of several addresses, and whatever is said of xDS."""
    for listen in (address, f"127.0.0.1:18002,{address}"):
        for more in ({}, {"insecure_xds": "true"}):
            with pytest.raises(SettingsError, match="insecure_debug, where nobody else reaches the port"):
                load({"debug_listen": listen, **more}, {})
    assert not load({"debug_listen": address, "insecure_debug": "true"}, {}).asks_operators(address)
    files = {"tls_ca": "ca", "tls_cert": "cert", "tls_key": "key"}
    settings = load({"debug_listen": f"localhost:1, {address}", **files}, {})
    assert [each for each in settings.debug_listen if settings.asks_operators(each)] == [address]
    with pytest.raises(SettingsError, match="insecure_debug and tls_ca, tls_cert, tls_key exclude each other"):
        load({"insecure_debug": "true", **files}, {})


def test_whoever_is_refused_is_logged_once_and_counted_each_time() -> None:
    """A proxy that asks for ever must not fill the log."""
    place = operations()
    with capture_logs() as logs:
        for number in range(3):
            place._refuse(Stranger(names=("spiffe://x",), method=f"/a/{number}", address=f"ipv4:10.0.0.1:{number}"))
    assert [(each["event"], each["log_level"], each["certificate"]) for each in logs] == [
        ("debug.refused", level, "spiffe://x") for level in ("warning", "debug", "debug")
    ]
    assert place._metrics is not None
    text, _ = place._metrics._metrics.text()
    assert b"swarm_xds_debug_refused_total 3.0" in text
