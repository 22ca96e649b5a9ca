"""The way of a request, from the fleet to the proxies."""

from dataclasses import dataclass, replace

from swarm_xds.explain.backends import Way, backend_steps
from swarm_xds.explain.match import below, find_host, find_route, other_case
from swarm_xds.explain.missing import missing_host, missing_path, passed_over
from swarm_xds.explain.path import has_escaped_slash, normalized
from swarm_xds.explain.proxies import proxy_steps
from swarm_xds.explain.request import forwarded, misdirected, refusal, taken
from swarm_xds.explain.values import (
    Explanation,
    Facts,
    Outcome,
    Question,
    Step,
    Subject,
    Verdict,
    broken,
    note,
    ok,
    told,
)
from swarm_xds.labels.intent import ANY_HOST
from swarm_xds.model import Fleet, Forward, RedirectTo, RedirectToHttps, Route, VirtualHost
from swarm_xds.problem import Kind, Problem, Severity

#: The port that URLs of https leave out.
_HTTPS = 443


def explain(question: Question, facts: Facts) -> Explanation:
    """Return what becomes of a request and why."""
    model = facts.build.model
    name = question.fleet or model.default_fleet
    question = replace(question, fleet=name, host=question.host.lower().rstrip("."))
    before = _source(facts)
    fleet = next((each for each in model.fleets if each.name == name), None)
    if fleet is None:
        known = ", ".join(each.name for each in model.fleets)
        step = broken(Subject.FLEET, f"no service names fleet {name}", f"ask for one of: {known}")
        return _unknown(question, facts, [*before, step])
    if question.scheme == "https":
        question, ended = _over_tls(question, facts, fleet, before)
        if ended is not None:
            return ended
    host = find_host(question.host, (host for _, host in _hosts(question, fleet)))
    passed = ("tls", host) in _hosts(question, fleet)
    refused = None if passed else refusal(question)
    if refused is not None:
        return _refused(refused[0], before, refused[1])
    if not passed:
        kept = facts.edge.keep_escaped_slashes
        taken_for = normalized(question.path, keep_escaped_slashes=kept)
        if not kept and has_escaped_slash(question.path):
            return _unescaped(replace(question, path=taken_for), before)
        if taken_for != question.path:
            before = [*before, ok(Subject.REQUEST, f"edges take {question.path} for {taken_for}")]
            question = replace(question, path=taken_for)
    if host is None or not host.routes:
        # One without routes is kept from a wildcard, or answers an authority's challenge: nobody claims it.
        return _unknown(question, facts, [*before, *missing_host(question, facts)])
    return _on_host(question, facts, _Place(fleet, host, passed), before)


def _hosts(question: Question, fleet: Fleet) -> list[tuple[str, VirtualHost]]:
    """Return the hosts of the listener that the request comes to, and how each is served."""
    return [(scheme, host) for scheme, host in fleet.served if (scheme != "http") is (question.scheme == "https")]


