"""The arrow from a reading to snapshots: the pure stages in a row.

In: a ``Reading``, and the certificates that there are. Out: a ``Build``. It has no I/O, clock or logger; what it
remembers (``Memo``, and the last good form of routes, services and certificates) lives as long as the object. It must
not know which source read, or who is served.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from swarm_xds.certs.values import Certificates
from swarm_xds.labels import Memory, parse
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet, RoutingModel
from swarm_xds.networks.plan import Configure, NetworkOptions, plan_networks
from swarm_xds.networks.wanted import NetworkPlan
from swarm_xds.plan import build as plan
from swarm_xds.problem import Kind, Problem, Severity, ordered
from swarm_xds.snapshot import LISTENER, Broken, Snapshot, Snapshots, broken, snapshot
from swarm_xds.swarm import Service, SwarmState
from swarm_xds.translate import FleetMessages, reader_configuration, relay_configuration, translate

Translator = Callable[[Fleet, EdgeOptions, Memo], FleetMessages]

_NO_CERTIFICATES = Certificates()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What came of one reading: what is to be served, as a model and as resources, and all problems in order.

    ``networks`` is what has to stand in the swarm for it; None where networks are not managed. ``broken`` is what Envoy
    would reject of it.
    """

    model: RoutingModel
    snapshots: Snapshots
    problems: tuple[Problem, ...]
    networks: NetworkPlan | None = None
    broken: tuple[Broken, ...] = ()


class Pipeline:
    """Builds snapshots from readings, one after the other.

    Args:
        options: How proxies behave.
        default_fleet: The fleet of services that name none.
        networks: How networks are managed; None where they are not.
        translator: Makes Envoy's messages; another one than ``translate`` is for tests.
    """

    def __init__(
        self,
        options: EdgeOptions,
        default_fleet: str,
        networks: NetworkOptions | None = None,
        translator: Translator = translate,
    ) -> None:
        self._options = options
        self._translate = translator
        self._networks = networks
        self._default_fleet = default_fleet
        self._ttls = {LISTENER: options.listener_ttl}
        self._memo = Memo()
        self._memory = Memory()
        self._empty, _ = self._snapshot(Fleet(name=""))
        #: The last state and build in which nothing raised.
        self._good = (
            SwarmState(),
            Build(
                model=RoutingModel(default_fleet=default_fleet),
                snapshots=Snapshots(fleets={}, empty=self._empty, default=default_fleet),
                problems=(),
            ),
        )

    def build(
        self, state: SwarmState, problems: Iterable[Problem] = (), certificates: Certificates = _NO_CERTIFICATES
    ) -> Build:
        """Return the build of a state, with the sources' own problems among its own. Never raises."""
        found = tuple(problems)
        try:
            build = self._build(state, certificates)
        except Exception as error:
            build = self._without_culprits(state, certificates, error)
        self._memo.sweep()
        return replace(build, problems=ordered((*found, *build.problems)))

    def _build(self, state: SwarmState, certificates: Certificates) -> Build:
        services = sorted(state.services, key=lambda service: (service.created, service.name, service.id))
        parsed = self._memo.each("parse", None, ((service.id, service) for service in services), parse)
        found = [problem for _, bad in parsed for problem in bad]
        kept, bad = self._memory.keep_last_good(intent for intent, _ in parsed)
        found += bad
        model, bad, rejected = plan(
            state,
            zip(services, kept, strict=True),
            self._default_fleet,
            self._memo,
            self._memory.recall,
            certificates,
            self._good[-1].model,
        )
        found += bad
        networks = None
        if self._networks is not None:
            pairs = zip(services, kept, strict=True)
            configure = Configure(relay=self._configure_relay, reader=self._configure_reader)
            networks, bad = plan_networks(state, pairs, self._default_fleet, self._networks, configure)
            found += bad
        made = {fleet.name: self._snapshot(fleet) for fleet in model.fleets}
        snapshots = Snapshots(
            fleets={name: whole for name, (whole, _) in made.items()},
            empty=self._empty,
            default=self._default_fleet,
        )
        doubtful = (
            intent.doubtful | rejected.get(service.id, frozenset())
            for service, intent in zip(services, kept, strict=True)
        )
        self._memory.accept(zip(kept, doubtful, strict=True))
        build = Build(
            model=model,
            snapshots=snapshots,
            problems=tuple(found),
            networks=networks,
            broken=tuple(each for _, bad in made.values() for each in bad),
        )
        self._good = (state, build)
        return build

    def _configure_relay(self, fleet_subnets: tuple[str, ...], subnets: tuple[str, ...]) -> str:
        make = partial(relay_configuration, fleet_subnets, subnets, self._options.connect_timeout)
        return self._memo.keep(("relay", fleet_subnets, subnets), None, make)

    def _configure_reader(
        self, fleet_subnets: tuple[str, ...], identity: tuple[str, str, str], secrets: Mapping[str, str]
    ) -> str:
        make = partial(reader_configuration, fleet_subnets, identity, secrets)
        return self._memo.keep(("reader", fleet_subnets, identity, tuple(secrets.items())), None, make)

    def _snapshot(self, fleet: Fleet) -> tuple[Snapshot, tuple[Broken, ...]]:
        messages = self._translate(fleet, self._options, self._memo)
        return snapshot(messages, self._memo, self._ttls), broken(messages, self._memo)

    def _without_culprits(self, state: SwarmState, certificates: Certificates, error: Exception) -> Build:
        """Return the build in which each service that cannot be built has its last good form, or is left out.

        Nothing that a service can say should come to this: it keeps a defect of ours from holding up everybody.
        """
        before = {service.id: service for service in self._good[0].services}
        services: list[Service] = []
        problems: list[Problem] = []
        for service in state.services:
            culprit = self._failure(service, state, certificates)
            if culprit is None:
                services.append(service)
                continue
            last = before.get(service.id)
            forms = () if last is None else (replace(last, tasks=service.tasks), last)
            good = next((form for form in forms if self._failure(form, state, certificates) is None), None)
            services += [good] if good is not None else []
            problems.append(_quarantined(service, culprit, kept=good is not None))
        if problems:
            try:
                build = self._build(replace(state, services=tuple(services)), certificates)
            except Exception as still:
                error = still
            else:
                return replace(build, problems=(*build.problems, *problems))
        return replace(self._good[-1], problems=(*self._good[-1].problems, *problems, _frozen(error)))

    def _failure(self, service: Service, state: SwarmState, certificates: Certificates) -> str | None:
        """Return how the build fails with this service alone; None if it does not."""
        alone = replace(state, services=(service,))
        given = (alone, certificates)
        return self._memo.keep(("alone", service.id, id(service)), given, partial(self._try, *given))

    def _try(self, state: SwarmState, certificates: Certificates) -> str | None:
        try:
            Pipeline(self._options, self._default_fleet, self._networks, self._translate)._build(state, certificates)
        except Exception as error:
            return _text(error)
        return None


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _quarantined(service: Service, culprit: str, *, kept: bool) -> Problem:
    what = "keeps its last good form" if kept else "is left out"
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.NOT_TRANSLATED,
        service=service.name,
        reason=f"the service cannot be translated and {what}: {culprit}",
        cure="this is a defect of swarm-xds: please report it with the service's labels",
        source=service.source,
    )


def _frozen(error: Exception) -> Problem:
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.NOT_TRANSLATED,
        reason=f"everything keeps its last good configuration: {_text(error)}",
        cure="this is a defect of swarm-xds: please report it with the labels of the newest change",
    )
