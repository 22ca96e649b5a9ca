"""When an order is due: tables of what was tried."""

import itertools
import math
from dataclasses import replace

import pytest

from swarm_xds.certs.acme import pacing
from swarm_xds.certs.acme.pacing import Account, Attempts, Suggestion
from swarm_xds.certs.values import Chain

HOST = "a.example.org"
DIRECTORY = "https://acme.example.org/directory"
NOW = 1_000_000_000
DAY = 86_400
ISSUED = Attempts(directory=DIRECTORY)


def chain(since: float, days: float, mark: str = "1") -> Chain:
    """Return a chain that is valid from a time on for some days."""
    return Chain(
        pem=b"",
        spki="",
        names=(HOST,),
        not_before=int(since),
        not_after=int(since + days * DAY),
        fingerprint=mark,
        issuer="",
        subject="",
    )


def due(chain: Chain | None, attempts: Attempts = ISSUED, account: Account | None = None) -> float:
    """Return when an order is due."""
    return pacing.due_at(HOST, chain, attempts, account or Account(), DIRECTORY)


def test_a_host_without_a_certificate_is_due_at_once() -> None:
    """Nothing was tried."""
    assert due(None, Attempts()) == 0


def test_renewal_is_spread_over_a_part_of_the_last_third() -> None:
    """By the host and the certificate, and so alike on every replica."""
    times = [due(chain(NOW, 90, str(each))) for each in range(200)]
    assert times == [due(chain(NOW, 90, str(each))) for each in range(200)]
    first, last = NOW + 54 * DAY, NOW + 60 * DAY
    assert all(first <= each <= last for each in times)
    assert min(times) < first + DAY
    assert max(times) > last - DAY


def test_another_authority_issues_anew() -> None:
    """As from a test authority to the real one."""
    assert due(chain(NOW, 90), Attempts(directory="https://staging.example.org")) == 0


def test_failures_rest_longer_and_longer() -> None:
    """Five in the first hour would be the limit of a well-known authority."""
    attempts, now, times = ISSUED, float(NOW), []
    for _ in range(12):
        times.append(now)
        attempts = pacing.failed(attempts, HOST, now, "no")
        now = due(None, attempts)
    rests = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len([each for each in times if each < NOW + 3_600]) <= 4
    assert all(rest >= pacing.FIRST_REST for rest in rests)
    assert max(rests) <= pacing.LONGEST_REST * 1.2
    assert rests[:7] == sorted(rests[:7])
    done = pacing.succeeded(attempts, DIRECTORY)
    assert (done.failures, done.reason, due(None, done)) == (0, "", 0)


def test_orders_are_limited_whatever_comes_of_them() -> None:
    """A state that forgets certificates must not order for ever."""
    attempts, account, now = Attempts(), Account(), NOW
    for each in range(pacing.HOST_ORDERS):
        assert due(None, attempts, account) <= now
        attempts, account = pacing.ordered(attempts, account, now + each)
        attempts = pacing.succeeded(attempts, DIRECTORY)
    assert due(None, attempts, account) == NOW + pacing.HOST_WINDOW
    later = pacing.ordered(attempts, account, NOW + 2 * DAY)[0]
    assert later.orders == (NOW + 2 * DAY,)


def test_an_accounts_orders_are_limited_over_all_hosts() -> None:
    """The oldest of the last two hundred says when."""
    account = Account()
    for each in range(pacing.ACCOUNT_ORDERS):
        _, account = pacing.ordered(Attempts(), account, NOW + each)
    assert due(None, Attempts(), account) == NOW + pacing.ACCOUNT_WINDOW


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(120, NOW + 120, id="a while"),
        pytest.param(10 * DAY, NOW + DAY, id="no longer than a day"),
        pytest.param(0, 0, id="not asked for"),
    ],
)
def test_an_authority_that_wants_a_rest_has_it(seconds: float, expected: int) -> None:
    """For every host; a shorter one never ends a longer."""
    account = pacing.paused(Account(), NOW, seconds, "too many")
    assert due(None, Attempts(), account) == expected
    assert account.reason == ("too many" if seconds else "")
    longer = Account(next_at=NOW + DAY, reason="before")
    assert pacing.paused(longer, NOW, 5, "too many") == longer


