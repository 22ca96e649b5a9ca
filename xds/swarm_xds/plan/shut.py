"""Hosts without content, where a wildcard would answer for a route that was to keep people out and is left out.

In: what a fleet answers for, and such hosts. Out: the same, with those that a wildcard stands for (docs/adr/062). It
must not know whose they are, or what has left the route out.
"""

from collections.abc import Collection, Iterable

from swarm_xds.labels import ANY_HOST
from swarm_xds.model import Passthrough, SecureHost, ServerTls, VirtualHost

_NOBODY = ServerTls(certificate=None, reason="a route that was to keep people out is left out")


def above(host: str) -> tuple[str, ...]:
    """Return the wildcards that stand for a host too, the closest first."""
    labels = host.split(".")
    return (*(f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels))), ANY_HOST)


def shut_in_plain(hosts: Iterable[VirtualHost], shut: Collection[str]) -> tuple[VirtualHost, ...]:
    """Return the hosts of plain HTTP, sorted, with those that have no routes."""
    there = {each.host: each for each in hosts}
    empty = {host: VirtualHost(host=host, routes=()) for host in _covered(shut, there)}
    return tuple(each for _, each in sorted({**there, **empty}.items()))


def shut_in_tls(
    hosts: Iterable[SecureHost], passing: Iterable[Passthrough], shut: Collection[str]
) -> tuple[SecureHost, ...]:
    """Return the hosts over TLS, sorted, with those whose handshakes are refused."""
    there = {each.virtual_host.host: each for each in hosts}
    refused = {
        host: SecureHost(virtual_host=VirtualHost(host=host, routes=()), tls=_NOBODY)
        for host in _covered(shut, {*there, *(each.host for each in passing)})
    }
    return tuple(each for _, each in sorted({**there, **refused}.items()))


def _covered(shut: Collection[str], there: Collection[str]) -> list[str]:
    """Return the hosts that nobody claims and a wildcard stands for."""
    known = frozenset(there)
    return [host for host in shut if host not in known and not known.isdisjoint(above(host))]
