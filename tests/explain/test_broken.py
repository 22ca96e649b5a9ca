"""Each broken set-up is explained by its true cause, and by what mends it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from support.certificates import authority
from support.story import EPOCH, Story
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.values import Certificates
from swarm_xds.certs.withhold import WITHHELD
from swarm_xds.explain import Explanation, Facts, Outcome, Question, Subject, explain
from swarm_xds.model import EdgeOptions
from swarm_xds.networks.plan import NetworkOptions, RelayOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.problem import Kind, Problem, Severity
from swarm_xds.snapshot import CLUSTER, LISTENER, ROUTE, SECRET
from swarm_xds.swarm import FleetService, Network, Node, PublishedPort, PublishMode, Service, SwarmState, Task, marks

EDGE = Network(id="n9", name="swarm-xds", subnets=("10.9.0.0/24",))
FRONT = Network(id="n1", name="shop_front", stack="shop", subnets=("10.0.1.0/24",))
BACK = Network(id="n2", name="shop_back", stack="shop", subnets=("10.0.2.0/24",))
INGRESS = Network(id="n0", name="ingress", ingress=True, subnets=("10.0.0.0/24",))
FLEET = FleetService(id="f1", name="swarm-xds_edge", fleet="default", image="edge:1", network_ids=("n9",))


def service(name: str = "shop_web", *, tasks: int = 1, networks: tuple[str, ...] = ("n9",), **more: Any) -> Service:
    """Return a service for app.example.org; ``labels`` replace those of the same key, None takes one away."""
    labels = {"com.docker.lb.hosts": "app.example.org", "com.docker.lb.port": "8080"} | more.pop("labels", {})
    running = tuple(
        Task(
            id=f"{name}.{number}",
            node_id="node1",
            addresses=tuple((network, f"10.9.{network[1]}.{10 + number}") for network in networks),
        )
        for number in range(tasks)
    )
    return Service(
        id=f"id-{name}",
        name=name,
        stack="shop",
        labels=tuple(sorted((key, value) for key, value in labels.items() if value is not None)),
        network_ids=networks,
        **{"tasks": running, **more},
    )


def relay(*, tasks: int) -> Service:
    """Return the relay of the network shop_front."""
    return Service(
        id="relay",
        name="shop_swarm-xds-relay-1",
        stack="shop",
        labels=((marks.RELAY_LABEL, "n1"), (marks.RELAY_FLEET_LABEL, "default")),
        tasks=tuple(
            Task(id=f"r{number}", node_id="node1", addresses=(("n1", "10.0.1.9"), ("n9", "10.9.0.9")))
            for number in range(tasks)
        ),
    )


@dataclass
class Setup:
    """A set-up, and what is asked of it.

    Attributes:
        earlier: Readings before the one that counts.
        proxies: What proxies do; without it one has accepted everything.
        options: None where networks are not managed.
        certificates: Files that labels may name.
    """

    services: tuple[Service, ...] = ()
    ask: dict[str, Any] = field(default_factory=dict)
    earlier: tuple[tuple[Service, ...], ...] = ()
    relays: tuple[Service, ...] = ()
    fleet: FleetService = FLEET
    networks: tuple[Network, ...] = (EDGE, FRONT, BACK, INGRESS)
    options: NetworkOptions | None = field(default_factory=lambda: NetworkOptions(relay=RelayOptions()))
    problems: tuple[Problem, ...] = ()
    certificates: Mapping[str, bytes] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    proxies: Callable[[Story], None] = lambda story: story.join().take_all()

    def explain(self) -> Explanation:
        """Play it, and ask."""
        story = Story(pipeline=Pipeline(EdgeOptions(), "default", self.options))
        for services in self.earlier:
            self._publish(story, services)
        state = self._publish(story, self.services)
        self.proxies(story)
        assert story.build is not None
        facts = Facts(state=state, build=story.build, members=story.record.members, now=EPOCH + story.now, **self.facts)
        return explain(Question(**{"host": "app.example.org", **self.ask}), facts)

    def _known(self) -> Certificates:
        files = {name: read(name, content) for name, content in self.certificates.items()}
        return Certificates(materials=hold(Held(), files, time.time()).certificates.materials)

    def _publish(self, story: Story, services: tuple[Service, ...]) -> SwarmState:
        state = SwarmState(
            services=tuple(sorted(services, key=lambda each: each.id)),
            networks=self.networks,
            nodes=(Node(id="node1", hostname="node1", address="192.0.2.1"),),
            fleet_networks=(("default", ("n9",)),),
            fleet_services=(self.fleet,),
            relays=self.relays,
        )
        story.build = story.pipeline.build(state, self.problems, self._known())
        story.record.published(state, story.build, cause="test", resources={}, seconds=0.0)
        return state


def refusing(type_url: str, message: str = "no") -> Callable[[Story], None]:
    """Return a proxy that refuses a type."""
    return lambda story: story.join().take_all({type_url: message})


def nobody(story: Story) -> None:
    """No proxy ever connects."""


def gone(story: Story) -> None:
    """One proxy was there, and went 7 s ago."""
    proxy = story.join()
    proxy.take_all()
    proxy.leave()
    story.now += 7


def behind(story: Story) -> None:
    """One proxy has everything, the other was sent routes 30 s ago."""
    story.join(1, "good").take_all()
    story.join(2, "slow").send(ROUTE)
    story.now += 30


def at_work(story: Story) -> None:
    """One proxy has connected and asks for nothing."""
    story.join()
    story.now += 200


def labels(**given: str | None) -> dict[str, str | None]:
    """Return labels with Interlock's prefix."""
    return {f"com.docker.lb.{key}": value for key, value in given.items()}


