"""Which services are held back, and what they are served as meanwhile.

An Envoy that rejects a response says at most in words what it minds. Its suspects are traced to services. One that is
left alone is convicted: it goes back to its last accepted form, or out if there is none, until its own form changes.
Among several, some are held back for trial, those first that Envoy's words name, and what is built then is shown to the
same Envoy: if it accepts, the culprit is among the held ones, else among the others. Each answer leaves at most half of
the suspects that words could not tell apart, and everything that is not held is served on every Envoy meanwhile.

Nobody is left out on trial who may be served somewhere: where no form to go back to is known, as after a restart, and
words do not help, everything stays as the Envoys have it, and the problem says so.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from swarm_xds.model import Fleet, RoutingModel
from swarm_xds.problem import Problem, ordered
from swarm_xds.quarantine.tell import Conviction, Refused, by_rule, convicted, refused, unexplained
from swarm_xds.quarantine.trace import Rejection, blamed, named, sources
from swarm_xds.snapshot import ENDPOINT, LISTENER, ROUTE, SECRET, Broken, Resource, Resources, Snapshot, Snapshots
from swarm_xds.swarm import Service, SwarmState
from swarm_xds.translate.names import HTTP, HTTP3, HTTPS

#: What many services are in, so that it takes the model of before to tell who has changed.
_SHARED = ((ROUTE, HTTP), (ROUTE, HTTPS), (LISTENER, HTTPS), (LISTENER, HTTP3))
#: Versions of these whose model is remembered: an Envoy that slept through more is traced without one.
_TABLES = 256
#: Rejections without a culprit that are told at one time.
_UNEXPLAINED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A question that was put to an Envoy.

    Attributes:
        node: Whose answer counts; None for any of the fleet, since that one is gone.
        held: Services that are held back meanwhile: the question is whether the culprit is among them.
        aside: Those that are held back too until it is found, since of them the question was answered.
        suspects: All that were ever in question, with their forms as they were read.
    """

    rejection: Rejection
    node: str | None
    held: frozenset[str]
    aside: frozenset[str]
    suspects: Mapping[str, Service]

    @property
    def out(self) -> frozenset[str]:
        """All that are not served as they were read."""
        return self.held | self.aside


@dataclass(slots=True)
class _Built:
    """What was published last."""

    model: RoutingModel
    snapshots: Snapshots
    services: Mapping[str, Service]
    accepted: set[str] = field(default_factory=set)


