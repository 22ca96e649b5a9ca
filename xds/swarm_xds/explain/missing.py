"""Why nobody claims a host, or a path of it: who meant to, and what stood in the way."""

import difflib
import ipaddress
from collections.abc import Iterator

from swarm_xds.explain.match import below, covers, other_case
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
    wildcard = f"*.{question.host}"
    own = _hosts_of(question.host, facts)
    if wildcard in hosts:
        cure = f"{wildcard} stands for all names below it: add {question.host} itself to the label hosts"
    elif _is_address(question.host):
        cure = "services are told apart by host names, not by addresses: ask for one, or add the header Host"
    elif own:
        cure = f"that is the name of a service: ask for its host, {own[0]}"
    elif near:
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
_RANKED = (Subject.HOST, Subject.LABEL, Subject.NETWORK, Subject.SERVICE, Subject.FLEET)
_RANK = {subject: rank for rank, subject in enumerate(_RANKED)}


def _causes(question: Question, facts: Facts) -> Iterator[Step]:
    """Return what keeps services that mean this host from claiming it."""
    yield from _over_tls_alone(question, facts)
    known = {service.name for service in facts.state.services}
    for problem in facts.build.problems:
        # Of a service without a label in the right place nothing else is known.
        if problem.service not in known and _mentions(problem.value, question.host):
            yield _step(problem)
    for service in facts.state.services:
        intent, _ = parse(service)
        routes = [route for route in intent.routes if _means(route, question.host)]
        elsewhere = list(_elsewhere(question, service, routes, facts))
        yield from elsewhere
        if elsewhere and len(elsewhere) == len(routes):
            continue
        own = [each for each in facts.build.problems if each.service == service.name]
        errors = [each for each in own if each.severity is Severity.ERROR]
        values = (*(value for _, value in _ours(service)), *(problem.value for problem in own))
        if routes or any(_mentions(value, question.host) for value in values):
            # A value that speaks of the host is likelier to be the cause.
            for problem in sorted(errors, key=lambda each: not _mentions(each.value, question.host)):
                yield _step(problem)
            if not errors and not routes:
                yield from _odd_labels(question, service, own)


def _over_tls_alone(question: Question, facts: Facts) -> Iterator[Step]:
    """Return who has the host over TLS and not in plain, as it is with a redirect from a URL of https."""
    fleets = [fleet for fleet in facts.build.model.fleets if fleet.name == question.fleet]
    for scheme, host in (each for fleet in fleets for each in fleet.served):
        if host.host == question.host and scheme != "http" and question.scheme == "http":
            services = sorted({service for route in host.routes for service in route.services})
            if not services:
                continue
            yield note(
                Subject.HOST,
                f"{', '.join(services)} has {question.host} over TLS alone",
                cure="ask with https://, or write http:// in the label redirects too",
            )


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
    other = other_case(question.path, host.routes)
    cure = f"add a service with context_root {question.path}, or one without for all other paths"
    if near:
        cure = f"ask for {near[0]}/…: prefixes match whole segments; or {cure}"
    elif other:
        cure = f"ask for {other}: in paths, capital letters are other letters; or {cure}"
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _hosts_of(name: str, facts: Facts) -> list[str]:
    """Return the hosts of a service that is called so, with or without its stack's name in front."""
    named = {
        each.name
        for each in facts.state.services
        if name in {each.name.lower(), each.name.removeprefix(f"{each.stack}_").lower()}
    }
    return sorted(
        host.host
        for fleet in facts.build.model.fleets
        for _, host in fleet.served
        for route in host.routes
        if host.host != "*" and named & set(route.services)
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
