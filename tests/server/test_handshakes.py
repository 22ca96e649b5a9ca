"""Lines of gRPC's core: what becomes of each."""

import pytest
from structlog.testing import capture_logs

from swarm_xds.server.handshakes import Failure, Handshakes

HEAD = "I1127 12:47:00.169160    8759 ssl_transport_security.cc:2563] Handshake failed with error SSL_ERROR_SSL: error:"
NOBODY = ": Invalid certificate verification context"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (f"100000c0:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE{NOBODY}", Failure.NO_CERTIFICATE),
        (
            "1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
            Failure.UNTRUSTED,
        ),
        (
            "1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired",
            Failure.EXPIRED,
        ),
        (f"100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER{NOBODY}", Failure.NOT_TLS),
        (f"1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST{NOBODY}", Failure.NOT_TLS),
        (f"10000418:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA{NOBODY}", Failure.DISTRUSTED),
        (f"100000f0:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL{NOBODY}", Failure.OTHER),
        ("something that nobody has seen yet", Failure.OTHER),
    ],
)
def test_a_refused_handshake_is_counted_and_logged(words: str, reason: Failure) -> None:
    """Once, by its reason, in OpenSSL's words."""
    handshakes = Handshakes()
    with capture_logs() as logs:
        assert handshakes.take(HEAD + words)
    assert {name: count for name, count in handshakes.counts.items() if count} == {str(reason): 1}
    (event,) = logs
    assert (event["event"], event["log_level"], event["reason"]) == ("xds.handshake_refused", "warning", str(reason))
    assert event["error"] == words.rpartition("OPENSSL_internal:")[2].removesuffix(NOBODY)


@pytest.mark.parametrize(("letter", "level"), [("I", "info"), ("W", "warning"), ("E", "error"), ("F", "critical")])
def test_all_else_of_the_core_is_an_event(letter: str, level: str) -> None:
    """With where it is from; nothing is counted."""
    handshakes = Handshakes()
    with capture_logs() as logs:
        assert handshakes.take(f"{letter}0000 00:00:1764246000.1       9 src/core/chttp2_server.cc:12] no\tport")
    assert logs == [
        {"event": "grpc.core", "log_level": level, "message": "no\tport", "where": "src/core/chttp2_server.cc:12"}
    ]
    assert not any(handshakes.counts.values())


@pytest.mark.parametrize(
    "line",
    ["", "I", "Error: x", "Invalid", "E1 b.cc:1] x", "Traceback (most recent call last):", f"x{HEAD}", "I" * 100_000],
)
def test_what_is_not_the_cores_is_left_alone(line: str) -> None:
    """Whoever wrote it."""
    with capture_logs() as logs:
        assert not Handshakes().take(line)
    assert logs == []


def test_a_long_line_is_cut() -> None:
    """A client may have its say in one."""
    with capture_logs() as logs:
        assert Handshakes().take(HEAD + "x" * 10_000)
    assert len(logs[0]["error"]) == 500
