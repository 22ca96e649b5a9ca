"""When a certificate is ordered. Pure: the time is given, and what is random follows from names, alike on each replica.

In: what was tried so far, and the certificate that there is. Out: when the next try is due. An authority's limits are
never reached by failing: each failure doubles the rest, and orders are counted (Let's Encrypt: 5 failed validations of
a host an hour, 300 orders of an account in 3 hours, 5 certificates of the same hosts a week).
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from swarm_xds.certs.values import Chain

T = TypeVar("T", bound=str)

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
#: The first rest after a failure, and the longest.
FIRST_REST, LONGEST_REST = 10 * _MINUTE, _DAY
#: Orders of one host in a day, and of one account in three hours.
HOST_ORDERS, HOST_WINDOW = 8, _DAY
ACCOUNT_ORDERS, ACCOUNT_WINDOW = 200, 3 * _HOUR
#: The part of its life that a certificate has left when it is renewed, and by how much of it that is spread.
RENEW_BELOW, SPREAD = 1 / 3, 1 / 15
#: The part of its life for which a certificate that came is not ordered anew, whatever the clock says.
NOT_AGAIN = 1 / 10
#: Seconds for which everything of a host is kept after nobody asks for it any more: limits look back a week.
KEPT = 7 * _DAY
#: Seconds after an order from which on the authority's suggestion holds: not more than three orders a week come of it.
SUGGESTED_AFTER = 2 * _DAY
#: Seconds between two questions after a suggestion; where the authority says when, not before and not after these.
ASK_EVERY, ASK_SOONEST, ASK_LATEST = 6 * _HOUR, _HOUR, _DAY
#: By how much rests are spread.
_REST_SPREAD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """When the authority would have a certificate renewed.

    Attributes:
        about: The certificate's fingerprint.
        renew_at: In seconds since the epoch; 0 if it says nothing.
        ask_at: When it is to be asked again.
    """

    about: str = ""
    renew_at: int = 0
    ask_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What was tried for one host.

    Attributes:
        directory: The authority that issued last; another one issues anew.
        challenge: The type of challenge of the last try.
        orders: When, in seconds since the epoch; the recent ones.
        failures: In a row.
        next_at: Before it nothing is tried.
        reason: Why the last try failed; empty if it did not.
        suggestion: Of the authority, for the certificate that there is.
    """

    directory: str = ""
    challenge: str = ""
    orders: tuple[int, ...] = ()
    failures: int = 0
    next_at: int = 0
    reason: str = ""
    suggestion: Suggestion = Suggestion()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What concerns all hosts: who we are to the authority, when it wants to hear of us again, and recent orders.

    Attributes:
        key: SHA-256, in hex, of the public key that the account was registered with.
        reason: Why nothing is ordered before ``next_at``.
    """

    directory: str = ""
    key: str = ""
    uri: str = ""
    next_at: int = 0
    reason: str = ""
    orders: tuple[int, ...] = ()


A = TypeVar("A", Attempts, Account)


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
    came = attempts.orders[-1] if attempts.orders and not attempts.failures else -math.inf
    renewal = max(renewal, came + life * NOT_AGAIN)
    if attempts.suggestion.about == chain.fingerprint and attempts.suggestion.renew_at:
        renewal = min(renewal, max(attempts.suggestion.renew_at, came + SUGGESTED_AFTER))
    return max(renewal, earliest)


def ask_at(chain: Chain | None, attempts: Attempts, account: Account, directory: str) -> float:
    """Return when the authority is to be asked for its suggestion, in seconds since the epoch."""
    if chain is None or attempts.directory != directory:
        return math.inf
    known = attempts.suggestion
    return max(account.next_at, known.ask_at if known.about == chain.fingerprint else 0)


def to_ask(now: float, wanted: float = 0) -> int:
    """Return when the authority is to be asked again, which wants to be asked at a time, or says nothing of it."""
    return int(min(max(wanted or now + ASK_EVERY, now + ASK_SOONEST), now + ASK_LATEST))


def in_turn(types: tuple[T, ...], attempts: Attempts) -> tuple[T, ...]:
    """Return the types of challenge in the order in which they are to be tried: the last one, unless it failed."""
    if attempts.challenge not in types:
        return types
    last = types.index(attempts.challenge) + (1 if attempts.failures else 0)
    return (*types[last:], *types[:last])


def plausible(attempts: A, now: float) -> A:
    """Return what was tried, as far as it can be: what a clock wrote that was ahead is taken for written now."""
    latest = int(now + LONGEST_REST * (1 + _REST_SPREAD))
    orders = tuple(min(each, int(now)) for each in attempts.orders)
    return replace(attempts, next_at=min(attempts.next_at, latest), orders=orders)


def forgotten(attempts: Attempts, now: float) -> bool:
    """Return whether what was tried for a host that nobody asks for, and that has no certificate, is of no use."""
    return max((attempts.next_at, *attempts.orders)) + KEPT < now


def ordered(attempts: Attempts, account: Account, now: float, challenge: str = "") -> tuple[Attempts, Account]:
    """Return what is known when an order is about to be made; it counts, however it ends."""
    host_orders = (*(each for each in attempts.orders if each > now - HOST_WINDOW), int(now))
    account_orders = (*(each for each in account.orders if each > now - ACCOUNT_WINDOW), int(now))
    return replace(attempts, orders=host_orders, challenge=challenge), replace(account, orders=account_orders)


def succeeded(attempts: Attempts, directory: str) -> Attempts:
    """Return what is known after a certificate came."""
    return replace(attempts, directory=directory, failures=0, next_at=0, reason="")


def failed(attempts: Attempts, host: str, now: float, reason: str) -> Attempts:
    """Return what is known after a failure: each rests twice as long as the one before."""
    failures = attempts.failures + 1
    rest = min(FIRST_REST * 2 ** min(failures - 1, 30), LONGEST_REST)
    rest *= 1 + _REST_SPREAD * _chance(host, str(failures))
    return replace(attempts, failures=failures, next_at=int(now + rest), reason=reason)


def paused(account: Account, now: float, seconds: float, reason: str) -> Account:
    """Return what is known after the authority has asked for a rest; it is taken at its word up to a day."""
    until = int(now + min(seconds, LONGEST_REST))
    longer = seconds > 0 and until > account.next_at
    return replace(account, next_at=until, reason=reason) if longer else account


def unknown(hosts: Iterable[str], directory: str, now: float) -> tuple[Account, dict[str, Attempts]]:
    """Return what is taken for known where nothing is: hosts have certificates, and limits may be near.

    Args:
        hosts: Those that have one.
        directory: Who is taken to have issued them, since else all would be ordered anew.
        now: Seconds since the epoch.
    """
    reason = "what was ordered before is not known, so that the authority's limits may be near"
    account = paused(Account(directory=directory), now, ACCOUNT_WINDOW, reason)
    return account, {host: Attempts(directory=directory) for host in hosts}


def _allowed_at(orders: tuple[int, ...], limit: int, window: int) -> float:
    return orders[-limit] + window if len(orders) >= limit else 0


def _chance(*parts: str) -> float:
    """Return a number from 0 up to 1."""
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:6]) / 2**48