class Quarantine:
    """Judges rejections; to be asked before each build, and told of each."""

    def __init__(self) -> None:
        self._read: Mapping[str, Service] = {}
        self._built: _Built | None = None
        self._accepted: dict[str, Service] = {}
        self._earlier: dict[str, Service] = {}
        self._convicted: dict[str, Conviction] = {}
        self._trial: _Trial | None = None
        self._tables: OrderedDict[tuple[str, str], Fleet] = OrderedDict()
        #: By fleet, node and type: rejections that no service explains, with those that were tried in vain.
        self._unexplained: OrderedDict[tuple[str, str, str], tuple[Rejection, Mapping[str, Service]]] = OrderedDict()
        #: By fleet and name: secrets that an Envoy accepted, and those that are served in their place.
        self._secrets: dict[tuple[str, str], Resource] = {}
        self._refused: dict[tuple[str, str], Refused] = {}
        #: Rules that are broken by nobody in particular.
        self._unblamed: tuple[Rejection, ...] = ()
        #: Fleets of which an Envoy accepted all that was built: who was not in that is served nowhere.
        self._known: set[str] = set()
        #: Fleets of which an Envoy serves something that was built elsewhere, or before a restart.
        self._foreign: set[str] = set()

    @property
    def held(self) -> frozenset[str]:
        """Names of the services that are not served as they were read, be it for trial."""
        return frozenset(self._convicted) | (self._trial.out if self._trial else frozenset())

    def apply(self, state: SwarmState) -> SwarmState:
        """Return the swarm as it is to be built: held services in the form that is served instead."""
        self._read = {service.name: service for service in state.services}
        for name, conviction in list(self._convicted.items()):
            service = self._read.get(name)
            if service is None or not _same(service, conviction.rejected, whole=conviction.whole):
                del self._convicted[name]
        trial = self._trial
        if trial and any(
            name not in self._read or not _same(self._read[name], form, whole=False)
            for name, form in trial.suspects.items()
        ):
            # What is in question is no longer there: if it is still bad, the Envoy will say so again.
            self._trial = None
        if not self.held:
            return state
        services = (self._instead(service) for service in state.services)
        return replace(state, services=tuple(service for service in services if service is not None))

    def _instead(self, service: Service) -> Service | None:
        conviction = self._convicted.get(service.name)
        if conviction is not None:
            return _with_tasks(conviction.instead, service, whole=conviction.whole)
        if self._trial and service.name in self._trial.out:
            instead = self._fallback(service)
            return _with_tasks(instead, service, whole=_whole(service, instead, self._trial.rejection))
        return service

    def _fallback(self, service: Service) -> Service | None:
        """Return the form that was accepted last; else the last that was served, though no Envoy answered to it."""
        for forms in (self._accepted, self._earlier):
            form = forms.get(service.name)
            if form is not None and form != service:
                return form
        return None

    def amended(self, snapshots: Snapshots) -> Snapshots:
        """Return what is to be published of a build: secrets that were rejected as they were accepted last.

        What is in them may change while no service does.
        """
        fleets = dict(snapshots.fleets)
        for (fleet, name), each in list(self._refused.items()):
            secrets = snapshots.of(fleet).of(SECRET)
            if name not in secrets or secrets[name].version != each.version:
                del self._refused[fleet, name]
                continue
            others = (other for other in fleets[fleet].of(SECRET).values() if other.name != name)
            resources = fleets[fleet].resources
            fleets[fleet] = Snapshot({**resources, SECRET: Resources((*others, each.instead))})
        return replace(snapshots, fleets=fleets) if self._refused else snapshots

    def built(self, state: SwarmState, model: RoutingModel, snapshots: Snapshots) -> None:
        """Take note of what is published now, built from what ``apply`` returned."""
        services = {service.name: service for service in state.services}
        before = self._built.services if self._built else {}
        for name, form in before.items():
            if name in services and name not in self.held and not _same(form, services[name], whole=False):
                self._earlier[name] = form
        for forms in (self._accepted, self._earlier):
            for name in forms.keys() - self._read.keys():
                del forms[name]
        self._built = _Built(model, snapshots, services)
        for fleet in model.fleets:
            snapshot = snapshots.of(fleet.name)
            shared = (snapshot.of(type_url).get(name) for type_url, name in _SHARED)
            for version in (each.version for each in shared if each is not None):
                self._tables[fleet.name, version] = fleet
                self._tables.move_to_end((fleet.name, version))
        while len(self._tables) > _TABLES:
            self._tables.popitem(last=False)

    def broken(self, found: Iterable[Broken], model: RoutingModel) -> bool:
        """Hold back a service for each rule that is broken, and return whether it has to be built anew for it.

        To be asked of what was built from what ``apply`` returned, before ``built``: what every Envoy would reject need
        not be shown to one.

        Args:
            found: What is broken.
            model: What it was made from.
        """
        fleets = {fleet.name: fleet for fleet in model.fleets}
        guilty: dict[str, Rejection] = {}
        self._unblamed = ()
        for each in found:
            rejection = by_rule(each)
            names = [name for name in blamed(each, fleets[each.fleet]) if self._may_go_back(name)]
            if not names:
                self._unblamed = (*self._unblamed, rejection)
            elif guilty.keys().isdisjoint(names):
                changed = (name for name in names if self._accepted.get(name) != self._read[name])
                guilty[next(changed, names[0])] = rejection
        for name, rejection in guilty.items():
            self._hold(name, rejection)
        return bool(guilty)

    def _may_go_back(self, name: str) -> bool:
        known = self._convicted.get(name)
        return name in self._read and (known is None or known.instead is not None)

    def rejected(self, rejection: Rejection) -> bool:
        """Judge a rejection, and return whether what is published has to be built anew for it."""
        built = self._built
        if built is None or not rejection.suspects:
            return False
        resources = built.snapshots.of(rejection.fleet).of(rejection.type_url)
        if any(
            each.name not in resources or resources[each.name].version != each.version for each in rejection.suspects
        ):
            # It is about what was published before: the Envoy will answer to what has taken its place.
            return False
        fleet = self._fleet(built, rejection.fleet)
        if any(suspect.accepted for suspect in rejection.suspects):
            self._foreign.add(fleet.name)
        # This was rejected though they are held back: the culprit, or one of several, is another.
        aside = self._trial.out if self._trial else frozenset()
        found = self._found(built, fleet, rejection) - aside
        _, vain = self._unexplained.get(_key(rejection), (None, None))
        if vain is not None and all(vain.get(name) == self._read[name] for name in found):
            return False
        # What another Envoy serves as it is cannot be held back for the sake of this one.
        unproven = {name for name in found if self._accepted.get(name) != built.services[name]}
        if rejection.type_url == SECRET and not unproven and self._refuse(rejection, fleet, found):
            return True
        if len(found) == 1 and unproven:
            self._convict(unproven.pop(), rejection)
            return True
        return self._try(rejection, found, self._chosen(unproven, found, rejection, fleet), aside)

    def _refuse(self, rejection: Rejection, fleet: Fleet, found: set[str]) -> bool:
        """Go back to what a secret held before, if that is known; return whether it is."""
        (suspect, *others) = rejection.suspects
        instead = self._secrets.get((fleet.name, suspect.name))
        if others or not found or instead is None or instead.version == suspect.version:
            return False
        services = tuple(self._read[name] for name in sorted(found))
        self._refused[fleet.name, suspect.name] = Refused(rejection, suspect.version, instead, services)
        return True

    def _found(self, built: _Built, fleet: Fleet, rejection: Rejection) -> set[str]:
        """Return the services that the suspects come from, one of which is to blame."""
        found = set[str]()
        for suspect in rejection.suspects:
            before = self._tables.get((fleet.name, suspect.accepted))
            found |= sources(rejection.type_url, suspect.name, fleet, before)
        return found & built.services.keys()

    def _chosen(self, unproven: set[str], found: set[str], rejection: Rejection, fleet: Fleet) -> set[str]:
        """Return whom to hold back of several; nobody if that could take something away for nothing."""
        table = rejection.suspects[0].name if rejection.type_url == ROUTE else HTTP
        hinted = unproven & named(rejection.message, fleet, table)
        if hinted and hinted != found:
            return hinted
        if fleet.name in self._foreign - self._known:
            unproven = {name for name in unproven if self._fallback(self._read[name]) is not None}
        return unproven if unproven != found else set(sorted(unproven)[: len(unproven) // 2])

    def _try(self, rejection: Rejection, found: set[str], held: set[str], aside: frozenset[str]) -> bool:
        """Ask about some of those in question, or give up if that is nobody."""
        forms = {name: self._read[name] for name in found}
        if not held:
            return self._give_up(rejection, forms)
        if self._trial is not None:
            forms = {**self._trial.suspects, **forms}
        self._trial = _Trial(
            rejection=rejection, node=rejection.node, held=frozenset(held), aside=aside, suspects=forms
        )
        return True

    def _convict(self, name: str, rejection: Rejection) -> None:
        self._trial = None
        self._hold(name, rejection)

    def _hold(self, name: str, rejection: Rejection) -> None:
        service, known = self._read[name], self._convicted.get(name)
        instead = self._fallback(service)
        if known is not None and known.instead == instead:
            # What was served instead is rejected too, so there is nothing left to be served.
            instead = None
        self._earlier.pop(name, None)
        self._convicted[name] = Conviction(
            rejected=service, instead=instead, whole=_whole(service, instead, rejection), rejection=rejection
        )

    def _give_up(self, rejection: Rejection, forms: Mapping[str, Service]) -> bool:
        """Tell of a rejection that no service explains, and end what was tried for it; return whether that is news."""
        key, trial = _key(rejection), self._trial
        if trial and _key(trial.rejection) == key:
            forms = {**trial.suspects, **forms}
            self._trial = None
        news = self._unexplained.get(key) != (rejection, forms)
        self._unexplained[key] = rejection, forms
        if len(self._unexplained) > _UNEXPLAINED:
            self._unexplained.popitem(last=False)
        return news

    def answered(self, node: str, fleet: str, version: str, rejected: frozenset[str], *, serves: bool = True) -> bool:
        """Take note that an Envoy answered all of its snapshot, and return whether that has to be built anew for it.

        Args:
            node: The Envoy's.
            fleet: The Envoy's.
            version: That of the snapshot.
            rejected: Types of which it does not use what it was sent last.
            serves: Whether it serves the rest; of one that only looks at it, nothing is accepted.
        """
        built = self._built
        if built is None or built.snapshots.of(fleet).version != version:
            return False
        model = self._fleet(built, fleet)
        mended = [key for key in self._unexplained if key[:2] == (fleet, node) and key[2] not in rejected]
        for key in mended:
            del self._unexplained[key]
        harmless = {key[2] for key, (_, vain) in self._unexplained.items() if key[:2] == (fleet, node) and not vain}
        if serves and rejected <= harmless and model.name not in built.accepted:
            built.accepted.add(model.name)
            self._known.add(model.name)
            for name in _services(model) & built.services.keys():
                self._accepted[name] = built.services[name]
        if serves and SECRET not in rejected:
            secrets = built.snapshots.of(fleet).of(SECRET)
            elsewhere = {key: each for key, each in self._secrets.items() if key[0] != model.name}
            self._secrets = elsewhere | {(model.name, name): each for name, each in secrets.items()}
        trial = self._trial
        if trial is None or trial.rejection.fleet != fleet or trial.node not in (node, None):
            return bool(mended)
        if trial.rejection.type_url in rejected:
            # Nothing that it rejected was built anew, or it would have said so: the trial was about something else.
            return self._give_up(trial.rejection, trial.suspects)
        found = set(trial.held)
        if len(found) == 1:
            self._convict(found.pop(), trial.rejection)
            return True
        held = self._chosen(found, found, trial.rejection, model)
        return self._try(trial.rejection, found, held, trial.aside)

    def gone(self, node: str, fleet: str) -> None:
        """Take note that an Envoy went away; any other of its fleet may answer in its place."""
        for key in [key for key in self._unexplained if key[:2] == (fleet, node)]:
            del self._unexplained[key]
        if self._trial and (self._trial.node, self._trial.rejection.fleet) == (node, fleet):
            self._trial = replace(self._trial, node=None)

    def problems(self) -> tuple[Problem, ...]:
        """Return a problem for each service that is held back, and for each rejection that no service explains."""
        held = (convicted(conviction) for conviction in self._convicted.values())
        others = (*self._unblamed, *(rejection for rejection, _ in self._unexplained.values()))
        secrets = (problem for each in self._refused.values() for problem in refused(each))
        return ordered((*held, *secrets, *(unexplained(rejection) for rejection in others)))

    @staticmethod
    def _fleet(built: _Built, name: str) -> Fleet:
        name = name or built.snapshots.default
        return next((fleet for fleet in built.model.fleets if fleet.name == name), Fleet(name=name))


def _key(rejection: Rejection) -> tuple[str, str, str]:
    return rejection.fleet, rejection.node, rejection.type_url


def _services(fleet: Fleet) -> set[str]:
    routed = (name for host in fleet.virtual_hosts for route in host.routes for name in route.services)
    return {*routed, *(backend.service for backend in fleet.backends)}


def _specification(service: Service) -> Service:
    return replace(service, tasks=(), virtual_ips=())


def _same(one: Service, other: Service, *, whole: bool) -> bool:
    if one is other:
        # As nearly all are, since sources keep what did not change.
        return True
    return one == other if whole else _specification(one) == _specification(other)


def _whole(service: Service, instead: Service | None, rejection: Rejection) -> bool:
    """Return whether the tasks are what is rejected: then others may be accepted, and these must not be used."""
    if instead is None:
        return rejection.type_url == ENDPOINT
    return _specification(service) == _specification(instead)


def _with_tasks(instead: Service | None, service: Service, *, whole: bool) -> Service | None:
    if instead is None or whole:
        return instead
    return replace(instead, tasks=service.tasks, virtual_ips=service.virtual_ips)
