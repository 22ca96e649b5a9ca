"""The last accepted form of each route, for when its labels turn bad.

History, and therefore the one part of this stage that is not a function of the labels alone: a control plane
that starts while a label is bad has no earlier form and leaves the route out (docs/adr/003).
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from swarm_xds.labels.intent import RouteIntent, ServiceIntent
from swarm_xds.problem import Kind, Problem, Severity


class Memory:
    """Remembers the accepted routes of each service that still exists."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], RouteIntent] = {}

    def keep_last_good(self, intents: Iterable[ServiceIntent]) -> tuple[tuple[ServiceIntent, ...], tuple[Problem, ...]]:
        """Put the last accepted form in the place of each doubtful route that has one."""
        kept: list[ServiceIntent] = []
        problems: list[Problem] = []
        for intent in intents:
            if intent.doubtful:
                intent, told = self.recall(intent, intent.doubtful)  # noqa: PLW2901
                problems += told
            kept.append(intent)
        return tuple(kept), tuple(problems)

    def recall(self, intent: ServiceIntent, names: Collection[str]) -> tuple[ServiceIntent, tuple[Problem, ...]]:
        """Put the last accepted form in the place of the routes of these names; one without stays as it is."""
        routes = {route.name: route for route in intent.routes}
        problems: list[Problem] = []
        for name in sorted(names):
            last = self._routes.get((intent.service, name))
            if last is not None and routes.get(name) != last:
                routes[name] = last
                problems.append(_still_served(intent.service, last))
        if not problems:
            return intent, ()
        closed = tuple(each for each in intent.closed if each.route not in routes)
        return replace(intent, routes=tuple(route for _, route in sorted(routes.items())), closed=closed), tuple(
            problems
        )

    def accept(self, served: Iterable[tuple[ServiceIntent, Collection[str]]]) -> None:
        """Remember what is served: each route but the named ones, which keep the form that they had, if any.

        A route whose labels are taken away is forgotten.
        """
        now: dict[tuple[str, str], RouteIntent] = {}
        for intent, doubtful in served:
            for route in intent.routes:
                place = (intent.service, route.name)
                if route.name not in doubtful:
                    now[place] = route
                elif place in self._routes:
                    now[place] = self._routes[place]
        self._routes = now


def _still_served(service: str, route: RouteIntent) -> Problem:
    what = f'route "{route.name}"' if route.name else "the route"
    hosts = ", ".join(sorted({*route.hosts, *route.tls_hosts})) or "its redirects"
    return Problem(
        severity=Severity.WARNING,
        kind=Kind.LAST_GOOD,
        service=service,
        reason=f"{what} for {hosts} is still served in its last accepted form",
        cure="mend the label that the other problem names",
    )
