"""Several sources as one."""

import asyncio
from collections.abc import AsyncIterator

from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.together import TogetherSource
from swarm_xds.certs.values import Certificates, Challenge, Material
from swarm_xds.problem import Kind, Problem, Severity


class Given:
    """A source that yields what it is given."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[CertificatesReading] = asyncio.Queue()
        self.ended = False

    def give(self, name: str, value: str) -> None:
        """Have it read a material, a challenge and a problem."""
        problem = Problem(severity=Severity.ERROR, kind=Kind.BAD_FILE, reason=value, source=name)
        certificates = Certificates(
            materials=(Material(name=name, reason=value),),
            challenges=(Challenge(host=name, path="/", answer=value),),
        )
        self.queue.put_nowait(CertificatesReading(certificates=certificates, problems=(problem,), cause=value))

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """See ``CertificateSource``."""
        try:
            while True:
                yield await self.queue.get()
        finally:
            self.ended = True


async def test_nothing_is_read_until_each_source_has_something() -> None:
    """Then each change of one is a reading of all."""
    first, second = Given(), Given()
    readings = TogetherSource([first, second]).readings()
    pending = asyncio.ensure_future(anext(readings))
    first.give("a", "1")
    assert not (await asyncio.wait({pending}, timeout=0.1))[0]
    second.give("b", "2")
    reading = await pending
    assert [(each.name, each.reason) for each in reading.certificates.materials] == [("a", "1"), ("b", "2")]
    assert [each.answer for each in reading.certificates.challenges] == ["1", "2"]
    assert [each.reason for each in reading.problems] == ["1", "2"]
    second.give("a", "3")
    reading = await anext(readings)
    assert [(each.name, each.reason) for each in reading.certificates.materials] == [("a", "1")]
    assert reading.cause == "3"
    await readings.aclose()  # type: ignore[attr-defined] # it is a generator
    assert (first.ended, second.ended) == (True, True)
