"""The control plane's own certificate and the authorities that it trusts, as a source: nothing of it is served.

In: the files of the TLS settings. Out: readings that say what is wrong with them: without these no proxy, and no
reader, gets through. Who uses the files reads them for himself. It must not know gRPC.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from swarm_xds.certs import check
from swarm_xds.certs.base import CertificatesReading, Identity
from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Certificates, Material
from swarm_xds.problem import Kind, Problem, Severity, ordered, shown

#: Seconds between looks at the files.
_LOOK = 10.0
_CURE = "renew it, with swarm-xds pki renew if that has made it"


class OwnCertificates:
    """The files of the TLS settings as a source."""

    def __init__(self, identity: Identity, clock: Callable[[], float] = time.time) -> None:
        self._identity = identity
        self._clock = clock

    def read(self) -> CertificatesReading:
        """Return what the files are now."""
        now, own = self._clock(), self._identity
        materials = [_read(own.certificate, check.server), _read(own.authorities, check.bundle)]
        materials = [check.at(each, now) for each in materials]
        return CertificatesReading(
            certificates=Certificates(),
            problems=ordered(problem for each in materials if (problem := _problem(each, now)) is not None),
            cause="the control plane's own certificate",
            stock=tuple(Stock(origin=Origin.SETTINGS, material=each) for each in materials),
        )

    async def readings(self) -> AsyncIterator[CertificatesReading]:
        """Yield a reading at the start and after each change; see ``CertificateSource``."""
        last: CertificatesReading | None = None
        while True:
            reading = await asyncio.to_thread(self.read)
            if reading != last:
                last = reading
                yield reading
            await asyncio.sleep(_LOOK)


def _read(path: Path, meaning: Callable[[str, bytes], Material]) -> Material:
    name = shown(str(path))
    try:
        return meaning(name, path.read_bytes())
    except OSError as error:
        return Material(name=name, reason=f"it cannot be read: {error.strerror}")


def _problem(material: Material, now: float) -> Problem | None:
    chain = material.chain
    severity, text = Severity.WARNING, material.remark
    if material.reason:
        severity, text = Severity.ERROR, f"{material.reason}: proxies and this control plane do not find together"
    elif chain is not None and now >= check.soon(chain):
        text = f"it expires on {check.date(chain.not_after)}"
    if not text:
        return None
    return Problem(severity=severity, kind=Kind.BAD_FILE, source=material.name, reason=text, cure=_CURE)
