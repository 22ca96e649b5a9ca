"""A record that is told a story: what is published, and what proxies do, with a clock that the test moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.values import Certificates
from swarm_xds.model import EdgeOptions
from swarm_xds.observe import Event, Record
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.server import Peer
from swarm_xds.server.subscription import Ack, Nack, Response
from swarm_xds.snapshot import ADS_ORDER, Resources
from swarm_xds.swarm import Network, Service, SwarmState, Task

EPOCH = 1_800_000_000.0
NETWORK = Network(id="n-edge", name="edge", subnets=("10.9.0.0/24",))


def service(name: str, *, tasks: int = 1, **labels: str) -> Service:
    """Return a service on the fleet's network; underscores of label names are dots, Interlock's prefix is added."""
    given = {"hosts": f"{name}.example.org", "port": "80"} | labels
    return Service(
        id=f"id-{name}",
        name=name,
        labels=tuple(sorted((f"com.docker.lb.{key}", value) for key, value in given.items() if value)),
        network_ids=(NETWORK.id,),
        tasks=tuple(
            Task(id=f"{name}.{number}", addresses=((NETWORK.id, f"10.9.0.{10 + number}"),)) for number in range(tasks)
        ),
    )


def state(*services: Service) -> SwarmState:
    """Return a swarm of these services, with the default fleet on their network."""
    return SwarmState(
        services=tuple(sorted(services, key=lambda each: each.id)),
        networks=(NETWORK,),
        fleet_networks=(("default", (NETWORK.id,)),),
    )


@dataclass(slots=True)
class Story:
    """A record, and what moves it."""

    now: float = 0.0
    events: list[Event] = field(default_factory=list)
    record: Record = field(init=False)
    pipeline: Pipeline = field(default_factory=lambda: Pipeline(EdgeOptions(), "default"))
    build: Build | None = None
    _nonces: int = 0

    def __post_init__(self) -> None:
        self.record = Record(lambda: self.now, lambda: EPOCH + self.now)
        self.record.listen(self.events.append)

    def publish(
        self,
        *services: Service,
        cause: str = "a reading",
        noticed: float | None = None,
        certificates: CertificatesReading | None = None,
    ) -> Build:
        """Publish a swarm of these services, with the certificates that there are."""
        read = state(*services)
        there = certificates or CertificatesReading(certificates=Certificates())
        self.build = self.pipeline.build(read, certificates=there.certificates)
        self.record.published(
            read,
            self.build,
            cause=cause,
            resources={},
            seconds=0.001,
            noticed=noticed,
            stock=there.stock,
            certificates=there.certificates,
        )
        return self.build

    def join(self, stream: int = 1, node: str = "edge-1", fleet: str = "default") -> "Proxy":
        """Have a proxy open a stream."""
        peer = Peer(stream=stream, node=node, fleet=fleet, variant="delta", address="ipv4:10.0.0.7:1")
        self.record.opened(peer)
        return Proxy(self, peer)

    def nonce(self) -> str:
        """Return another nonce."""
        self._nonces += 1
        return str(self._nonces)


@dataclass(frozen=True, slots=True)
class Proxy:
    """One stream, with the answers that the test gives for its client."""

    story: Story
    peer: Peer

    def send(self, type_url: str) -> Response:
        """Send all that it is to have of a type."""
        resources = self._resources(type_url)
        response = Response(
            type_url=type_url, version=resources.version, nonce=self.story.nonce(), resources=tuple(resources.values())
        )
        self.story.record.sent(self.peer, response, 100)
        return response

    def accept(self, response: Response) -> None:
        """Accept a response."""
        self.story.record.acked(self.peer, response.type_url, Ack(nonce=response.nonce, version=response.version))

    def refuse(self, response: Response, message: str = "bad") -> None:
        """Refuse a response."""
        names = tuple(resource.name for resource in response.resources)
        nack = Nack(nonce=response.nonce, version=response.version, message=message, names=names)
        self.story.record.nacked(self.peer, response.type_url, nack)

    def take_all(self, answers: Mapping[str, str] | None = None) -> None:
        """Be sent everything, accept it but for the types with a reason not to, and settle."""
        for type_url in ADS_ORDER:
            response = self.send(type_url)
            if answers and type_url in answers:
                self.refuse(response, answers[type_url])
            else:
                self.accept(response)
        self.settle()

    def settle(self) -> None:
        """Have answered all of the newest snapshot."""
        assert self.story.build is not None
        self.story.record.settled(self.peer, self.story.build.snapshots.of(self.peer.fleet).version)

    def leave(self) -> None:
        """End the stream."""
        self.story.record.closed(self.peer)

    def _resources(self, type_url: str) -> Resources:
        assert self.story.build is not None
        return self.story.build.snapshots.of(self.peer.fleet).of(type_url)
