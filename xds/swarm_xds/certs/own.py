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
#: What comes of an end.
_SHUT_OUT = "no proxy takes this control plane any more"
_SHUT = "no proxy is let in any more"


class OwnCertificates:
    """The files of the TLS settings as a source."""

    def __init__(self, identity: Identity, clock: Callable[[], float] = time.time) -> None:
        self._identity = identity
        self._clock = clock

    def read(self) -> CertificatesReading:
        """Return what the files are now."""
        now, own = self._clock(), self._identity
        files = ((own.certificate, check.server, _SHUT_OUT), (own.authorities, check.bundle, _SHUT))
        materials = [(check.at(_read(path, meaning), now), outcome) for path, meaning, outcome in files]
        return CertificatesReading(
            certificates=Certificates(),
            problems=ordered(each for of in materials if (each := _problem(*of, now)) is not None),
            cause="the control plane's own certificate",
            stock=tuple(Stock(origin=Origin.SETTINGS, material=each) for each, _ in materials),
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


def _problem(material: Material, outcome: str, now: float) -> Problem | None:
    chain = material.chain
    severity, text, cure = Severity.WARNING, material.remark, "renew it, with swarm-xds pki if that has made it"
    if material.reason and chain is None and not material.trusted:
        severity, text, cure = Severity.ERROR, material.reason, "mend it; until then what was read before holds"
    elif material.reason:
        severity, text = Severity.ERROR, f"{material.reason}: {outcome}"
    elif chain is not None and now >= check.soon(chain):
        text = f"it expires on {check.date(chain.not_after)}"
    if not text:
        return None
    return Problem(severity=severity, kind=Kind.BAD_FILE, source=material.name, reason=text, cure=cure)
