"""Arbitrary swarms for property tests: labels that are near ours, and values of every kind."""

from dataclasses import replace

from hypothesis import strategies as st

from swarm_xds.labels import keys
from swarm_xds.swarm import FleetService, Network, Node, PublishedPort, PublishMode, Service, SwarmState, Task, marks

NETWORKS = (
    Network(id="n1", name="shop_front", stack="shop", subnets=("10.0.1.0/24",)),
    Network(id="n2", name="back", subnets=("10.0.2.0/24",)),
    Network(id="n3", name="ingress", ingress=True),
)
NODES = (Node(id="a", hostname="node-a", address="192.0.2.1"), Node(id="b", hostname="node-b", address="192.0.2.2"))
_HOSTS = ("app.example.org", "www.example.org", "*.example.org", "bücher.example", "10.0.0.1")

#: Values of which many are good for some key.
_GOOD = st.sampled_from(
    [
        *_HOSTS,
        ",".join(_HOSTS[:3]),
        *("8080", "80", "0", "65536", "true", "false", "1", "front", "shop_front", "back", "ingress", "nowhere"),
        *("/", "/app", "/app/v2", "/a.b+c", "/%61", "task", "vip", "generated", "application", "session", "internal"),
        *("relay", "direct", "host"),
        *("10s", "1m30s", "0s", "3", "http1", "round_robin", "users"),
        *("site.crt", "site.key", "wild.pem", "clients.pem", "lost.crt", "1.2", "1.3", "required", "none", "max-age=5"),
        "http://old.example.org,http://app.example.org",
        "http://app.example.org,https://app.example.org;https://x.example.org,http://y.example.org",
        "external_route=http://app.example.org,internal_port=8080",
        "external_route=http://old.example.org,redirect=http://new.example.org",
        "external_route=sni://app.example.org,internal_port=8443",
    ]
)
_ANY_TEXT = st.text(st.characters(), max_size=40)
_HUGE = st.builds(lambda text: text * 20_000, st.sampled_from(["a", "a.", "/", ",", ";", "ä", "http://a,http://b;"]))
VALUES = st.one_of(_GOOD, _GOOD, _GOOD, _ANY_TEXT, st.text("aA0.-_*/:,;=%[]\x00\ud800 é", max_size=20), _HUGE)

_NAMES = [*sorted(keys.BY_NAME), "cors.allow", "headers.request.x", "cors.", "jwt."]
_PREFIXES = [marks.INTERLOCK, marks.XDS, f"{keys.ROUTE}api.", f"{keys.ROUTE}b."]
_NEAR = [
    f"{marks.HRM}",
    f"{marks.HRM}.1",
    f"{marks.HRM}.",
    "xds.",
    "xds.route.",
    "xds.route.a",
    "com.docker.lb",
    "other",
]
KEYS = st.one_of(
    st.builds(str.__add__, st.sampled_from(_PREFIXES), st.sampled_from(["hosts", "port", "context_root", "network"])),
    st.builds(str.__add__, st.sampled_from(_PREFIXES), st.sampled_from(_NAMES)),
    st.builds(str.__add__, st.sampled_from(_PREFIXES), _ANY_TEXT),
    st.sampled_from(_NEAR),
    _ANY_TEXT,
)
LABELS = st.dictionaries(KEYS, VALUES, max_size=10)
_BASE = st.sampled_from(
    [
        {},
        {"com.docker.lb.hosts": "app.example.org", "com.docker.lb.port": "8080"},
        {"xds.hosts": "app.example.org,www.example.org", "xds.port": "80", "xds.path": "/app", "xds.network": "front"},
        {"xds.port": "80", "xds.route.api.hosts": "app.example.org", "xds.route.b.hosts": "*.example.org"},
    ]
)
_PORT = st.builds(
    PublishedPort,
    target=st.sampled_from([80, 8080]),
    published=st.sampled_from([0, 30080]),
    mode=st.sampled_from(PublishMode),
)


