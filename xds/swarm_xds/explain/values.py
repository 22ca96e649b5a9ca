"""A question and its answer as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from swarm_xds.model import EdgeOptions
from swarm_xds.observe import Member
from swarm_xds.pipeline import Build
from swarm_xds.problem import Problem
from swarm_xds.swarm import SwarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that somebody makes, or would.

    Attributes:
        scheme: ``http`` or ``https``.
        host: As in the URL or the header ``Host``, without a port.
        tls_name: The name that TLS is asked for (SNI); empty for ``host``.
        path: Beginning with ``/``, without a query.
        query: What comes after the ``?``.
        headers: Names in lower case, each once.
        fleet: Empty for the default fleet.
    """

    scheme: str = "http"
    host: str
    tls_name: str = ""
    path: str = "/"
    query: str = ""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    fleet: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known.

    Attributes:
        members: Of all fleets.
        edge: What edges do apart from any service.
        waiting: Why a step for a network has to wait, by fleet and network name.
        reading_age: Seconds since the swarm was last read well; None if that is not known.
        reading_limit: Seconds of it from which on the swarm counts as away.
        now: Seconds since the epoch.
    """

    state: SwarmState
    build: Build
    members: tuple[Member, ...] = ()
    edge: EdgeOptions = field(default_factory=EdgeOptions)
    waiting: Mapping[tuple[str, str], str] = field(default_factory=dict)
    reading_age: float | None = None
    reading_limit: float = 60.0
    now: float = 0.0


class Subject(StrEnum):
    """What a step is about."""

    SOURCE = "source"
    FLEET = "fleet"
    HOST = "host"
    ROUTE = "route"
    SERVICE = "service"
    LABEL = "label"
    NETWORK = "network"
    RELAY = "relay"
    TASK = "task"
    RESOURCE = "resource"
    REQUEST = "request"
    PROXY = "proxy"


class Verdict(StrEnum):
    """How a step turned out."""

    OK = "ok"
    NOTE = "note"
    """The request gets through, and there is something to know."""
    BROKEN = "broken"


class Outcome(StrEnum):
    """What becomes of the request."""

    FORWARDED = "forwarded"
    REDIRECTED = "redirected"
    UNKNOWN_HOST = "unknown-host"
    UNAVAILABLE = "unavailable"
    """503: there is a route, and nothing behind it."""
    REFUSED = "refused"
    """An edge answers it itself, for what it is, whatever its route."""
    NOT_SERVED = "not-served"
    """No proxy serves it, or not all of them do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on the way, one sentence without a full stop.

    Attributes:
        cure: What to change; empty if there is nothing to.
    """

    subject: Subject
    verdict: Verdict
    text: str
    cure: str = ""


def ok(subject: Subject, text: str) -> Step:
    """Return a step that goes well."""
    return Step(subject=subject, verdict=Verdict.OK, text=text)


def note(subject: Subject, text: str, cure: str = "") -> Step:
    """Return a step that is to be known of."""
    return Step(subject=subject, verdict=Verdict.NOTE, text=text, cure=cure)


def broken(subject: Subject, text: str, cure: str = "") -> Step:
    """Return a step that stops the request."""
    return Step(subject=subject, verdict=Verdict.BROKEN, text=text, cure=cure)


def told(problem: Problem) -> str:
    """Return what a problem says: service, label, value, reason."""
    shown = f'{problem.label}="{problem.value}"' if problem.value else problem.label
    return f"{problem.service}: {f'label {shown}: ' if shown else ''}{problem.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The steps in the order that the request takes, and what becomes of it.

    Attributes:
        answer: One sentence without a full stop.
        service: Name of the first service behind the route; empty without one.
        endpoints: ``address:port`` of each task that may get the request, sorted.
    """

    outcome: Outcome
    answer: str
    steps: tuple[Step, ...]
    service: str = ""
    endpoints: tuple[str, ...] = ()

    @property
    def cause(self) -> Step | None:
        """The first step that is broken: the one to mend."""
        return next((step for step in self.steps if step.verdict is Verdict.BROKEN), None)
