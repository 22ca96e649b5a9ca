"""Who may have a stream, and how much of it: checks of one request, one client, one rate.

In: requests, what a certificate says, times. Out: nothing, or ``RefusedError``. Pure: time is passed in. It must not
know what is served.
"""

from swarm_xds.server.limits import Limits
from swarm_xds.server.observer import Peer, Refusal
from swarm_xds.server.wire import Request


class RefusedError(Exception):
    """The stream cannot go on, for what its client is or did; the text says what."""

    refusal: Refusal


class ProtocolError(RefusedError):
    """The client broke the protocol."""

    refusal = Refusal.PROTOCOL


class ForbiddenError(RefusedError):
    """The client asks for what its certificate does not allow."""

    refusal = Refusal.FORBIDDEN


class LimitError(RefusedError):
    """The client wants more than one may have."""

    refusal = Refusal.LIMIT


class Allowance:
    """How soon the next request may be read: so many a second, and some more after a time of fewer."""

    __slots__ = ("_burst", "_left", "_rate", "_then")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = float(burst)
        self._then = now

    def wait(self, now: float) -> float:
        """Return for how many seconds the next request has to wait, and take it as read then."""
        self._left = min(self._burst, self._left + (now - self._then) * self._rate) - 1.0
        self._then = now
        return max(0.0, -self._left / self._rate)

    def charge(self, requests: float) -> None:
        """Take one that was read for as many more as it cost."""
        self._left -= requests


def check_length(request: Request, limits: Limits) -> None:
    """Take a request whose texts are of a length that can be remembered.

    Raises:
        LimitError: One is longer.
    """
    if request.longest > limits.name_length:
        raise LimitError(f"a name of more than {limits.name_length} characters")


def admit(peer: Peer, *, certified: bool, fleet: str | None) -> None:
    """Let a client in whose certificate, if it had to show one, names the fleet that it asks for.

    Raises:
        ForbiddenError: It names another, or none.
    """
    if not certified or fleet == peer.fleet:
        return
    named = "no fleet" if fleet is None else f"fleet {fleet!r}"
    raise ForbiddenError(f"the client asks for fleet {peer.fleet!r}, and its certificate names {named}")


def check_certificate(expires: float | None, now: float) -> None:
    """Let a client go on whose certificate has not expired; ``None`` never does.

    Raises:
        ForbiddenError: It has.
    """
    if expires is not None and now >= expires:
        raise ForbiddenError("the client's certificate has expired")
