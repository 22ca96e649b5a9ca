"""What the composition root says of those who connect."""

import pytest
from structlog.testing import capture_logs

from swarm_xds.app import Greeter
from swarm_xds.model import EdgeOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.server import Peer, Publisher
from swarm_xds.swarm import SwarmState


@pytest.mark.parametrize(
    ("fleet", "event", "level"),
    [
        pytest.param("default", "proxy.connected", "info", id="a fleet that is served"),
        pytest.param("", "proxy.connected", "info", id="no fleet, which is the default one"),
        pytest.param("defualt", "proxy.unknown_fleet", "warning", id="a fleet that no service names"),
    ],
)
def test_a_proxy_of_an_unknown_fleet_is_warned_of(fleet: str, event: str, level: str) -> None:
    """It would answer every host as unknown, and nobody would know why."""
    publisher = Publisher()
    publisher.publish(Pipeline(EdgeOptions(), "default").build(SwarmState()).snapshots)
    with capture_logs() as logs:
        Greeter(publisher).opened(
            Peer(stream=1, node="edge-1", fleet=fleet, variant="delta", address="ipv4:127.0.0.1:1")
        )
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["fleet"]) == (event, level, fleet)
