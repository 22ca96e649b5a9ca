"""When a certificate is ordered. Pure: the time is given, and what is random follows from names, alike on each replica.

In: what was tried so far, and the certificate that there is. Out: when the next try is due. An authority's limits are
never reached by failing: each failure doubles the rest, and orders are counted (Let's Encrypt: 5 failed validations of
a host an hour, 300 orders of an account in 3 hours, 5 certificates of the same hosts a week).
"""

import hashlib
from dataclasses import dataclass, replace

from swarm_xds.certs.values import Chain

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
#: The first rest after a failure, and the longest.
FIRST_REST, LONGEST_REST = 10 * _MINUTE, _DAY
#: Orders of one host in a day, and of one account in three hours.
HOST_ORDERS, HOST_WINDOW = 8, _DAY
ACCOUNT_ORDERS, ACCOUNT_WINDOW = 200, 3 * _HOUR
#: The part of its life that a certificate has left when it is renewed, and by how much of it that is spread.
RENEW_BELOW, SPREAD = 1 / 3, 1 / 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What was tried for one host.

    Attributes:
        directory: The authority that issued last; another one issues anew.
        orders: When, in seconds since the epoch; the recent ones.
        failures: In a row.
        next_at: Before it nothing is tried.
        reason: Why the last try failed; empty if it did not.
    """

    directory: str = ""
    orders: tuple[int, ...] = ()
    failures: int = 0
    next_at: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What concerns all hosts: who we are to the authority, when it wants to hear of us again, and recent orders."""

    directory: str = ""
    uri: str = ""
    next_at: int = 0
    orders: tuple[int, ...] = ()


def due_at(host: str, chain: Chain | None, attempts: Attempts, account: Account, directory: str) -> float:
    """Return when an order for a host is due, in seconds since the epoch."""
    earliest = max(
        attempts.next_at,
        account.next_at,
        _allowed_at(attempts.orders, HOST_ORDERS, HOST_WINDOW),
        _allowed_at(account.orders, ACCOUNT_ORDERS, ACCOUNT_WINDOW),
    )
    if chain is None or attempts.directory != directory:
        return earliest
    life = chain.not_after - chain.not_before
    renewal = chain.not_after - life * (RENEW_BELOW + SPREAD * _chance(host, chain.fingerprint))
    return max(renewal, earliest)


def ordered(attempts: Attempts, account: Account, now: float) -> tuple[Attempts, Account]:
    """Return what is known when an order is about to be made; it counts, however it ends."""
    host_orders = (*(each for each in attempts.orders if each > now - HOST_WINDOW), int(now))
    account_orders = (*(each for each in account.orders if each > now - ACCOUNT_WINDOW), int(now))
    return replace(attempts, orders=host_orders), replace(account, orders=account_orders)


def succeeded(attempts: Attempts, directory: str) -> Attempts:
    """Return what is known after a certificate came."""
    return replace(attempts, directory=directory, failures=0, next_at=0, reason="")


def failed(attempts: Attempts, host: str, now: float, reason: str) -> Attempts:
    """Return what is known after a failure: each rests twice as long as the one before."""
    failures = attempts.failures + 1
    rest = min(FIRST_REST * 2 ** min(failures - 1, 30), LONGEST_REST)
    rest *= 1 + 0.2 * _chance(host, str(failures))
    return replace(attempts, failures=failures, next_at=int(now + rest), reason=reason)


def paused(account: Account, now: float, seconds: float) -> Account:
    """Return what is known after the authority has asked for a rest; it is taken at its word up to a day."""
    return replace(account, next_at=max(account.next_at, int(now + min(seconds, LONGEST_REST))))


def _allowed_at(orders: tuple[int, ...], limit: int, window: int) -> float:
    return orders[-limit] + window if len(orders) >= limit else 0


def _chance(*parts: str) -> float:
    """Return a number from 0 up to 1."""
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:6]) / 2**48
