"""How answers look: golden tables, as they are printed into a pipe (`make golden` rewrites them)."""

import errno
from pathlib import Path
from unittest.mock import Mock

import pytest
import typer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from swarm_xds.cli.ask import certificates, tables
from swarm_xds.cli.ask.compare import Finding, Has, Unequal
from swarm_xds.cli.ask.show import Style, plain, print_table, show
from swarm_xds.cli.ask.tables import Table
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.snapshot import CLUSTER, ROUTE

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_800_000_000.0
DAY = 86_400.0


def at(seconds: float) -> Timestamp:
    """Return a time so many seconds ago."""
    made = Timestamp()
    made.FromMicroseconds(round((NOW - seconds) * 1e6))
    return made


REFUSAL = pb.Refusal(version="v2", message="bad\ncluster", names=["shop"], at=at(5))
PROBLEM = pb.Problem(
    severity=pb.Problem.SEVERITY_ERROR,
    kind="bad-value",
    service="shop_web",
    label="xds.port",
    value="eighty",
    reason="not a port",
    cure="give a port",
)
TABLES = {
    "routes": tables.routes(
        [
            pb.Route(
                fleet="default",
                host="app.example.org",
                path="/",
                shares=[
                    pb.Share(cluster="a", weight=3, endpoints=["10.0.0.1:80"]),
                    pb.Share(cluster="b", weight=1),
                ],
            ),
            pb.Route(fleet="default", host="old.example.org", path="/x", redirect="https://new.example.org"),
            pb.Route(fleet="internal", host="*", path="/", shares=[pb.Share(cluster="c", weight=1)]),
        ]
    ),
    "services": tables.services(
        [
            pb.Service(name="shop_web", tasks_running=2, tasks_stopping=1, networks=["front", "back"],
                       problems=[PROBLEM]),
            pb.Service(name="web", routes=["web.example.org/", "internal: web.example.org/"]),
        ]
    ),
    "problems": tables.problems([PROBLEM, pb.Problem(severity=pb.Problem.SEVERITY_INFO, source="a.yml", reason="x")]),
    "nodes": tables.nodes(
        [
            pb.Node(
                fleet="default",
                node="edge-1",
                address="ipv4:10.0.0.7:1",
                variant="delta",
                standing=pb.STANDING_REFUSED,
                since=at(100_000),
                types=[
                    pb.TypeState(type_url=CLUSTER, standing=pb.STANDING_REFUSED, refusal=REFUSAL, since=at(5)),
                    pb.TypeState(type_url=ROUTE, standing=pb.STANDING_WAITING, since=at(200)),
                ],
            ),
            pb.Node(fleet="default", node="edge-2", standing=pb.STANDING_GONE, variant="sotw", since=at(500_000)),
        ],
        NOW,
    ),
    "networks": tables.networks(
        [
            pb.NetworkUse(fleet="default", network="front", way="shared", reason="it stands on it",
                          services=["a", "b"]),
            pb.NetworkUse(fleet="default", network="back", way="relay", relay="r", relay_tasks_wanted=2,
                          reason="no"),
            pb.NetworkUse(fleet="default", way="host", reason="the port is published in host mode"),
        ]
    ),
    "steps": tables.steps([pb.NetworkStep(action="create relay", name="r", network="back", reason="no",
                                            waits_for="x")]),
    "diff": tables.differences(
        [
            pb.Difference(fleet="default", node="edge-1", type_url=CLUSTER, name="shop", kind=pb.Difference.KIND_OTHER,
                          refused="bad"),
            pb.Difference(fleet="default", node="edge-1", type_url=ROUTE, kind=pb.Difference.KIND_UNKNOWN),
        ]
    ),
    "explain": tables.explanation(
        pb.ExplainResponse(
            steps=[
                pb.ExplainStep(subject="host", verdict=pb.ExplainStep.VERDICT_OK, text="it is claimed"),
                pb.ExplainStep(subject="task", verdict=pb.ExplainStep.VERDICT_BROKEN, text="none runs",
                               cure="scale up"),
            ]
        )
    ),
    "plan": tables.planned(
        [
            pb.PlannedChange(action=pb.PlannedChange.ACTION_ADD, what="route", fleet="default", name="a/",
                             after="to a"),
            pb.PlannedChange(action=pb.PlannedChange.ACTION_CHANGE, what="cluster", fleet="default", name="b",
                             before="port 80 on front", after="port 81 on front"),
            pb.PlannedChange(action=pb.PlannedChange.ACTION_REMOVE, what="route", fleet="default", name="c/",
                             before="to c"),
        ]
    ),
    "certs": certificates.table(
        [
            pb.Certificate(
                name="site.crt.v2", role=pb.Certificate.ROLE_SERVER, state=pb.Certificate.STATE_SERVED, source="secret",
                stack="shop", names=["a.example.org", "b.example.org"], not_after=at(-20.5 * DAY),
                fingerprint="ab" * 32, key_type="ECDSA P-256",
                uses=[pb.CertificateUse(fleet="default", host="a.example.org"),
                      pb.CertificateUse(fleet="internal", host="*")],
            ),
            pb.Certificate(
                name="old.pem", role=pb.Certificate.ROLE_SERVER, state=pb.Certificate.STATE_HELD, source="directory",
                not_after=at(3 * DAY), reason="it is no PEM", uses=[pb.CertificateUse(fleet="default", host="c")],
            ),
            pb.Certificate(
                name="tasks.pem", role=pb.Certificate.ROLE_AUTHORITY, state=pb.Certificate.STATE_SERVED,
                source="directory", subject="CN=Inside", not_after=at(-0.5 * DAY),
                uses=[pb.CertificateUse(fleet="default", services=["shop_web"])],
            ),
            pb.Certificate(name="x.pem", state=pb.Certificate.STATE_UNUSABLE, source="directory", reason="it is empty"),
            pb.Certificate(
                role=pb.Certificate.ROLE_SERVER, state=pb.Certificate.STATE_MISSING, reason="no certificate names d",
                uses=[pb.CertificateUse(fleet="default", host="d")],
            ),
        ],
        NOW,
    ),
    "compared": tables.compared(
        [
            Finding(type_url=CLUSTER, name="shop", envoy=Has.DIFFERENT, acknowledged="yes",
                    since="2027-01-15T07:59:00Z",
                    fields=(Unequal(path="connect_timeout", intended="0.500s", envoy="1s"),
                            Unequal(path="metadata", intended=None, envoy={"a": [1]}))),
            Finding(type_url=ROUTE, name="http", envoy=Has.MISSING, acknowledged="no", intended_version="v2",
                    reason="bad\nroute"),
            Finding(type_url=ROUTE, name="many", envoy=Has.DIFFERENT, acknowledged="not connected",
                    fields=tuple(Unequal(path=f"a[{n}]", intended=n, envoy=True) for n in range(12))),
        ],
        NOW,
    ),
    "empty": tables.routes([]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_look_as_they_did(request: pytest.FixtureRequest, name: str) -> None:
    """A change of one is seen in the review."""
    text = f"{plain(TABLES[name])}\n"
    file = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_there_is_no_other_golden_table() -> None:
    """One that nobody prints any more is taken away."""
    assert {file.stem for file in GOLDEN.iterdir()} == TABLES.keys()


def test_a_cell_never_breaks_a_line() -> None:
    """What Envoy says has line breaks; a program that reads columns counts on one line a row."""
    table = Table(columns=("A", "B"), rows=((tables.Tone.NONE, ("a\n b", "c")),), empty="")
    assert plain(table) == "A    B\na b  c"


def test_a_narrow_terminal_has_a_line_for_each_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table would have a word or two in each line."""
    table = Table(columns=("", "A", "B"), rows=((tables.Tone.NONE, ("x", "a b", "")),), empty="")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width, drawn in (("59", False), ("60", True)):
        monkeypatch.setenv("COLUMNS", width)
        print_table(table)
        assert ("┃" in (printed := capsys.readouterr().out)) == drawn
        assert drawn or [each.strip() for each in printed.splitlines()] == ["x", "A: a b", ""]


def test_an_answer_that_cannot_be_written_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by a stack trace."""
    monkeypatch.setattr("swarm_xds.cli.ask.show.json.dumps", Mock(side_effect=OSError(errno.ENOSPC, "no space")))
    with pytest.raises(typer.Exit) as ended:
        show(pb.ListRoutesResponse(), Style.JSON)
    assert (ended.value.exit_code, capsys.readouterr().err) == (1, "swarm-xds: cannot write: no space\n")


def test_events_are_one_line_each() -> None:
    """With the change's number, cause and time."""
    change = pb.Change(
        number=7,
        phase=pb.Change.PHASE_SERVED,
        cause="service web updated",
        served_after=Duration(nanos=12_000_000),
        resources={"Cluster": 1},
        proxies=2,
        answered=2,
        problems_gone=[PROBLEM],
    )
    tone, text = tables.event(pb.WatchResponse(at=at(0), change=change))
    assert (tone, text) == (
        tables.Tone.GOOD,
        "08:00:00 #7  served  service web updated  Cluster 1  after 12 ms by 2 of 2  -shop_web: not a port",
    )
    node = pb.NodeEvent(kind=pb.NodeEvent.KIND_REFUSED, fleet="f", node="n", type_url=CLUSTER, refusal=REFUSAL)
    assert tables.event(pb.WatchResponse(at=at(0), node=node))[1] == "08:00:00 f n refused  Cluster: bad cluster"
    assert "3 events were lost" in tables.event(pb.WatchResponse(at=at(0), lost=3))[1]


@pytest.mark.parametrize(
    ("state", "left", "days", "wanted"),
    [
        pytest.param("SERVED", 10, 0, False, id="it has time"),
        pytest.param("SERVED", 10, 10, True, id="it ends within"),
        pytest.param("SERVED", -1, 0, True, id="it has expired"),
        pytest.param("HELD", -1, 0, True, id="the last good one has expired"),
        pytest.param("UNUSED", -1, 30, False, id="nobody uses it"),
        pytest.param("UNUSABLE", None, 30, False, id="it is none"),
        pytest.param("MISSING", None, 0, True, id="a host waits"),
    ],
)
def test_what_a_program_is_told_of_certificates(state: str, left: int | None, days: int, wanted: bool) -> None:
    """The exit status is about what is in use, or waited for."""
    found = pb.Certificate(state=pb.Certificate.State.Value(f"STATE_{state}"))
    if left is not None:
        found.not_after.CopyFrom(at(-left * DAY))
    assert any(certificates.ends_within(each, days, NOW) for each in certificates.needed([found])) == wanted
