"""What the metrics say."""

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.certificates import authority, issue
from support.promtool import promtool
from support.story import Story, service
from swarm_xds.certs import check
from swarm_xds.certs.base import CertificatesReading
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.stock import Origin, Stock
from swarm_xds.certs.values import Certificates
from swarm_xds.metrics import TABLE, Metrics, Probe
from swarm_xds.observe import Status
from swarm_xds.server import Peer, Refusal
from swarm_xds.server.handshakes import Handshakes


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


def test_certificates_in_use_have_their_times(story: Story, metrics: Metrics) -> None:
    """And what is held or missing is counted; of a bundle it is the last end, and of many certificates the first."""
    pair = issue("web.example.org")
    ends, starts = (
        each.timestamp() for each in (pair.certificate.not_valid_after_utc, pair.certificate.not_valid_before_utc)
    )
    files = {"site.pem": pair.pair, "other.pem": issue("x.example.org").pair, "bad.pem": b"no PEM"}
    held = hold(Held(), {name: check.read(name, content) for name, content in files.items()}, time.time())
    bundle = check.bundle("/ca.crt", authority("A", days=(-5, 9)).cert + authority("B", days=(-9, 5)).cert)
    stock = (*held.stock(Origin.DIRECTORY), Stock(origin=Origin.SETTINGS, material=bundle))
    story.publish(
        service("web", ssl_cert="site.pem"),
        service("shop", ssl_only="true"),
        certificates=CertificatesReading(certificates=held.certificates, stock=stock),
    )
    found = values(metrics)
    names = [
        f'{{certificate="{name}",role="{role}",source="{source}"}}'
        for name, role, source in (("site.pem", "server", "directory"), ("/ca.crt", "authority", "settings"))
    ]
    expiry = "swarm_xds_certificate_expiry_timestamp_seconds"
    assert {name for name in found if name.startswith(expiry)} == {f"{expiry}{each}" for each in names}
    assert found[f"{expiry}{names[0]}"] == ends
    assert found[f"swarm_xds_certificate_start_timestamp_seconds{names[0]}"] == starts
    assert found[f"{expiry}{names[1]}"] == bundle.trusted[0].not_after
    states = {name.split('"')[1]: count for name, count in found.items() if name.startswith("swarm_xds_certificates{")}
    assert states == {"served": 3, "held": 0, "unused": 1, "unusable": 1, "missing": 1}


def test_series_of_certificates_are_bounded(story: Story, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that end first have them."""
    monkeypatch.setattr("swarm_xds.metrics.certificates.MAX_SERIES", 2)
    bundles = (check.bundle(f"{days}.crt", authority(days=(-1, days)).cert) for days in (30, 10, 20))
    stock = tuple(Stock(origin=Origin.SETTINGS, material=each) for each in bundles)
    story.publish(certificates=CertificatesReading(certificates=Certificates(), stock=stock))
    named = [name.split('"')[1] for name in values(metrics) if "expiry_timestamp" in name]
    assert sorted(named) == ["10.crt", "20.crt"]


def test_refused_clients_are_counted_by_reason(story: Story) -> None:
    """Those that the handshake refuses, and those that a stream does."""
    handshakes = Handshakes()
    metrics = Metrics(
        story.record, Probe(reading_age=lambda: 1, reading_limit=60, handshakes=lambda: handshakes.counts)
    )
    handshakes.take("I1127 12:47:00.1 8 x.cc:1] Handshake failed with error SSL_ERROR_SSL: error:HTTP_REQUEST")
    peer = Peer(stream=1, node="edge-1", fleet="bank", variant="delta", address="ipv4:10.0.0.7:1")
    story.record.refused(peer, Refusal.FORBIDDEN, "the certificate is another fleet's")
    found = {name.split('"')[1]: count for name, count in values(metrics).items() if "clients_refused" in name}
    assert {name: count for name, count in found.items() if count} == {"not-tls": 1, "forbidden": 1}
    assert {"no-certificate", "untrusted-certificate", "protocol"} < found.keys(), "they are there before they count"