CA = authority()
WEB = service()
OLD = service("shop_old", created=1)
HOST_PORT = (PublishedPort(target=8080, published=30080, mode=PublishMode.HOST),)

BROKEN = [
    # The host
    ("nobody claims a host", Setup((WEB,), {"host": "shop.example.net"}), Subject.HOST,
     "no service of fleet default claims shop.example.net", "1 other hosts are claimed"),
    ("what a wildcard does not stand for", Setup((service(labels=labels(hosts="*.app.example.org")),)), Subject.HOST,
     "claims app.example.org", "*.app.example.org stands for all names below it: add app.example.org itself"),
    ("an address in the place of a host", Setup((WEB,), {"host": "::1"}), Subject.HOST, "claims ::1",
     "not by addresses: ask for one, or add the header Host"),
    ("a service's name in the place of a host", Setup((WEB,), {"host": "web"}), Subject.HOST, "claims web",
     "that is the name of a service: ask for its host, app.example.org"),
    ("a redirect from HTTPS alone", Setup((WEB, service("shop_old", labels={
        **labels(hosts=None, port=None), "xds.redirects": "https://old.example.org,https://app.example.org"})),
        {"host": "old.example.org"}), Subject.HOST, "shop_old has old.example.org over TLS alone",
     "or write http:// in the label redirects too"),
    ("labels on the container", Setup((WEB,), {"host": "shop.example.org"}, problems=(Problem(
        severity=Severity.ERROR, kind=Kind.MISPLACED_LABEL, service="shop_b", label="com.docker.lb.hosts",
        value="shop.example.org", reason="it stands on the container", cure="move it under deploy: labels:"),)),
     Subject.LABEL, 'shop_b: label com.docker.lb.hosts="shop.example.org": it stands on the container', "move it"),
    *((f"a host that is kept from a wildcard, {scheme}", Setup(
        (service(labels={**labels(hosts="*.example.org"), "xds.route.admin.hosts": "app.example.org",
                         "xds.route.admin.port": "8080", "xds.route.admin.tls.client_ca": "?"}),),
        {"scheme": scheme}, certificates={"all.pem": authority().issue("*.example.org").pair}), Subject.LABEL,
       'shop_web: label xds.route.admin.tls.client_ca="?": not the name of a Docker secret or of a file', "use letters")
      for scheme in ("http", "https")),
    ("no host at all", Setup(), Subject.HOST, "no service of fleet default claims app.example.org", "no host at all"),
    ("a typo in the question", Setup((WEB,), {"host": "ap.example.org"}), Subject.HOST,
     "claims ap.example.org", "did you mean app.example.org?"),
    ("a typo in the label hosts", Setup((service(labels=labels(hosts=None, host="app.example.org")),)), Subject.LABEL,
     'label com.docker.lb.host="app.example.org": there is no such label', "did you mean com.docker.lb.hosts?"),
    ("one of two broken labels", Setup((service(labels={**labels(hosts="b.example.org,", port=None),
        "xds.redirects": "app.example.org"}),)), Subject.LABEL, 'label xds.redirects="app.example.org"', "write http://"),
    ("a host that is none", Setup((service(labels=labels(hosts="app.example.org:80")),)), Subject.LABEL,
     'label com.docker.lb.hosts="app.example.org:80"', ""),
    ("no port", Setup((service(labels=labels(port=None)),)), Subject.LABEL,
     "label com.docker.lb.port: no port to send requests to", "name the port"),
    ("a port that is none", Setup((service(labels=labels(port="eighty")),)), Subject.LABEL,
     'label com.docker.lb.port="eighty"', "port that the container listens on"),
    ("another fleet has it", Setup((service(labels=labels(service_cluster="internal")),)), Subject.FLEET,
     "shop_web claims it for fleet internal, not for default", "ask a proxy of fleet internal"),
    ("another fleet has it, and a label is misspelt", Setup((
        service("a_internal", labels=labels(service_cluster="internal")),
        service("shop_web", labels=labels(hosts=None, host="app.example.org")))), Subject.LABEL,
     'label com.docker.lb.host="app.example.org"', "did you mean com.docker.lb.hosts?"),
    ("no such fleet", Setup((WEB,), {"fleet": "intern"}), Subject.FLEET, "no service names fleet intern", "default"),
    ("a label that withholds the route", Setup((service(labels={"xds.jwt.issuer": "x"}),)), Subject.LABEL,
     'label xds.jwt.issuer="x": this label is not yet served', "take the label away"),
    ("an old label that is broken", Setup((service(labels={
        **labels(hosts=None, port=None), marks.HRM: "external_route=http://app.example.org,internal_prt=80"}),)),
     Subject.LABEL, '"internal_prt=80" is no field of it', "the fields are external_route"),
    ("HTTPS", Setup((WEB,), {"scheme": "https"}), Subject.HOST, "has no certificate that can be served",
     "label ssl_cert"),
    # The certificate
    ("a certificate that there is not", Setup((service(labels=labels(ssl_cert="app.pem")),), {"scheme": "https"}),
     Subject.LABEL, 'there is no file or secret "app.pem"', "name another one"),
    ("a certificate of another host", Setup((service(labels=labels(ssl_cert="b.pem")),), {"scheme": "https"},
     certificates={"b.pem": CA.issue("b.example.org").pair}), Subject.LABEL,
     '"b.pem" does not name app.example.org; it names b.example.org', "name another one"),
    ("an expired certificate", Setup((service(labels=labels(ssl_cert="a.pem")),), {"scheme": "https"},
     certificates={"a.pem": CA.issue("app.example.org", days=(-9, -1)).pair}), Subject.LABEL, "expired", "mend"),
    ("a key of another certificate", Setup((service(labels=labels(ssl_cert="a.crt", ssl_key="b.key")),),
     {"scheme": "https"}, certificates={"a.crt": CA.issue("app.example.org").cert,
     "b.key": CA.issue("app.example.org").key}), Subject.LABEL, 'its public key is not that of "b.key"', "mend"),
    ("a label that asks for TLS and nothing that gives it", Setup((service(labels=labels(ssl_only="true")),),
     {"scheme": "https"}), Subject.LABEL, "no certificate names app.example.org", "name one in ssl_cert"),
    ("keys that may not go out", Setup((service(labels=labels(ssl_cert="app.pem")),), {"scheme": "https"},
     problems=(WITHHELD,)), Subject.HOST, "not encrypted", WITHHELD.cure),
    ("a refused certificate", Setup((service(labels=labels(ssl_cert="app.pem")),), {"scheme": "https"},
     certificates={"app.pem": CA.issue("app.example.org").pair}, proxies=refusing(SECRET, "no start line")),
     Subject.PROXY, "edge-1 has refused secrets (certificate/app.example.org) 0 s ago: no start line", "keeps"),
    # The prefix
    ("a prefix without its lb", Setup((service(networks=("n1", "n2"), labels={"com.docker.network": "front"}),)),
     Subject.SERVICE, "several networks (shop_back, shop_front)", "name one of them in the label network"),
    ("the mesh's oldest label", Setup((service(labels={
        **labels(hosts=None, port=None), marks.HRM: "8080=http://app.example.org"}),)), Subject.LABEL,
     "this is how UCP 2.0 had it", "write external_route=http://app.example.org,internal_port=8080"),
    # The path
    ("no route for a path", Setup((service(labels=labels(context_root="/app")),), {"path": "/other"}), Subject.ROUTE,
     "no route of app.example.org is for /other; there are /app", "add a service with context_root /other"),
    ("a segment that is not whole", Setup((service(labels=labels(context_root="/app")),), {"path": "/apple"}),
     Subject.ROUTE, "no route of app.example.org is for /apple", "prefixes match whole segments"),
    ("capital letters", Setup((service(labels=labels(context_root="/App")),), {"path": "/app/x"}), Subject.ROUTE,
     "no route of app.example.org is for /app/x", "ask for /App: in paths, capital letters are other letters"),
    ("a path that leads elsewhere", Setup((service(labels=labels(context_root="/app")),), {"path": "/app/../x"}),
     Subject.ROUTE, "no route of app.example.org is for /x", "add a service with context_root /x"),
    # The network
    ("a network that there is not", Setup((service(labels=labels(network="frnt"), networks=("n1", "n2")),)),
     Subject.LABEL, "there is no network frnt", "did you mean front?"),
    ("a network that the service is not on", Setup((service(labels=labels(network="shop_back"), networks=("n9",)),)),
     Subject.LABEL, "does not stand on network shop_back", "name one of its networks: swarm-xds"),
    ("several networks", Setup((service(networks=("n1", "n2")),)), Subject.SERVICE,
     "several networks (shop_back, shop_front)", "name one of them in the label network"),
    ("no network", Setup((service(networks=("n0",)),)), Subject.SERVICE,
     "stands on no network that a proxy could share", "attach it to an overlay network"),
    ("the routing mesh's network", Setup((service(labels=labels(network="ingress"), networks=("n0", "n9")),)),
     Subject.LABEL, "ingress is the routing mesh's network", "name one of its networks: swarm-xds"),
    ("networks are not managed", Setup((service(networks=("n1",)),), options=None), Subject.NETWORK,
     "network shop_front, and networks are not managed", "attach shop_web to swarm-xds"),
    ("networks that overlap", Setup((service(networks=("n1",)),), networks=(
        EDGE, replace(FRONT, subnets=EDGE.subnets))), Subject.NETWORK,
     "network shop_front overlaps with swarm-xds", "use another network"),
    # The relay
    ("a relay that is not there yet", Setup((service(networks=("n1",)),)), Subject.RELAY,
     "its relay is not there yet", "network.failed"),
    ("a relay without a task", Setup((service(networks=("n1",)),), relays=(relay(tasks=0),)), Subject.RELAY,
     "no task of its relay runs", "image is missing"),
    ("a relay that waits", Setup((service(networks=("n1",)),), facts={
        "waiting": {("default", "shop_front"): "somebody may be removing the stack"}}), Subject.RELAY,
     "its relay waits", "somebody may be removing the stack"),
    # The tasks
    ("no task", Setup((service(tasks=0),)), Subject.TASK, "no task of shop_web runs", "docker service ps shop_web"),
    ("a task that stops", Setup((replace(WEB, tasks=(
        replace(WEB.tasks[0], serving=False),)),)), Subject.TASK,
     "no task of shop_web runs; 1 are being stopped", "scale"),
    ("a task without an address", Setup((replace(WEB, tasks=(replace(WEB.tasks[0], addresses=()),)),)), Subject.TASK,
     "1 tasks run, and none has an address on the network yet", "wait a moment"),
    ("a last good form that cannot be reached", Setup((service(labels=labels(port="eighty"), networks=("n1",)),),
     earlier=((service(networks=("n1",)),),)), Subject.TASK, "1 tasks run, and none can be reached", "said above"),
    ("a published port that is not there yet", Setup((service(networks=("n1",), ports=HOST_PORT),)), Subject.TASK,
     "none has published port 8080", "wait a moment"),
    ("no virtual IP", Setup((service(labels=labels(backend_mode="vip")),)), Subject.SERVICE,
     "the service has no virtual IP on network swarm-xds", "backend_mode task"),
    # The proxies
    ("no proxy", Setup((WEB,), proxies=nobody), Subject.PROXY,
     "no proxy of fleet default is connected", "start one"),
    ("the last proxy is gone", Setup((WEB,), proxies=gone), Subject.PROXY, "edge-1 went 7 s ago", "start one"),
    ("a refused cluster", Setup((WEB,), proxies=refusing(CLUSTER, "bad cluster")), Subject.PROXY,
     "edge-1 has refused clusters (shop_web) 0 s ago: bad cluster", "it keeps what it had"),
    ("a refused listener", Setup((WEB,), proxies=refusing(LISTENER, "port 80 is taken")), Subject.PROXY,
     "edge-1 has refused listeners (http) 0 s ago: port 80 is taken", "it keeps what it had"),
    ("a proxy that is behind", Setup((WEB,), proxies=behind), Subject.PROXY,
     "slow has not answered its newest routes for 30 s", "look at that proxy"),
    ("a proxy that asks for nothing", Setup((WEB,), proxies=at_work), Subject.PROXY,
     "edge-1 has asked for nothing since 3 min ago", "that proxy's log"),
]  # fmt: skip