def _over_tls(
    question: Question, facts: Facts, fleet: Fleet, before: list[Step]
) -> tuple[Question, Explanation | None]:
    """Return the question as the handshake leaves it, and what becomes of it if it ends there."""
    hosts = _hosts(question, fleet)
    chain = find_host(question.tls_name or question.host, (host for _, host in hosts))
    bare = [each.virtual_host for each in fleet.secure_hosts if each.tls.certificate is None]
    if not question.tls_name:
        ends = chain is None or chain in bare
        return question, _without_certificate(question, facts, fleet, before) if ends else None
    if ("tls", chain) in hosts or chain in bare or (chain is None and fleet.default is None):
        # No edge sees the request: the name in TLS decides.
        return _over_tls(replace(question, host=question.tls_name, tls_name=""), facts, fleet, before)
    step = misdirected(question, chain, fleet)
    refused = None if step is None else _refused(f"421: the connection is for {question.tls_name}", before, step)
    return question, refused


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request has arrived; ``passed``: within TLS that no edge ends."""

    fleet: Fleet
    host: VirtualHost
    passed: bool


def _on_host(question: Question, facts: Facts, place: _Place, before: list[Step]) -> Explanation:
    fleet, host = place.fleet, place.host
    steps = [*before, _host_step(question, host)]
    if place.passed:
        text = (
            "its TLS goes to the tasks as it comes: no edge sees method, path or headers, or has a certificate for it"
        )
        steps.append(note(Subject.HOST, text))
    if host.host == ANY_HOST:
        steps += passed_over(question, facts)
    route = find_route(question.path, host.routes)
    if route is None:
        return _unknown(question, facts, [*steps, *missing_path(question, host, facts)])
    steps += _route_steps(question, host, route, facts)
    steps += () if place.passed else taken(question)
    if isinstance(route.action, RedirectTo | RedirectToHttps):
        port = "" if facts.edge.public_port == _HTTPS else f":{facts.edge.public_port}"
        answer = f"308 to https://{question.host}{port}{question.path}{_query(question)}"
        if isinstance(route.action, RedirectTo):
            answer = f"302 to {_target(question, route, route.action)}"
        ending = _ending(question, facts, host, (), Outcome.REDIRECTED)
        return _concluded(replace(ending, answer=answer, steps=(*steps, *ending.steps), service=route.services[0]))
    steps += () if place.passed else forwarded(question, route.action, facts)
    return _forwarded(question, facts, _Found(fleet, host, route, route.action), steps)


def _refused(answer: str, before: list[Step], step: Step) -> Explanation:
    return Explanation(outcome=Outcome.REFUSED, answer=answer, steps=(*before, step))


def _unescaped(question: Question, before: list[Step]) -> Explanation:
    text = "a slash that is written as %2F or %5C is one to some servers and none to others, so edges ask again without"
    answer = f"307 to {question.path}{_query(question)}"
    steps = (*before, note(Subject.REQUEST, text))
    return Explanation(outcome=Outcome.REDIRECTED, answer=answer, steps=steps)


def _without_certificate(question: Question, facts: Facts, fleet: Fleet, before: list[Step]) -> Explanation:
    """Return why a host is not served over TLS: nobody has a certificate for it, or nobody claims it at all."""
    claimed = find_host(question.host, (host for _, host in fleet.served))
    if claimed is None or not claimed.routes:
        found = _unknown(question, facts, [*before, *missing_host(question, facts)])
        refused = f"the TLS handshake is refused: nobody claims {question.host}"
        return found if claimed is None and fleet.default is not None else replace(found, answer=refused)
    services = sorted({service for route in claimed.routes for service in route.services})
    problems = [
        problem
        for problem in facts.build.problems
        if problem.service in services and problem.severity > Severity.INFO and problem.kind not in _OF_NETWORKS
    ]
    # What keeps a certificate away is the cause; without such a problem nobody has asked for one.
    withheld = [each for each in facts.build.problems if each.kind is Kind.KEYS_WITHHELD]
    cause = next((each for each in (*withheld, *problems) if each.kind in _OF_CERTIFICATES), None)
    steps = [
        _problem_step(problem, Subject.LABEL if problem.label else Subject.SERVICE)
        for problem in problems
        if problem is not cause
    ]
    whose = f"{question.host}, as a host that nobody claims," if claimed.host == ANY_HOST else claimed.host
    text = f"{whose} has no certificate that can be served, so that TLS for it is refused"
    if cause is None:
        step = broken(
            Subject.HOST, text, "name one in the label ssl_cert, or put one for it into the directory of certificates"
        )
    else:
        steps.insert(0, note(Subject.HOST, text))
        step = broken(Subject.LABEL if cause.label else Subject.HOST, told(cause), cause.cure)
    answer = "the TLS handshake is refused"
    return Explanation(outcome=Outcome.NOT_SERVED, answer=answer, steps=(*before, *steps, step))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a request falls to."""

    fleet: Fleet
    host: VirtualHost
    route: Route
    forward: Forward


def _forwarded(question: Question, facts: Facts, found: _Found, steps: list[Step]) -> Explanation:
    route, forward = found.route, found.forward
    backends = {backend.name: backend for backend in found.fleet.backends}
    ways: list[Way] = []
    for share in forward.backends:
        way = backend_steps(question, backends[share.backend], facts)
        ways.append(way)
        steps += way.steps
    if len(ways) > 1:
        steps.append(_shares(forward))
    endpoints = tuple(sorted({endpoint for way in ways for endpoint in way.endpoints}))
    if not endpoints:
        outcome = Outcome.UNAVAILABLE
    else:
        outcome = Outcome.FORWARDED
        # What one of several services lacks is no trouble of the request's as long as another has it.
        steps = [replace(each, verdict=Verdict.NOTE) if each.verdict is Verdict.BROKEN else each for each in steps]
    names = tuple(share.backend for share in forward.backends)
    ending = _ending(question, facts, found.host, names, outcome)
    services = ", ".join(route.services)
    if outcome is Outcome.UNAVAILABLE:
        answer = f"503 with Retry-After: nothing of {services} can be reached"
    else:
        count = f"{len(endpoints)} endpoint{'s' if len(endpoints) > 1 else ''}"
        answer = f"{question.method} goes to {services}, by {count}"
        if forward.strip_prefix:
            answer += f", as {_stripped(question.path, route.path)}"
    return _concluded(
        replace(ending, answer=answer, steps=(*steps, *ending.steps), service=route.services[0], endpoints=endpoints)
    )


