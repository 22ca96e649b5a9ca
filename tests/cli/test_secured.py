"""Commands over mutual TLS, and what they say when it fails."""

import contextlib
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import typer

from support.command import command
from support.ports import free_port
from swarm_xds.cli.ask import contexts
from swarm_xds.cli.ask.client import SERVER_NAME, Asked, connect
from swarm_xds.cli.ask.contexts import Contexts, ContextsError, Target, find
from swarm_xds.cli.ask.handshake import why_not
from swarm_xds.pki import issue
from swarm_xds.pki.issue import Authority, Member

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=500)
PROD = Target(address="prod:1", ca="ca", cert="cert", key="key")
STAGING = Target(address="staging:2")
KNOWN = Contexts(current="prod", targets={"prod": PROD, "staging": STAGING})


@pytest.mark.parametrize(
    ("name", "given", "environ", "found"),
    [
        pytest.param("", Target(), {}, PROD, id="the current one"),
        pytest.param("staging", Target(), {}, STAGING, id="by name"),
        pytest.param("", Target(address="a:3"), {}, Target(address="a:3"), id="an address has nothing of a context"),
        pytest.param(
            "", Target(cert="mine"), {}, Target(address="prod:1", ca="ca", cert="mine", key="key"), id="another file"
        ),
        pytest.param("", Target(), {"CONTEXT": "staging"}, STAGING, id="the environment's context"),
        pytest.param(
            "prod", Target(), {"ADDRESS": "a:3", "CONTEXT": "staging", "CA": "x"}, PROD, id="a name goes first"
        ),
        pytest.param("", Target(), {"ADDRESS": "a:3"}, Target(address="a:3"), id="the environment's address"),
        pytest.param(
            "",
            Target(address="b:4"),
            {"ADDRESS": "a:3", "CA": "c", "CERT": "d", "KEY": "e", "SERVER_NAME": "f"},
            Target(address="b:4", ca="c", cert="d", key="e", server_name="f"),
            id="the environment's files",
        ),
    ],
)
def test_who_is_asked(name: str, given: Target, environ: dict[str, str], found: Target) -> None:
    """The command line goes before the environment, and that before the current context."""
    assert find(KNOWN, name, given, {f"SWARM_XDS_ASK_{key}": value for key, value in environ.items()}) == found


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("", Target(address="a:1", ca="x"), "TLS needs all of ca, cert and key: cert, key missing"),
        ("", Target(address="a:1", server_name="x"), "ca, cert, key missing"),
        ("staging", Target(key="x"), "ca, cert missing"),
        ("prod", Target(address="a:1"), "--context and --address exclude each other"),
        ("nowhere", Target(), "there is no context nowhere; there are: prod, staging"),
        ("", Target(address="a"), "is not an address and a port"),
    ],
)
def test_who_cannot_be_asked(name: str, given: Target, reason: str) -> None:
    """Half of TLS is never taken for none."""
    with pytest.raises(ContextsError, match=reason):
        find(KNOWN, name, given, {})


def test_a_misspelt_variable_is_told() -> None:
    """Else another control plane than the one that is meant is asked."""
    with pytest.raises(ContextsError, match="there is no variable SWARM_XDS_ASK_ADRESS; there are SWARM_XDS_ASK_ADDR"):
        find(KNOWN, "", Target(), {"SWARM_XDS_ASK_ADRESS": "a:1"})
    for name, given in (("staging", Target()), ("", STAGING)):
        assert find(KNOWN, name, given, {"SWARM_XDS_ASK_ADRESS": "a:1"}) == STAGING, "the command line says who"


class Answered(grpc.RpcError):
    """An error that a control plane has answered with."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = lambda: code
        self.details = lambda: "its own words"


@pytest.mark.parametrize(("code", "status"), [(grpc.StatusCode.NOT_FOUND, 2), (grpc.StatusCode.FAILED_PRECONDITION, 1)])
def test_what_is_not_as_asked_is_told_in_its_own_words(
    code: grpc.StatusCode, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy that was never there is wrong use, and one that has gone is a finding."""
    with pytest.raises(typer.Exit) as caught, connect(Asked(target=STAGING)):
        raise Answered(code)
    assert (caught.value.exit_code, capsys.readouterr().err) == (status, "swarm-xds: its own words\n")


def test_an_empty_list_of_contexts_says_who_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing at all would look like a failure."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    contexts.list_()
    assert capsys.readouterr().out == "no context: 127.0.0.1:18002 is asked\n"