@pytest.mark.parametrize(("setup", "subject", "text", "cure"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_the_cause_and_the_cure(setup: Setup, subject: Subject, text: str, cure: str) -> None:
    """The first broken step says what to mend, and the request is not said to get through."""
    found = setup.explain()
    cause = found.cause
    assert cause is not None, found
    assert (cause.subject, text in cause.text, cure in cause.cure) == (subject, True, True), cause
    assert found.outcome in {Outcome.UNKNOWN_HOST, Outcome.UNAVAILABLE, Outcome.NOT_SERVED}


#: One proxy, which holds a port of its node: it cannot be replaced while another serves.
ALONE = replace(FLEET, host_ports=True, tasks=(Task(id="p1", addresses=(("n9", "10.9.0.7"),)),))

NOTES = [
    ("proxies that ask another control plane", Setup((WEB,), fleet=replace(ALONE, host_ports=False), proxies=nobody),
     "none of the 1 proxies of fleet default that run is connected to this control plane", "ask the other"),
    ("direct with no proxy to spare", Setup((service(networks=("n1",), labels={"xds.network.via": "direct"}),),
     fleet=ALONE, relays=(relay(tasks=1),)),
     "only 1 serve where direct_min_serving is 1: network shop_front is reached by a relay", "run more proxies"),
    ("the older service has the host", Setup((OLD, service(labels={
        **labels(hosts=None, port=None), "xds.redirects": "http://app.example.org,http://x.example.org"}, created=2))),
     "app.example.org/ belongs to the older service shop_old", "take the older claim away"),
    ("a route in its last good form", Setup((service(labels=labels(port="eighty")),), earlier=((WEB,),)),
     "still served in its last accepted form", "mend the label"),
    ("a port that nobody may listen on", Setup((service(ports=(
        PublishedPort(target=80, published=30080, mode=PublishMode.INGRESS),)),)),
     "the label says port 8080, and the service publishes 80", "set the label port to 80"),
    ("TLS to the task", Setup((service(labels=labels(ssl_backend="true")),)),
     "only if its certificate names app.example.org and leads to an authority of the edge's system",
     "see what certificate it has"),
    ("TLS to the task, unverified", Setup((service(labels=labels(ssl_backend="true", ssl_backend_tls_verify="none")),)),
     "whether it speaks TLS only a request can tell", "take the label ssl_backend away"),
    ("a port of which nothing is known", Setup((WEB,)), "whether it listens on port 8080 only a request can tell",
     "not on 127.0.0.1 alone"),
    ("capital letters behind another route", Setup((WEB, service("shop_api", labels=labels(context_root="/Api"))),
     {"path": "/api"}), "/api is not below /Api: in paths, capital letters are other letters", "ask for /Api"),
    ("a path that is taken for another", Setup((WEB,), {"path": "/a/../%41pi"}),
     "edges take /a/../%41pi for /Api", ""),
    ("one of two services without a task", Setup((WEB, service("shop_canary", tasks=0))),
     "no task of shop_canary runs", "scale it up"),
    ("a typo behind the default backend", Setup((
        service("shop_rest", labels=labels(hosts=None, default_backend="true")),
        service(labels=labels(hosts=None, host="app.example.org")))),
     'label com.docker.lb.host="app.example.org": there is no such label', "did you mean com.docker.lb.hosts?"),
    ("a swarm that cannot be read", Setup((WEB,), facts={"reading_age": 95.0}),
     "the swarm was last read well 95 s ago", "see why"),
    ("a file that cannot be read", Setup((WEB,), problems=(Problem(severity=Severity.ERROR, kind=Kind.BAD_FILE,
     reason="line 3: no", cure="mend the file", source="shop.yml"),)), "shop.yml: line 3: no", "mend the file"),
    ("somebody else's refusal", Setup((WEB, service("shop_other", labels=labels(hosts="b.example.org"))),
     {"host": "b.example.org"}, proxies=lambda story: refuse_one(story, "shop_web")),
     "edge-1 has refused clusters (shop_web)", "it keeps what it had"),
]  # fmt: skip


def refuse_one(story: Story, name: str) -> None:
    """Have a proxy refuse a response with one cluster in it, and accept the others."""
    proxy = story.join()
    proxy.take_all()
    response = proxy.send(CLUSTER)
    proxy.refuse(replace(response, resources=tuple(each for each in response.resources if each.name == name)))
    proxy.settle()


@pytest.mark.parametrize(("setup", "text", "cure"), [pytest.param(*case[1:], id=case[0]) for case in NOTES])
def test_what_is_to_be_known_of_a_request_that_gets_through(setup: Setup, text: str, cure: str) -> None:
    """It is said, and stops nothing."""
    found = setup.explain()
    assert any(text in step.text and cure in step.cure for step in found.steps), found
    assert (found.outcome, found.cause) == (Outcome.FORWARDED, None), found
