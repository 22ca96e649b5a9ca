"""Certificates of a directory, and by ACME for the hosts that it has none for.

In: both sources, and the hosts that ask for TLS and name no certificate. Out: readings of both together. It must not
know labels or routes.
"""

from collections.abc import AsyncIterator, Iterable

from swarm_xds.certs.acme.source import AcmeSource
from swarm_xds.certs.base import CertificateSource, CertificatesReading
from swarm_xds.certs.choose import for_host
from swarm_xds.certs.together import TogetherSource
from swarm_xds.certs.values import Certificates


class ObtainingSource:
    """A source that orders what another one lacks; ``run`` has to run beside it.

    Args:
        acme: Who orders.
        given: What is there without it; None: nothing.
    """

    def __init__(self, acme: AcmeSource, given: CertificateSource | None) -> None:
        self._acme = acme
        self._given = given
        self._known = Certificates()

    def want(self, hosts: Iterable[str]) -> None:
        """Take the hosts that are to have certificates, of which those are ordered that no given one names."""
        self._acme.want(host for host in hosts if for_host(self._known, host) is None)

    async def run(self) -> None:
        """Order what is due, for ever."""
        await self._acme.run()

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a reading at the start and after each change; see ``CertificateSource``."""
        sources: list[CertificateSource] = [self._acme] if self._given is None else [_Noted(self), self._acme]
        async for reading in TogetherSource(sources).readings():
            yield reading

    async def noted(self) -> AsyncIterator[CertificatesReading]:
        """Yield what is given, and remember it."""
        if self._given is not None:
            async for reading in self._given.readings():
                self._known = reading.certificates
                yield reading


class _Noted:
    def __init__(self, of: ObtainingSource) -> None:
        self._of = of

    def readings(self) -> AsyncIterator[CertificatesReading]:
        return self._of.noted()
