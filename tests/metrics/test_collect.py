"""What the metrics say."""

from prometheus_client.parser import text_string_to_metric_families

from support.promtool import promtool
from support.story import Story, service
from swarm_xds.metrics import TABLE, Metrics
from swarm_xds.observe import Status


def values(metrics: Metrics) -> dict[str, float]:
    """Return each sample by its name and labels, as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(metrics.text()[0].decode()):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_before_the_first_reading_nothing_is_claimed(metrics: Metrics) -> None:
    """No routes is not the same as routes that are not known."""
    found = values(metrics)
    assert found['swarm_xds_status{status="starting"}'] == 1
    assert not any(name.startswith(("swarm_xds_routes", "swarm_xds_problems", "swarm_xds_services")) for name in found)


def test_what_has_happened_is_counted(eventful: Metrics) -> None:
    """Each by hand."""
    found = values(eventful)
    expected = {
        'swarm_xds_status{status="well"}': 1,
        'swarm_xds_status{status="last-good"}': 0,
        "swarm_xds_reading_age_seconds": 7,
        "swarm_xds_readings_total": 3,
        "swarm_xds_services": 1,
        'swarm_xds_routes{fleet="default"}': 1,
        'swarm_xds_resources{fleet="default",type="Cluster"}': 1,
        'swarm_xds_proxies{fleet="default",standing="current"}': 2,
        'swarm_xds_proxies{fleet="default",standing="refused"}': 0,
        "swarm_xds_streams": 2,
        'swarm_xds_responses_total{type="Cluster"}': 6,
        'swarm_xds_response_bytes_total{type="Cluster"}': 600,
        'swarm_xds_responses_accepted_total{type="Cluster"}': 5,
        'swarm_xds_responses_refused_total{type="Cluster"}': 1,
        'swarm_xds_changes_total{phase="unseen"}': 1,
        'swarm_xds_changes_total{phase="refused"}': 1,
        'swarm_xds_changes_total{phase="served"}': 1,
        "swarm_xds_changes_pending": 0,
        "swarm_xds_build_seconds_count": 3,
        'swarm_xds_change_acknowledged_seconds_bucket{fleet="default",le="0.1"}': 2,
        'swarm_xds_change_acknowledged_seconds_bucket{fleet="default",le="0.25"}': 3,
        "swarm_xds_change_served_seconds_count": 1,
        'swarm_xds_network_operations_total{action="create relay",result="failed"}': 1,
        "swarm_xds_network_steps_waiting": 3,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_problems_and_last_good_are_told_by_kind(story: Story, metrics: Metrics) -> None:
    """A bad value is an error, and what it spoils is served as it was."""
    story.publish(service("web"))
    story.publish(service("web", port="eighty"))
    found = values(metrics)
    assert found['swarm_xds_problems{kind="bad-value",severity="error"}'] == 1
    assert found['swarm_xds_problems{kind="last-good",severity="warning"}'] == 1
    assert found['swarm_xds_status{status="last-good"}'] == 1
    assert metrics.health().status is Status.LAST_GOOD
    story.publish(service("web"))
    assert not any(name.startswith("swarm_xds_problems") for name in values(metrics)), "no stale series is left"


def test_each_metric_of_the_table_is_there_with_its_labels(eventful: Metrics) -> None:
    """And none that the table, and so the documentation, does not have."""
    families = {
        family.name: family
        for family in text_string_to_metric_families(eventful.text()[0].decode())
        if family.name.startswith("swarm_xds_") and not family.name.endswith("_created")
    }
    table = {metric.full_name.removesuffix("_total"): metric for metric in TABLE}
    assert families.keys() == table.keys()
    for name, family in families.items():
        assert (family.type, family.documentation) == (str(table[name].form), table[name].doc)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= set(table[name].labels)


def test_promtool_finds_nothing_wrong(eventful: Metrics) -> None:
    """Names, units and types are as Prometheus asks for."""
    promtool("check", "metrics", stdin=eventful.text()[0].decode())