def test_without_anything_this_machine_is_asked() -> None:
    """As in the container of a control plane."""
    assert find(Contexts(), "", Target(), {}) == Target(address="127.0.0.1:18002")


def test_a_file_of_contexts_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is not set is not in it; what nobody knows is an error."""
    file = tmp_path / "sub" / "contexts.yml"
    contexts.save(file, KNOWN)
    assert contexts.load(file) == KNOWN
    assert "server_name" not in file.read_text(encoding="utf-8")
    for text in (
        "contexts: {a: {address: 'a:1', token: x}}",
        "contexts: {a: {}}",
        "contexts: {a: {address: 'a:1', ca: x}}",
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ContextsError, match=r"contexts\.yml"):
            contexts.load(file)


@contextlib.contextmanager
def server(authority: Authority, at: datetime = NOW) -> Iterator[str]:
    """Run a gRPC server with mutual TLS and no service, and return its address."""
    issued = authority.issue(issue.control_plane(), at)
    made = grpc.server(futures.ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials(
        [(issued.key.reveal(), issued.pem)], pem(authority), require_client_auth=True
    )
    port = made.add_secure_port("127.0.0.1:0", credentials)
    made.start()
    yield f"127.0.0.1:{port}"
    made.stop(None)


def pem(authority: Authority) -> bytes:
    """Return an authority's certificate."""
    return issue.Issued(certificate=authority.certificate, key=authority.key).pem


def files(folder: Path, trusted: Authority, authority: Authority, member: Member, at: datetime = NOW) -> Target:
    """Write somebody's files, and return them as a target without an address."""
    issued = authority.issue(member, at)
    for name, content in (("ca.crt", pem(trusted)), ("own.crt", issued.pem), ("own.key", issued.key.reveal())):
        (folder / name).write_bytes(content)
    return Target(ca=str(folder / "ca.crt"), cert=str(folder / "own.crt"), key=str(folder / "own.key"))


def test_each_failed_handshake_has_its_reason(tmp_path: Path) -> None:
    """What is wrong, on whose side, and what to do."""
    ours, theirs, alice = Authority.make(NOW), Authority.make(NOW), issue.operator("alice")
    with server(ours) as address:
        for reason, trusted, authority, member, at, name in (
            ("no authority in", theirs, ours, alice, NOW, SERVER_NAME),
            ("its certificate does not name elsewhere", ours, ours, alice, NOW, "elsewhere"),
            ("is of another authority than its own", ours, theirs, alice, NOW, SERVER_NAME),
            ("and is its clock right?", ours, ours, alice, LONG_AGO, SERVER_NAME),
            ("is not for clients", ours, ours, issue.relay(), NOW, SERVER_NAME),
            ("no answer", ours, ours, alice, NOW, SERVER_NAME),
        ):
            target = files(tmp_path, trusted, authority, member, at)
            assert reason in why_not(replace(target, address=address), name), reason
        assert "it speaks TLS, and answers operators" in why_not(Target(address=address), "")
    target = files(tmp_path, ours, ours, alice)
    with server(ours, LONG_AGO) as address:
        assert "its certificate has ended" in why_not(replace(target, address=address), SERVER_NAME)


def test_a_port_that_does_not_speak_tls(tmp_path: Path) -> None:
    """Nobody listens, nobody is called so, or somebody speaks gRPC in plain."""
    authority = Authority.make(NOW)
    target = files(tmp_path, authority, authority, issue.operator("alice"))
    plain = grpc.server(futures.ThreadPoolExecutor(1))
    address = f"127.0.0.1:{plain.add_insecure_port('127.0.0.1:0')}"
    plain.start()
    assert "it does not speak TLS" in why_not(replace(target, address=address), SERVER_NAME)
    assert "no answer" in why_not(Target(address=address), SERVER_NAME)
    given = ("--ca", target.ca, "--cert", target.cert, "--key", target.key)
    whole = command("routes", "--address", address, *given)
    assert whole.stderr.startswith(f"swarm-xds: control plane {address}: it does not speak TLS"), "none of gRPC's lines"
    plain.stop(None)
    for each in (target, Target()):
        refused = why_not(replace(each, address=f"127.0.0.1:{free_port()}"), SERVER_NAME)
        assert refused == "connection refused: is it running, and is debug_listen set?"
    assert why_not(Target(address="nowhere.invalid:1"), "").startswith("nowhere.invalid: ")
