"""Clients that do anything the protocol lets them, against a model of what they must end up with."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from swarm_xds.server.delta import DeltaSubscription
from swarm_xds.server.sotw import SotwSubscription
from swarm_xds.server.subscription import Answer, Nack, Response
from swarm_xds.snapshot import CLUSTER, ENDPOINT, Resource, Resources

NAMES = st.sampled_from("abcd")
LIFETIME = 30
SETS = st.dictionaries(NAMES, st.integers(1, 3), max_size=4)
#: The machines are small enough to be run often, and long enough for a name to come, go and come back.
SIZE = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def these(numbers: dict[str, int]) -> Resources:
    """Resources by name with content that differs by number."""
    return Resources(Resource.of(name, f"{name}{number}".encode(), LIFETIME) for name, number in numbers.items())


class DeltaMachine(RuleBasedStateMachine):
    """An incremental client that may fall behind, reject, change its mind and come back on another stream."""

    def __init__(self) -> None:
        super().__init__()
        self.server = these({})
        self.has: dict[str, str] = {}
        self.names: set[str] = set()
        self.wildcard = False
        self.wire: list[Response] = []
        self.unanswered: list[str] = []
        self.awaited: set[str] = set()
        self.rejected: set[str] = set()
        self.now = 0.0
        self.subscription = DeltaSubscription(CLUSTER, takes_ttl=True)
        self.subscription.on_request(subscribe=["a"])
        self.names.add("a")
        self.awaited.add("a")

    @rule(numbers=SETS)
    def publish(self, numbers: dict[str, int]) -> None:
        """The server's resources change."""
        self.server = these(numbers)

    @rule()
    def send(self) -> None:
        """The server sends what is due: something, and nothing that the client was sent before."""
        response = self.subscription.next_response(self.server)
        if response:
            sent = [resource.name for resource in response.resources]
            assert len(sent) == len(set(sent))
            assert not set(sent) & set(response.removed)
            self.wire.append(response)
        assert self.subscription.next_response(self.server) is None

    @rule(seconds=st.floats(0, 2 * LIFETIME))
    def wait(self, seconds: float) -> None:
        """Time passes, and a heartbeat is sent if one is due; never two at once."""
        self.send()
        self.now += seconds
        beat = self.subscription.heartbeat(self.server, self.now)
        if beat:
            self.wire.append(beat)
        assert self.subscription.heartbeat(self.server, self.now) is None

    @precondition(lambda self: self.wire)
    @rule()
    def receive(self) -> None:
        """The client takes what comes first."""
        response = self.wire.pop(0)
        if response.heartbeat:
            for each in response.resources:
                assert each.ttl == LIFETIME
                if each.name not in self.awaited | self.rejected and (self.wildcard or each.name in self.names):
                    assert self.has[each.name] == each.version
            self.unanswered.append(response.nonce)
            return
        for resource in response.resources:
            if self.wildcard or resource.name in self.names:
                self.has[resource.name] = resource.version
            self.awaited.discard(resource.name)
        for name in response.removed:
            self.has.pop(name, None)
            self.awaited.discard(name)
        self.unanswered.append(response.nonce)

    @precondition(lambda self: self.unanswered)
    @rule(error=st.sampled_from([None, "bad"]))
    def answer(self, error: str | None) -> None:
        """The client answers, in whatever mood."""
        nonce = self.unanswered.pop(0)
        event = self.subscription.on_request(nonce=nonce, error=error)
        # This client keeps what it rejects, and the server cannot know.
        self.rejected.update(event.names if isinstance(event, Nack) else ())

    @rule(name=NAMES, nonce=st.sampled_from(["", "stale"]))
    def subscribe(self, name: str, nonce: str) -> None:
        """The client wants a name, be it again."""
        self.subscription.on_request(subscribe=[name], nonce=nonce)
        self.names.add(name)
        self.awaited.add(name)

    @rule(name=NAMES)
    def unsubscribe(self, name: str) -> None:
        """The client no longer wants a name, be it one that it never wanted."""
        known = name in self.names
        self.subscription.on_request(unsubscribe=[name])
        self.names.discard(name)
        self.awaited.discard(name)
        if not self.wildcard:
            self.has.pop(name, None)
        elif known:
            self.awaited.add(name)

    @rule()
    def subscribe_to_all(self) -> None:
        """The client wants everything."""
        self.subscription.on_request(subscribe=["*"])
        self.wildcard = True

    @rule()
    def unsubscribe_from_all(self) -> None:
        """The client wants its names only."""
        self.subscription.on_request(unsubscribe=["*"])
        self.wildcard = False
        self.has = {name: version for name, version in self.has.items() if name in self.names}
        self.awaited &= self.names

    @rule()
    def come_back(self) -> None:
        """The stream breaks, what was on its way is lost, and the client says what it has."""
        self.wire.clear()
        self.unanswered.clear()
        self.subscription = DeltaSubscription(CLUSTER, takes_ttl=True)
        self.rejected.clear()
        names = [*sorted(self.names), *(["*"] if self.wildcard else [])]
        self.subscription.on_request(subscribe=names, unsubscribe=["none"], initial=dict(self.has))
        self.awaited = {name for name in self.names if name not in self.has}

    @rule()
    def settle(self) -> None:
        """Everything on its way arrives, and the client has exactly what it asked for, and an answer to each name."""
        self.send()
        while self.wire:
            self.receive()
        wanted = {
            name: resource.version for name, resource in self.server.items() if self.wildcard or name in self.names
        }
        assert self.has == wanted
        assert not self.awaited
        while self.unanswered:
            self.answer(None)
        self.subscription.heartbeat(self.server, self.now)
        self.now += LIFETIME / 2
        beat = self.subscription.heartbeat(self.server, self.now)
        kept = {each.name for each in beat.resources} if beat else set()
        assert kept | self.rejected >= self.has.keys()


