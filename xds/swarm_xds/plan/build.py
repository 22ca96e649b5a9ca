"""The plan as a whole: every service's offer, gathered into fleets."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from swarm_xds.certs.values import Certificates
from swarm_xds.labels import BackendTlsIntent, ServiceIntent
from swarm_xds.memo import Memo
from swarm_xds.model import Backend, Fleet, Forward, RoutingModel
from swarm_xds.plan.claims import Claim, Entry, virtual_host
from swarm_xds.plan.encrypted import challenged, challenged_in_tls, encrypted_hosts, trusting, uncertified
from swarm_xds.plan.offer import Offer, offer
from swarm_xds.plan.reach import Surroundings
from swarm_xds.plan.shut import shut_in_plain, shut_in_tls
from swarm_xds.problem import Problem
from swarm_xds.swarm import Service, SwarmState

#: Returns an intent with the last accepted form of the named routes, and what to say of them.
Recall = Callable[[ServiceIntent, Collection[str]], tuple[ServiceIntent, tuple[Problem, ...]]]
#: By service id: names of the routes whose labels lead nowhere, though each is good by itself.
Rejected = dict[str, frozenset[str]]
_NO_CERTIFICATES = Certificates()


@dataclass(slots=True)
class _Gathered:
    """What all services bring to one fleet."""

    backends: dict[str, Backend] = field(default_factory=dict)
    #: By backend: whose authorities are to be found.
    authorities: dict[str, tuple[Service, BackendTlsIntent]] = field(default_factory=dict)
    #: By entry and host.
    claims: dict[Entry, dict[str, list[Claim]]] = field(
        default_factory=lambda: {entry: defaultdict(list) for entry in Entry}
    )
    #: Hosts of routes that were to keep people out and are left out.
    shut: set[str] = field(default_factory=set)


def build(  # noqa: PLR0917 - in the order of the arrow
    state: SwarmState,
    intents: Iterable[tuple[Service, ServiceIntent]],
    default_fleet: str,
    memo: Memo | None = None,
    recall: Recall = lambda intent, _: (intent, ()),
    certificates: Certificates = _NO_CERTIFICATES,
    before: RoutingModel | None = None,
) -> tuple[RoutingModel, tuple[Problem, ...], Rejected]:
    """Return what the fleets serve, the problems that show only here, and the routes that are not served as asked.

    These are served as ``recall`` has them; without that, or if that leads nowhere either, they are left out.
    ``before`` is the model that was served last: a certificate in it stays where no other can be used.
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
        for fleet, backend_name, asked in offered.authorities:
            fleets[fleet].authorities[backend_name] = (service, asked)
        for fleet, host in offered.shut:
            fleets[fleet].shut.add(host)
        for fleet, entry, host, claim in offered.claims:
            fleets[fleet].claims[entry][host].append(claim)
        problems += offered.problems
    model = []
    last = {fleet.name: fleet for fleet in (before.fleets if before is not None else ())}
    for name, gathered in sorted(fleets.items()):
        fleet_model, conflicts = _fleet(gathered, certificates, last.get(name, Fleet(name=name)), memo)
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


def _fleet(gathered: _Gathered, certificates: Certificates, before: Fleet, memo: Memo) -> tuple[Fleet, list[Problem]]:
    """Return what one fleet serves, and the problems that show only where services meet."""
    name = before.name
    problems: list[Problem] = []
    given = [(host, (host, tuple(claims))) for host, claims in sorted(gathered.claims[Entry.PLAIN].items())]
    plain = memo.each(("hosts", name), None, given, virtual_host)
    secure, passing, told = encrypted_hosts(
        gathered.claims[Entry.SECURE], gathered.claims[Entry.PASSTHROUGH], certificates, before, memo
    )
    used = {
        share.backend
        for host in (
            *(host for host, _ in plain),
            *(each.virtual_host for each in secure if each.tls.certificate is not None),
        )
        for route in host.routes
        if isinstance(route.action, Forward)
        for share in route.action.backends
    } | {share.backend for each in passing for share in each.backends}
    backends = {name: backend for name, backend in sorted(gathered.backends.items()) if name in used}
    for each, (service, asked) in gathered.authorities.items():
        if each in backends:
            backends[each], trouble = trusting(backends[each], service, asked, certificates, before)
            problems += trouble
    hosts = tuple(host for host, _ in plain)
    if gathered.shut:
        hosts, secure = shut_in_plain(hosts, gathered.shut), shut_in_tls(secure, passing, gathered.shut)
    fleet = Fleet(
        name=name,
        virtual_hosts=challenged(hosts, certificates.challenges) if certificates.challenges else hosts,
        backends=tuple(backends.values()),
        secure_hosts=secure,
        passthroughs=passing,
        default_certificate=certificates.default,
        uncertified=uncertified(gathered.claims[Entry.SECURE], passing),
    )
    if certificates.tls_challenges:
        fleet = challenged_in_tls(fleet, certificates.tls_challenges)
    return fleet, [*problems, *told, *(problem for _, conflicts in plain for problem in conflicts)]
