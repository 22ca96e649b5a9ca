"""The HTTP endpoint: what it answers, and that it knows a loop that no longer turns."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from support.ports import free_port
from support.story import Story, service
from swarm_xds.metrics import Metrics, MetricsServer
from swarm_xds.server import AddressError


@pytest.fixture
async def url(metrics: Metrics) -> AsyncIterator[str]:
    """A running endpoint."""
    server = MetricsServer(metrics, "127.0.0.1:0", patience=0.2)
    port = server.start()
    yield f"http://127.0.0.1:{port}"
    await server.stop()


async def test_metrics_are_text_that_prometheus_reads(url: str) -> None:
    """And OpenMetrics where it is asked for."""
    async with httpx.AsyncClient(base_url=url) as client:
        plain = await client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain")
        assert "# TYPE swarm_xds_status gauge" in plain.text
        opened = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert opened.text.endswith("# EOF\n")
        assert (await client.head("/metrics")).content == b""


async def test_ready_from_the_first_reading_on_and_says_what_is_kept(url: str, story: Story) -> None:
    """Serving the last good is ready, and not well."""
    async with httpx.AsyncClient(base_url=url) as client:
        before = await client.get("/readyz")
        assert (before.status_code, before.json()["status"]) == (503, "starting")
        story.publish(service("web"))
        well = await client.get("/readyz")
        assert (well.status_code, well.json()) == (200, {"status": "well", "reasons": []})
        story.publish(service("web", port="eighty"))
        kept = await client.get("/readyz")
        assert (kept.status_code, kept.json()) == (200, {"status": "last-good", "reasons": ["last good form of web"]})


async def test_alive_before_anything_is_read(url: str) -> None:
    """A manager that is away is no reason to restart the control plane."""
    async with httpx.AsyncClient(base_url=url) as client:
        found = await client.get("/healthz")
        assert (found.status_code, found.json()["status"]) == (200, "starting")
        missing = await client.get("/nothing")
        assert (missing.status_code, missing.json()) == (404, {"error": "there are /metrics, /healthz and /readyz"})


async def test_a_loop_that_is_stuck_is_not_alive(url: str) -> None:
    """It is what a health check is there for, so the answer must not depend on it."""
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/healthz").status_code))
    thread.start()
    deadline = time.monotonic() + 10
    while not answers and time.monotonic() < deadline:
        pass  # never yields to the loop: that is what stuck means
    thread.join()
    assert answers == [503]
    await asyncio.sleep(0)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/healthz")).status_code == 200


async def test_a_taken_address_is_an_error(metrics: Metrics) -> None:
    """Two control planes on one port would hide one of them."""
    address = f"127.0.0.1:{free_port()}"
    first = MetricsServer(metrics, address)
    first.start()
    with pytest.raises(AddressError, match=address):
        MetricsServer(metrics, address).start()
    await first.stop()