@st.composite
def tasks(draw: st.DrawFn, name: str) -> tuple[Task, ...]:
    """Return some running tasks of a service."""
    made = []
    for number in range(draw(st.integers(0, 3))):
        ids = draw(st.sets(st.sampled_from(["n1", "n2", "n3"]), max_size=2))
        made.append(
            Task(
                id=f"{name}.{number}",
                node_id=draw(st.sampled_from(["", "a", "b", "unknown"])),
                serving=draw(st.booleans()),
                addresses=tuple((each, f"10.0.{each[1]}.{hash_of(name) % 200 + number}") for each in sorted(ids)),
                port=draw(st.sampled_from([0, 0, 9000])),
                host_ports=tuple(draw(st.lists(_PORT, max_size=1))),
            )
        )
    return tuple(made)


def hash_of(text: str) -> int:
    """Return a number that is the same in each run."""
    return sum(text.encode())


@st.composite
def services(draw: st.DrawFn, name: str) -> Service:
    """Return a service with arbitrary labels."""
    labels = draw(_BASE) | draw(LABELS)
    ids = tuple(sorted(draw(st.sets(st.sampled_from(["n1", "n1", "n2", "n3", "gone"]), max_size=3))))
    return Service(
        id=f"id-{name}",
        name=name,
        stack=draw(st.sampled_from(["", "shop"])),
        created=draw(st.integers(0, 2)),
        labels=tuple(sorted(labels.items())),
        network_ids=ids,
        virtual_ips=tuple((each, f"10.1.{each[1]}.1") for each in ids if each != "gone") if draw(st.booleans()) else (),
        ports=tuple(draw(st.lists(_PORT, max_size=2))),
        tasks=draw(tasks(name)),
    )


@st.composite
def swarms(draw: st.DrawFn, most: int = 5) -> SwarmState:
    """Return a swarm of a few services that often want the same."""
    names = sorted(draw(st.sets(st.sampled_from(["a", "b", "shop_c", "shop_d", "e"]), max_size=most)))
    fleets = draw(st.sampled_from([None, (), (("default", ("n1",)), ("internal", ("n2",)))]))
    attached = draw(st.sampled_from([(), ("n1",)]))
    proxies = FleetService(
        id="f1",
        name="edge",
        fleet="default",
        network_ids=("n1",),
        attached=attached,
        host_ports=draw(st.booleans()),
        tasks=draw(tasks("edge")),
    )
    labels = ((marks.RELAY_LABEL, "n2"), (marks.RELAY_FLEET_LABEL, "default"))
    relay = Service(id="r1", name="relay", labels=labels, network_ids=("n1", "n2"), tasks=draw(tasks("relay")))
    return SwarmState(
        services=tuple(draw(services(name)) for name in names),
        networks=NETWORKS,
        nodes=NODES,
        fleet_networks=fleets,
        fleet_services=(proxies,) if fleets else (),
        relays=(relay,) if draw(st.booleans()) else (),
    )


@st.composite
def changes(draw: st.DrawFn, state: SwarmState) -> SwarmState:
    """Return a swarm in which one thing is not as it was."""
    kept = list(state.services)
    what = draw(st.sampled_from(["labels", "tasks", "gone", "new", "networks", "fleets"]))
    if what in {"labels", "tasks", "gone"} and kept:
        at = draw(st.integers(0, len(kept) - 1))
        old = kept.pop(at)
        if what != "gone":
            new = draw(services(old.name))
            kept.insert(at, replace(old, labels=new.labels) if what == "labels" else replace(old, tasks=new.tasks))
    elif what == "networks":
        return replace(state, networks=tuple(draw(st.permutations(NETWORKS))[: draw(st.integers(1, 3))]))
    elif what == "fleets":
        return replace(state, fleet_networks=draw(st.sampled_from([None, (), (("default", ("n1", "n2")),)])))
    else:
        name = draw(st.sampled_from(["a", "b", "shop_c", "shop_d", "e"]))
        kept = [each for each in kept if each.name != name] + [draw(services(name))]
    return replace(state, services=tuple(kept))