@pytest.mark.parametrize(
    ("last", "failures", "expected"),
    [
        pytest.param("", 0, ("a", "b", "c"), id="the first is tried first"),
        pytest.param("b", 0, ("b", "c", "a"), id="what went well stays"),
        pytest.param("b", 1, ("c", "a", "b"), id="the next after a failure"),
        pytest.param("c", 7, ("a", "b", "c"), id="and the first after the last"),
        pytest.param("gone", 1, ("a", "b", "c"), id="what is not to be tried any more"),
    ],
)
def test_challenges_take_turns(last: str, failures: int, expected: tuple[str, ...]) -> None:
    """Only where one failed."""
    assert pacing.in_turn(("a", "b", "c"), Attempts(challenge=last, failures=failures)) == expected


def test_what_came_is_not_ordered_again_at_once() -> None:
    """A clock that is two months ahead sees every certificate in need of renewal."""
    attempts, _ = pacing.ordered(ISSUED, Account(), NOW)
    old = chain(NOW - 65 * DAY, 90)
    assert due(old) < NOW
    assert due(old, attempts) == NOW + 9 * DAY
    assert due(old, replace(attempts, failures=1)) < NOW


@pytest.mark.parametrize(
    ("about", "renew_at", "expected"),
    [
        pytest.param("1", NOW + DAY, NOW + DAY, id="earlier than ours"),
        pytest.param("1", NOW - DAY, NOW - DAY, id="at once"),
        pytest.param("1", NOW - 40 * DAY, NOW - 28 * DAY, id="two days after it came at the earliest"),
        pytest.param("1", NOW + 89 * DAY, None, id="later than ours"),
        pytest.param("1", 0, None, id="no suggestion"),
        pytest.param("2", NOW + DAY, None, id="for another certificate"),
    ],
)
def test_an_authority_may_have_a_certificate_renewed_earlier(about: str, renew_at: int, expected: int | None) -> None:
    """As before it revokes many."""
    asked = replace(ISSUED, orders=(NOW - 30 * DAY,), suggestion=Suggestion(about=about, renew_at=renew_at))
    own = due(chain(NOW - 30 * DAY, 90))
    assert due(chain(NOW - 30 * DAY, 90), asked) == (own if expected is None else expected)


def test_an_authority_is_asked_now_and_then() -> None:
    """For the certificates that it issued, and not while it wants to be left alone."""
    good, asked = chain(NOW, 90), replace(ISSUED, suggestion=Suggestion(about="1", ask_at=NOW + 60))
    assert pacing.ask_at(None, ISSUED, Account(), DIRECTORY) == math.inf
    assert pacing.ask_at(good, Attempts(directory="https://staging.example.org"), Account(), DIRECTORY) == math.inf
    assert pacing.ask_at(good, ISSUED, Account(), DIRECTORY) == 0
    assert pacing.ask_at(good, asked, Account(), DIRECTORY) == NOW + 60
    assert pacing.ask_at(chain(NOW, 90, "2"), asked, Account(), DIRECTORY) == 0
    assert pacing.ask_at(good, asked, Account(next_at=NOW + DAY), DIRECTORY) == NOW + DAY
    rests = [pacing.to_ask(NOW, wanted) - NOW for wanted in (0, NOW + 5, NOW + 7_200, NOW + 9 * DAY)]
    assert rests == [6 * 3_600, 3_600, 7_200, DAY]


def test_a_clock_that_was_ahead_holds_nothing_up() -> None:
    """What was written then counts as written now."""
    ahead = NOW + 365 * DAY
    attempts, account = pacing.ordered(pacing.failed(ISSUED, HOST, ahead, "no"), Account(), ahead)
    account = pacing.paused(account, ahead, 60, "busy")
    attempts, account = pacing.plausible(attempts, NOW), pacing.plausible(account, NOW)
    assert due(None, attempts, account) <= NOW + 1.2 * DAY
    assert (attempts.orders, account.orders) == ((NOW,), (NOW,))
    right = Attempts(next_at=NOW + 60, orders=(NOW - 60,))
    assert pacing.plausible(right, NOW) == right


def test_what_nobody_asks_for_is_forgotten_after_a_week() -> None:
    """Limits look back a week."""
    attempts, _ = pacing.ordered(Attempts(), Account(), NOW)
    assert not pacing.forgotten(attempts, NOW + 7 * DAY)
    assert pacing.forgotten(attempts, NOW + 7 * DAY + 1)
    assert not pacing.forgotten(replace(attempts, next_at=NOW + DAY), NOW + 7 * DAY + 1)


def test_a_lost_state_orders_nothing_anew_and_nothing_soon() -> None:
    """Hosts have certificates, and the limits of the last hours are not known."""
    account, tried = pacing.unknown([HOST], DIRECTORY, NOW)
    good = chain(NOW, 90)
    assert due(good, tried[HOST], account) > NOW + 50 * DAY
    assert due(None, Attempts(), account) == NOW + pacing.ACCOUNT_WINDOW