def _ending(
    question: Question, facts: Facts, host: VirtualHost, backends: tuple[str, ...], outcome: Outcome
) -> Explanation:
    """Return what the proxies say; the outcome is as given unless none of them serves it."""
    steps = proxy_steps(facts, question.fleet, host.host, backends, secure=question.scheme == "https")
    if any(step.verdict is Verdict.BROKEN for step in steps) and outcome is not Outcome.UNAVAILABLE:
        outcome = Outcome.NOT_SERVED
    return Explanation(outcome=outcome, answer="", steps=tuple(steps))


def _concluded(explanation: Explanation) -> Explanation:
    if explanation.outcome is Outcome.NOT_SERVED and explanation.cause is not None:
        return replace(explanation, answer=f"{explanation.answer}, but not yet everywhere")
    return explanation


def _unknown(question: Question, facts: Facts, steps: list[Step]) -> Explanation:
    status = facts.edge.unknown_host_status
    steps += proxy_steps(facts, question.fleet, "", ())
    return Explanation(
        outcome=Outcome.UNKNOWN_HOST,
        answer=f"{status}: nobody claims {question.host}{question.path}",
        steps=tuple(steps),
    )


def _source(facts: Facts) -> list[Step]:
    steps = []
    if facts.reading_age is not None and facts.reading_age > facts.reading_limit:
        text = f"the swarm was last read well {facts.reading_age:.0f} s ago, so all of this may be old"
        steps.append(note(Subject.SOURCE, text, cure="see why it cannot be read"))
    everything = [each for each in facts.build.problems if not each.service and each.severity is Severity.ERROR]
    for problem in everything:
        text = f"{problem.source}: {problem.reason}" if problem.source else problem.reason
        steps.append(note(Subject.SOURCE, text, cure=problem.cure))
    return steps


def _host_step(question: Question, host: VirtualHost) -> Step:
    if host.host == question.host:
        text = f"{host.host} is claimed"
    elif host.host == ANY_HOST:
        text = f"nobody claims {question.host}, so it falls to the default backend"
    else:
        text = f"{question.host} falls to the wildcard {host.host}"
    return ok(Subject.HOST, text)


def _route_steps(question: Question, host: VirtualHost, route: Route, facts: Facts) -> list[Step]:
    place = f"{host.host}{route.path}"
    text = f"{question.path} is below {route.path}, the longest prefix of {len(host.routes)} on this host"
    if len(host.routes) == 1:
        text = f"{place} is the only route of this host"
    steps = [ok(Subject.ROUTE, text)]
    near = [
        each.path for each in host.routes if question.path.startswith(each.path) and not below(question.path, each.path)
    ]
    if near:
        text = f"{question.path} is not below {near[0]}: prefixes match whole segments"
        steps.append(note(Subject.ROUTE, text, cure=f"ask for {near[0]}/…"))
    if other := other_case(question.path, host.routes):
        text = f"{question.path} is not below {other}: in paths, capital letters are other letters"
        steps.append(note(Subject.ROUTE, text, cure=f"ask for {other}"))
    steps += [
        _problem_step(problem, Subject.ROUTE)
        for problem in facts.build.problems
        if problem.kind is Kind.CONFLICT and place in problem.reason.split()
    ]
    for service in route.services:
        steps += [
            _problem_step(problem, Subject.LABEL if problem.label else Subject.SERVICE)
            for problem in facts.build.problems
            if problem.service == service
            and problem.kind is not Kind.CONFLICT
            and problem.severity > Severity.INFO
            and problem.kind not in _OF_NETWORKS
        ]
    return steps


#: Why a host that asks for a certificate has none.
_OF_CERTIFICATES = frozenset({Kind.NO_CERTIFICATE, Kind.BAD_CERTIFICATE, Kind.KEYS_WITHHELD, Kind.UNREAD})
#: Told again, with more to say, by the steps of the backend.
_OF_NETWORKS = frozenset({Kind.UNREACHABLE_NETWORK})


def _problem_step(problem: Problem, subject: Subject) -> Step:
    return note(subject, told(problem), problem.cure)


def _shares(forward: Forward) -> Step:
    total = sum(share.weight for share in forward.backends)
    parts = ", ".join(f"{share.backend} {share.weight / total:.0%}" for share in forward.backends)
    return ok(Subject.ROUTE, f"the traffic is shared: {parts}")


def _target(question: Question, route: Route, action: RedirectTo) -> str:
    port = f":{action.port}" if action.port else ""
    path = question.path
    if action.path:
        rest = path[len(route.path.rstrip("/")) :]
        path = f"{action.path.rstrip('/')}{rest}" or "/"
    return f"{action.scheme}://{action.host}{port}{path}{_query(question)}"


def _query(question: Question) -> str:
    return f"?{question.query}" if question.query else ""


def _stripped(path: str, prefix: str) -> str:
    return f"/{path[len(prefix) :].lstrip('/')}"
