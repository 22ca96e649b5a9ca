"""The plan as a whole: every service's offer, gathered into fleets."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from swarm_xds.labels import ServiceIntent
from swarm_xds.memo import Memo
from swarm_xds.model import Backend, Fleet, Forward, RoutingModel
from swarm_xds.plan.claims import Claim, virtual_host
from swarm_xds.plan.offer import Offer, offer
from swarm_xds.plan.reach import Surroundings
from swarm_xds.problem import Problem
from swarm_xds.swarm import Service, SwarmState

#: Returns an intent with the last accepted form of the named routes, and what to say of them.
Recall = Callable[[ServiceIntent, Collection[str]], tuple[ServiceIntent, tuple[Problem, ...]]]
#: By service id: names of the routes whose labels lead nowhere, though each is good by itself.
Rejected = dict[str, frozenset[str]]


@dataclass(slots=True)
class _Gathered:
    """What all services bring to one fleet."""

    backends: dict[str, Backend] = field(default_factory=dict)
    #: By host.
    claims: dict[str, list[Claim]] = field(default_factory=lambda: defaultdict(list))


def build(
    state: SwarmState,
    intents: Iterable[tuple[Service, ServiceIntent]],
    default_fleet: str,
    memo: Memo | None = None,
    recall: Recall = lambda intent, _: (intent, ()),
) -> tuple[RoutingModel, tuple[Problem, ...], Rejected]:
    """Return what the fleets serve, the problems that show only here, and the routes that are not served as asked.

    These are served as ``recall`` has them; without that, or if that leads nowhere either, they are left out.
    """
    memo = Memo() if memo is None else memo
    surroundings = (state.networks, state.nodes, state.fleet_networks, state.fleet_services, state.relays)
    around = memo.keep("surroundings", surroundings, partial(Surroundings.of, state))
    fleets: dict[str, _Gathered] = defaultdict(_Gathered)
    fleets[default_fleet] = _Gathered()
    problems: list[Problem] = []
    rejected: Rejected = {}
    make = partial(offer, default_fleet=default_fleet, around=around)
    pairs = [(service.id, (service, intent)) for service, intent in intents]
    offers = memo.each("offers", (default_fleet, around), pairs, make)
    for (_, (service, intent)), first in zip(pairs, offers, strict=True):
        offered = first
        if first.rejected:
            rejected[service.id] = first.rejected
            offered = _recalled(service, intent, first, recall, make)
        for fleet, backend in offered.backends:
            fleets[fleet].backends[backend.name] = backend
        for fleet, host, claim in offered.claims:
            fleets[fleet].claims[host].append(claim)
        problems += offered.problems
    model = []
    for name, gathered in sorted(fleets.items()):
        fleet_model, conflicts = _fleet(name, gathered, memo)
        problems += conflicts
        model.append(fleet_model)
    return RoutingModel(fleets=tuple(model), default_fleet=default_fleet), tuple(problems), rejected


def _recalled(
    service: Service,
    intent: ServiceIntent,
    first: Offer,
    recall: Recall,
    make: Callable[[tuple[Service, ServiceIntent]], Offer],
) -> Offer:
    """Return the offer with each rejected route in its last accepted form, if that leads somewhere."""
    offered = first
    for name in sorted(first.rejected):
        last, told = recall(intent, (name,))
        instead = make((service, last))
        if told and name not in instead.rejected:
            intent = last
            offered = replace(instead, problems=(*instead.problems, *first.problems, *told))
    return offered


def _fleet(name: str, gathered: _Gathered, memo: Memo) -> tuple[Fleet, list[Problem]]:
    given = [(host, (host, tuple(claims))) for host, claims in sorted(gathered.claims.items())]
    settled = memo.each(("hosts", name), None, given, virtual_host)
    used = {
        share.backend
        for host, _ in settled
        for route in host.routes
        if isinstance(route.action, Forward)
        for share in route.action.backends
    }
    fleet = Fleet(
        name=name,
        virtual_hosts=tuple(host for host, _ in settled),
        backends=tuple(backend for name, backend in sorted(gathered.backends.items()) if name in used),
    )
    return fleet, [problem for _, conflicts in settled for problem in conflicts]
