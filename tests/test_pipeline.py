"""The arrow as a whole: what a change costs."""

from dataclasses import replace

from swarm_xds.model import EdgeOptions
from swarm_xds.networks.home import RelayOptions
from swarm_xds.networks.plan import NetworkOptions
from swarm_xds.pipeline import Pipeline
from swarm_xds.swarm import Network, Secret, Service, SwarmState, Task

LABELS = (
    ("com.docker.lb.hosts", "app.example.org"),
    ("com.docker.lb.port", "80"),
    ("com.docker.lb.ssl_cert", "site.pem"),
)
OWN = tuple(
    Secret(id=f"p{number}", name=f"swarm-xds-{name}.v1", pki="one")
    for number, name in enumerate(("ca", "relay.crt", "relay.key"))
)
WEB = Service(id="s1", name="web", labels=LABELS, network_ids=("n1",), tasks=(Task(id="t1"),))
SWARM = SwarmState(
    services=(WEB,),
    networks=(
        Network(id="n1", name="front", subnets=("10.0.1.0/24",)),
        Network(id="n9", name="edge", subnets=("10.9.0.0/24",)),
    ),
    fleet_networks=(("default", ("n9",)),),
    secrets=(*OWN, Secret(id="c1", name="site.pem")),
)


def test_what_is_unchanged_of_relays_and_readers_is_not_made_again() -> None:
    """A configuration takes a millisecond, and there is one for each network and each stack with secrets."""
    pipeline = Pipeline(EdgeOptions(), "default", NetworkOptions(relay=RelayOptions(image="envoy:1")))
    changed = replace(SWARM, services=(replace(WEB, tasks=(Task(id="t2"),)),))
    plans = [pipeline.build(state).networks for state in (SWARM, changed)]
    before, after = ([each.configuration for each in plan.relays] if plan else [] for plan in plans)
    assert len(before) == 2
    assert all(old is new for old, new in zip(before, after, strict=True))
