"""What a user is told when a control plane cannot be asked."""

import contextlib
import threading
from typing import Any

import grpc
import grpc_testing
import pytest
import typer

from swarm_xds.cli.ask import client, commands
from swarm_xds.debug.v1 import debug_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["Debug"]


@pytest.mark.parametrize(
    ("code", "details", "status", "told"),
    [
        (grpc.StatusCode.OK, "", None, ""),
        (grpc.StatusCode.UNAVAILABLE, "nothing was read yet", 3, "nothing was read yet"),
        (grpc.StatusCode.UNAVAILABLE, "connection refused", 3, "is it running"),
        (grpc.StatusCode.CANCELLED, "the server stops", 3, "is it running"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", 3, "no answer within 10 s"),
        (grpc.StatusCode.NOT_FOUND, "no such fleet", 2, "no such fleet"),
        (grpc.StatusCode.INTERNAL, "a defect", 1, "INTERNAL: a defect"),
    ],
)
def test_each_failure_has_its_status_and_reason(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    code: grpc.StatusCode,
    details: str,
    status: int | None,
    told: str,
) -> None:
    """A program goes by the status, a person by the reason."""
    channel = grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())
    monkeypatch.setattr(client.grpc, "insecure_channel", lambda *_, **__: contextlib.nullcontext(channel))
    ended: list[Any] = []

    def ask() -> None:
        try:
            commands.routes(address="127.0.0.1:1")
        except typer.Exit as end:
            ended.append(end.exit_code)
        else:
            ended.append(None)

    thread = threading.Thread(target=ask)
    thread.start()
    _, request, call = channel.take_unary_unary(SERVICE.methods_by_name["ListRoutes"])
    assert request == pb.ListRoutesRequest()
    call.send_initial_metadata(())
    call.terminate(pb.ListRoutesResponse(), (), code, details)
    thread.join(10)
    printed = capsys.readouterr()
    assert ended == [status]
    assert told in printed.err
    assert ("no route is served" in printed.out) == (status is None)


def test_headers_are_given_as_curl_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    """One that is given twice is one whose values are put together (RFC 9110, 5.3; of cookies RFC 9113, 8.2.3)."""
    given = ["Host: a:80", "cookie: a=1", "Cookie:b=2", "X-A: 1", "x-a:", "X-a:3 "]
    assert commands._headers(given) == {"host": "a:80", "cookie": "a=1; b=2", "x-a": "1, 3"}
    for wrong in ("Host", ": x", ""):
        with pytest.raises(typer.Exit):
            commands._headers([wrong])
    assert "not of the form 'name: value'" in capsys.readouterr().err
