"""Several sources of certificates as one.

In: sources. Out: readings of them all together, as soon as each has a first one. It must not know what they are.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from swarm_xds.certs.base import CertificateSource, CertificatesReading
from swarm_xds.certs.values import Certificates
from swarm_xds.problem import ordered


class TogetherSource:
    """Sources in the order of their rank: of two materials with one name, or two defaults, the first one's holds."""

    def __init__(self, sources: Sequence[CertificateSource]) -> None:
        self._sources = tuple(sources)

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a reading when each source has one, then after each change; see ``CertificateSource``."""
        latest: list[CertificatesReading | None] = [None] * len(self._sources)
        queue: asyncio.Queue[tuple[int, CertificatesReading]] = asyncio.Queue(maxsize=1)

        async def feed(number: int, source: CertificateSource) -> None:
            async for reading in source.readings():
                await queue.put((number, reading))

        tasks = [asyncio.create_task(feed(number, source)) for number, source in enumerate(self._sources)]
        try:
            while True:
                number, reading = await queue.get()
                latest[number] = reading
                there = [each for each in latest if each is not None]
                if len(there) == len(latest):
                    yield _together(there, reading.cause)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _together(readings: Sequence[CertificatesReading], cause: str) -> CertificatesReading:
    certificates = Certificates()
    for reading in readings:
        certificates = certificates.with_more(reading.certificates)
    problems = ordered(problem for reading in readings for problem in reading.problems)
    stock = tuple(each for reading in readings for each in reading.stock)
    return CertificatesReading(certificates=certificates, problems=problems, cause=cause, stock=stock)
