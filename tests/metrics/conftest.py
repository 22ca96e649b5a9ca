"""A record in which everything has happened once, and its metrics."""

import pytest

from support.story import Story, service
from swarm_xds.metrics import Metrics, Probe
from swarm_xds.snapshot import CLUSTER


@pytest.fixture
def story() -> Story:
    """A story that was not told yet."""
    return Story()


@pytest.fixture
def metrics(story: Story) -> Metrics:
    """Metrics of the story, of a source that was read 7 s ago and of a manager that wrote twice."""
    operations = {("create relay", True): 2, ("create relay", False): 1}
    probe = Probe(reading_age=lambda: 7.0, reading_limit=60.0, operations=lambda: operations, steps_waiting=lambda: 3)
    return Metrics(story.record, probe)


@pytest.fixture
def eventful(story: Story, metrics: Metrics) -> Metrics:
    """Metrics after each thing has happened that any of them counts."""
    story.publish(service("web"))
    good, bad = story.join(1, "good"), story.join(2, "bad")
    good.take_all()
    bad.take_all()
    story.publish(service("web"), service("shop", port="eighty"), service("three", port="83"), noticed=0.0)
    story.now = 0.2
    good.take_all()
    story.now = 0.7
    bad.take_all({CLUSTER: "no"})
    story.publish(service("web", tasks=2))
    good.take_all()
    bad.take_all()
    return metrics
