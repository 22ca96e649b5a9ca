"""The last accepted form of each route, for when its labels turn bad.

History, and therefore the one part of this stage that is not a function of the labels alone: a control plane
that starts while a label is bad has no earlier form and leaves the route out (docs/adr/003).
"""

from collections.abc import Iterable
from dataclasses import replace

from swarm_xds.labels.intent import RouteIntent, ServiceIntent
from swarm_xds.problem import Kind, Problem, Severity


class Memory:
    """Remembers the sound routes of each service that still exists."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], RouteIntent] = {}

    def keep_last_good(self, intents: Iterable[ServiceIntent]) -> tuple[tuple[ServiceIntent, ...], tuple[Problem, ...]]:
        """Put the last accepted form in the place of each doubtful route, and remember those that are sound.

        A route whose labels are taken away is forgotten; a route that is doubtful from its beginning stays as it
        was parsed.
        """
        kept: list[ServiceIntent] = []
        problems: list[Problem] = []
        now: dict[tuple[str, str], RouteIntent] = {}
        for intent in intents:
            routes = {route.name: route for route in intent.routes}
            for name in sorted(intent.doubtful):
                last = self._routes.get((intent.service, name))
                if last is not None and routes.get(name) != last:
                    routes[name] = last
                    problems.append(_still_served(intent.service, last))
            for name, route in routes.items():
                if name not in intent.doubtful or (intent.service, name) in self._routes:
                    now[(intent.service, name)] = route
            if intent.doubtful:
                intent = replace(intent, routes=tuple(route for _, route in sorted(routes.items())))  # noqa: PLW2901
            kept.append(intent)
        self._routes = now
        return tuple(kept), tuple(problems)


def _still_served(service: str, route: RouteIntent) -> Problem:
    what = f'route "{route.name}"' if route.name else "the route"
    return Problem(
        severity=Severity.WARNING,
        kind=Kind.BAD_VALUE,
        service=service,
        reason=f"{what} for {', '.join(route.hosts) or 'its redirects'} is still served in its last accepted form",
        cure="mend the label that the other problem names",
    )
