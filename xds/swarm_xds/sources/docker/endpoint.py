"""Where the managers are: the Docker source's settings, resolved as the ``docker`` command resolves them.

In: host arguments, the environment, Docker's contexts. Out: ``Endpoint`` values. It opens no connection.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from docker.context import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig

#: What the ``docker`` command talks to when nothing says otherwise.
DEFAULT_HOST = "unix:///var/run/docker.sock"


class EndpointError(ValueError):
    """The settings name no usable endpoint; trying again will not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One engine's address.

    Attributes:
        url: As in ``DOCKER_HOST``: ``unix:///var/run/docker.sock``, ``tcp://manager:2376``.
        tls: Client certificate and authority, for ``tcp://``.
    """

    url: str
    tls: TLSConfig | None = field(default=None, compare=False, repr=False)


def find_endpoints(hosts: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> tuple[Endpoint, ...]:
    """Return the managers to read from, in the order in which they are tried.

    The given ``hosts`` win, then ``DOCKER_HOST`` (both with ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``), then
    ``DOCKER_CONTEXT`` or the current context with its own TLS, then the local socket.

    Raises:
        EndpointError: A context or certificate does not exist, or a host is of a kind that cannot be watched.
    """
    env = os.environ if environ is None else environ
    named = tuple(hosts) or tuple(filter(None, [env.get("DOCKER_HOST", "").strip()]))
    try:
        if named:
            tls = _tls(env)
            found = tuple(Endpoint(url=url, tls=None if url.startswith("unix:") else tls) for url in named)
        else:
            found = (_from_context(env.get("DOCKER_CONTEXT", "")),)
    except (DockerException, OSError) as error:
        raise EndpointError(f"Docker's TLS or context settings cannot be used: {error}") from error
    for endpoint in found:
        if endpoint.url.startswith("ssh:"):
            raise EndpointError(
                f"{endpoint.url}: an event stream over ssh cannot be watched; forward the socket instead"
            )
    return found


def _tls(env: Mapping[str, str]) -> TLSConfig | None:
    verify, folder = bool(env.get("DOCKER_TLS_VERIFY")), env.get("DOCKER_CERT_PATH")
    if not verify and not folder:
        return None
    certs = Path(folder) if folder else Path.home() / ".docker"
    pair = (str(certs / "cert.pem"), str(certs / "key.pem"))
    return TLSConfig(client_cert=pair, ca_cert=str(certs / "ca.pem"), verify=verify)


def _from_context(name: str) -> Endpoint:
    context = ContextAPI.get_context(name or None)
    if context is None:
        raise EndpointError(f'Docker context "{name or "current"}" does not exist')
    return Endpoint(url=context.Host or DEFAULT_HOST, tls=context.TLSConfig)