class SotwMachine(RuleBasedStateMachine):
    """A state-of-the-world client of endpoints or clusters, one request behind or not."""

    type_url = ENDPOINT

    def __init__(self) -> None:
        super().__init__()
        self.server = these({})
        self.start()

    def start(self) -> None:
        """Open a stream."""
        self.subscription = SotwSubscription(self.type_url)
        self.has: dict[str, str] = {}
        self.names: frozenset[str] = frozenset("a")
        self.nonce = ""
        self.wire: list[Response] = []
        self.subscription.on_request(names=self.names, nonce="")

    @rule(numbers=SETS)
    def publish(self, numbers: dict[str, int]) -> None:
        """The server's resources change."""
        self.server = these(numbers)

    @rule()
    def send(self) -> None:
        """The server sends what is due, once."""
        response = self.subscription.next_response(self.server)
        if response:
            self.wire.append(response)
        assert self.subscription.next_response(self.server) is None

    @precondition(lambda self: self.wire)
    @rule(error=st.sampled_from([None, "bad"]))
    def receive(self, error: str | None) -> None:
        """The client takes what comes first, keeps it or not, and answers."""
        response = self.wire.pop(0)
        if self.type_url == CLUSTER:
            self.has = {}
        self.has |= {resource.name: resource.version for resource in response.resources if resource.name in self.names}
        self.nonce = response.nonce
        self.subscription.on_request(names=self.names, nonce=self.nonce, error=error)

    @rule(names=st.frozensets(NAMES, min_size=0))
    def ask(self, names: frozenset[str]) -> None:
        """The client wants other names, and forgets the rest."""
        self.names = names
        self.has = {name: version for name, version in self.has.items() if name in names}
        self.subscription.on_request(names=names, nonce=self.nonce)

    @rule()
    def come_back(self) -> None:
        """The stream breaks."""
        self.start()

    @rule()
    def settle(self) -> None:
        """Everything on its way arrives, in as many rounds as it takes, and the client has what it asked for."""
        self.send()
        while self.wire:
            while self.wire:
                self.receive(None)
            self.send()
        for name in self.names & set(self.server):
            assert self.has[name] == self.server[name].version
        if self.type_url == CLUSTER:
            assert self.has.keys() == self.names & set(self.server)
        assert self.subscription.answered(self.server) is not Answer.WAITING
        assert self.subscription.next_response(self.server) is None


class SotwFullSetMachine(SotwMachine):
    """The same for a type whose absence means deletion."""

    type_url = CLUSTER


class SotwWildcardMachine(RuleBasedStateMachine):
    """A state-of-the-world client of everything, which takes a response whole or not at all, and comes back with it."""

    def __init__(self) -> None:
        super().__init__()
        self.server = these({})
        self.has: dict[str, str] = {}
        self.version = ""
        self.come_back()

    @rule()
    def come_back(self) -> None:
        """The stream breaks, what was on its way is lost, and the client says which version it has."""
        self.wire: list[Response] = []
        self.refused = False
        self.subscription = SotwSubscription(CLUSTER)
        self.subscription.on_request(names=(), nonce="", version=self.version)

    @rule(numbers=SETS)
    def publish(self, numbers: dict[str, int]) -> None:
        """The server's resources change."""
        self.server = these(numbers)

    @rule()
    def send(self) -> None:
        """The server sends what is due: never what the client has."""
        response = self.subscription.next_response(self.server)
        if response:
            assert self.wire or self.refused or response.version != self.version
            self.wire.append(response)
            self.refused = False
        assert self.subscription.next_response(self.server) is None

    @precondition(lambda self: self.wire)
    @rule(error=st.sampled_from([None, "bad"]))
    def receive(self, error: str | None) -> None:
        """The client takes what comes first, or does not."""
        response = self.wire.pop(0)
        if error is None:
            self.has = {resource.name: resource.version for resource in response.resources}
            self.version = response.version
        self.refused = error is not None
        self.subscription.on_request(names=(), nonce=response.nonce, version=self.version, error=error)

    @rule()
    def settle(self) -> None:
        """Everything on its way arrives, and the client has what there is, unless it has rejected it."""
        self.send()
        while self.wire:
            self.receive(None)
        assert self.refused or self.has == {name: resource.version for name, resource in self.server.items()}
        assert self.subscription.answered(self.server) is not Answer.WAITING


TestDelta = DeltaMachine.TestCase
TestDelta.settings = SIZE
TestSotw = SotwMachine.TestCase
TestSotw.settings = SIZE
TestSotwFullSet = SotwFullSetMachine.TestCase
TestSotwFullSet.settings = SIZE
TestSotwWildcard = SotwWildcardMachine.TestCase
TestSotwWildcard.settings = SIZE
