"""The endpoints for operators, as the settings ask for them."""

import asyncio

import pytest
from structlog.testing import capture_logs

from support.ports import free_port
from support.story import Story
from swarm_xds.operations import Operations
from swarm_xds.server import AddressError
from swarm_xds.settings import Settings, SettingsError, load
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
