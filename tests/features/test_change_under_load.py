"""Services come, change and go while every one of them is asked all the time: no request fails that should not."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import h11
import httpx
import pytest

from support.load import Connection
from support.world import World, world

pytestmark = pytest.mark.envoy

SERVICES = 50
#: Seconds until what hangs is a failure.
PATIENCE = 20.0


class Asked:
    """Asks one host again and again, and counts what it must never see."""

    def __init__(self, place: World, host: str) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self.served = asyncio.Event()
        self._place, self._host = place, host
        self._going = False
        self._task = asyncio.create_task(self._run())

    def going(self) -> None:
        """From now on a 404 is right."""
        self._going = True

    async def end(self) -> None:
        """Stop asking."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await self._ask(await Connection.open("127.0.0.1", self._place.http_port, seconds=PATIENCE))
        except (OSError, h11.ProtocolError) as error:
            self.failures.append(f"{self._host}: {error!r} as answer {self.answers.total()}")

    async def _ask(self, connection: Connection) -> None:
        """Ask for as long as the connection may be used."""
        try:
            kept = True
            while kept:
                async with asyncio.timeout(PATIENCE):
                    status, _ = await connection.get("/", self._host)
                kept = connection.reusable()
                self.answers[status] += 1
                if status == 200:
                    self.served.set()
                elif status != 404 or (self.served.is_set() and not self._going):
                    self.failures.append(f"{self._host}: {status} as answer {self.answers.total()}")
                await asyncio.sleep(0.02)
        finally:
            await connection.close()


@pytest.mark.parametrize("incremental", [pytest.param(True, id="incremental"), pytest.param(False, id="sotw")])
async def test_no_request_fails_while_services_are_added_changed_and_removed(
    envoy_binary: Path, incremental: bool
) -> None:
    """50 services are added, changed and removed under load; none of their routes fails while it should answer."""
    chance = random.Random(7)
    async with world(envoy_binary, incremental=incremental) as place, httpx.AsyncClient() as client:
        place.add("steady", "steady.example.org")
        await place.until(client, "steady.example.org", 200)
        asked = {"steady": Asked(place, "steady.example.org")}
        every = [asked["steady"]]
        try:
            ids: dict[str, str] = {}
            for number in range(SERVICES):
                name = f"app{number}"
                host = f"{name}.example.org"
                ids[name] = place.add(name, host)
                asked[name] = Asked(place, host)
                every.append(asked[name])
                async with asyncio.timeout(10):
                    await asked[name].served.wait()
                changed = chance.choice(list(ids))
                more = {"com.docker.lb.max_fails": str(number + 1)} if number % 2 else {"xds.sticky": "generated"}
                place.engine.update_service(ids[changed], labels=place.labels(f"{changed}.example.org", **more))
                tasks = [place.engine.task(ids[changed]) for _ in range(chance.randint(1, 3))]
                place.engine.set_tasks(ids[changed], tasks)
                if number % 2:
                    leaving = chance.choice([each for each in ids if each != name])
                    asked[leaving].going()
                    place.engine.remove_service(ids.pop(leaving))
                    await place.until(client, f"{leaving}.example.org", 404)
                    await asked.pop(leaving).end()
            for name, identifier in ids.items():
                asked[name].going()
                place.engine.remove_service(identifier)
            for name in ids:
                await place.until(client, f"{name}.example.org", 404)
            await place.app.publisher.answered()
        finally:
            for each in asked.values():
                await each.end()
        assert len(every) == SERVICES + 1
        failures = [failure for each in every for failure in each.failures]
        assert not failures, failures[:10]
        assert asked["steady"].answers[200] > SERVICES
        # Nothing stale is left, and Envoy has refused nothing.
        stats = await place.stats(client, r"update_rejected|cluster_manager\.active_clusters")
        assert stats["cluster_manager.active_clusters"] == 2, "the control plane's cluster and the steady service's"
        assert not any(value for name, value in stats.items() if name.endswith("update_rejected")), stats
