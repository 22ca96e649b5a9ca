"""The certificates of our listeners, as the settings ask for them; each listener says when it has loaded others.

In: ``Settings``. Out: ``Credentials`` for the xDS server and for the debug API. It belongs to the composition root and
must not know what is served.
"""

import structlog

from swarm_xds.server import CertificateError, Credentials, Loaded, TlsFiles
from swarm_xds.settings import Settings

_log = structlog.get_logger("swarm_xds")


def credentials(settings: Settings, listener: str) -> Credentials | None:
    """Return the credentials of a listener; ``None`` for plain text.

    Args:
        settings: The operator's choices.
        listener: Begins the names of what is logged, such as ``xds``.
    """
    if settings.tls_ca is None or settings.tls_cert is None or settings.tls_key is None:
        return None

    def tell_loaded(loaded: Loaded) -> None:
        _log.info(f"{listener}.certificate", expires=loaded.expires.isoformat())

    def tell_unusable(error: CertificateError) -> None:
        _log.warning(f"{listener}.certificate_unusable", error=str(error), kept="the one before")

    return Credentials(
        TlsFiles(ca=settings.tls_ca, certificate=settings.tls_cert, key=settings.tls_key),
        on_loaded=tell_loaded,
        on_error=tell_unusable,
    )
