"""Why nobody claims a host, or a path of it: who meant to, and what stood in the way."""

import difflib
from collections.abc import Iterator

from swarm_xds.explain.match import below, covers
from swarm_xds.explain.values import Facts, Question, Step, Subject, broken, note, told
from swarm_xds.labels import RouteIntent, parse
from swarm_xds.model import VirtualHost
from swarm_xds.problem import Problem, Severity
from swarm_xds.swarm import Service
from swarm_xds.swarm.marks import ROUTED_PREFIXES

_GUESSES = 3


def missing_host(question: Question, facts: Facts) -> list[Step]:
    """Return why no route has the host, the likeliest cause first."""
    nobody = f"no service of fleet {question.fleet} claims {question.host}"
    causes = list(_causes(question, facts))
    if causes:
        first, *rest = sorted(causes, key=lambda step: _RANK[step.subject])
        return [
            note(Subject.HOST, nobody),
            broken(first.subject, first.text, cure=first.cure),
            *rest,
        ]
    hosts = sorted({host for fleet in facts.build.model.fleets for host in fleet.hosts})
    near = difflib.get_close_matches(question.host, hosts, n=_GUESSES, cutoff=0.8)
    if near:
        cure = f"did you mean {near[0]}?"
    elif hosts:
        cure = f"give a service the label hosts={question.host}; {len(hosts)} other hosts are claimed"
    else:
        cure = f"give a service the labels hosts={question.host} and port; no host at all is claimed"
    return [broken(Subject.HOST, nobody, cure=cure)]


def passed_over(question: Question, facts: Facts) -> list[Step]:
    """Return why services that mean a host do not have it, where the default backend has it instead."""
    return list(_causes(question, facts))


#: What is likelier to be the cause goes first.
_RANK = {subject: rank for rank, subject in enumerate((Subject.LABEL, Subject.NETWORK, Subject.SERVICE, Subject.FLEET))}


def _causes(question: Question, facts: Facts) -> Iterator[Step]:
    """Return what keeps services that mean this host from claiming it."""
    for service in facts.state.services:
        intent, _ = parse(service)
        routes = [route for route in intent.routes if _means(route, question.host)]
        elsewhere = list(_elsewhere(question, service, routes, facts))
        yield from elsewhere
        if elsewhere and len(elsewhere) == len(routes):
            continue
        own = [each for each in facts.build.problems if each.service == service.name]
        errors = [each for each in own if each.severity is Severity.ERROR]
        if routes or any(_mentions(value, question.host) for _, value in _ours(service)):
            for problem in errors:
                yield _step(problem)
            if not errors and not routes:
                yield from _odd_labels(question, service, own)


def _elsewhere(question: Question, service: Service, routes: list[RouteIntent], facts: Facts) -> Iterator[Step]:
    """Return the routes for this host that another fleet serves."""
    for route in routes:
        fleet = route.fleet or facts.build.model.default_fleet
        if fleet != question.fleet:
            yield note(
                Subject.FLEET,
                f"{service.name} claims it for fleet {fleet}, not for {question.fleet}",
                cure=f"ask a proxy of fleet {fleet}, or change the label service_cluster",
            )


def _odd_labels(question: Question, service: Service, own: list[Problem]) -> Iterator[Step]:
    for problem in own:
        yield _step(problem)
    if not own:
        text = f"a label of {service.name} has {question.host} in it, and asks for no route of that host"
        yield note(Subject.SERVICE, text, cure="write it in the label hosts")


def missing_path(question: Question, host: VirtualHost, facts: Facts) -> list[Step]:
    """Return why no route of a host has the path."""
    paths = [route.path for route in host.routes]
    text = f"no route of {host.host} is for {question.path}; there are {', '.join(paths)}"
    near = [path for path in paths if question.path.startswith(path) and not below(question.path, path)]
    cure = f"add a service with context_root {question.path}, or one without for all other paths"
    if near:
        cure = f"ask for {near[0]}/…: prefixes match whole segments; or {cure}"
    steps = [broken(Subject.ROUTE, text, cure=cure)]
    for service in facts.state.services:
        if any(_mentions(value, question.host) for _, value in _ours(service)):
            steps += [
                _step(problem)
                for problem in facts.build.problems
                if problem.service == service.name and problem.severity is Severity.ERROR
            ]
    return steps


def _means(route: RouteIntent, host: str) -> bool:
    return any(covers(name, host) for name in route.hosts if name != "*") or any(
        redirect.host == host for redirect in route.redirects
    )


def _ours(service: Service) -> list[tuple[str, str]]:
    """Return a service's labels that look like ours, also misspelt ones."""
    return [(key, value) for key, value in service.labels if key.startswith(ROUTED_PREFIXES)]


def _mentions(value: str, host: str) -> bool:
    """Tell whether a label's value speaks of a host."""
    words = value.lower().replace(",", " ").replace(";", " ").replace("=", " ").split()
    names = {word.partition("://")[2].partition("/")[0] or word.partition("/")[0] for word in words}
    return any(covers(name.partition(":")[0], host) for name in names if name != "*")


def _step(problem: Problem) -> Step:
    return note(Subject.LABEL if problem.label else Subject.SERVICE, told(problem), problem.cure)
