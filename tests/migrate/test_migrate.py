"""What becomes of Interlock's labels and options."""

from pathlib import Path

import pytest

from support.command import command
from support.engine import FakeEngine
from support.story import service
from swarm_xds.labels import keys
from swarm_xds.migrate import ConfigurationError, Fate, configuration, labels
from swarm_xds.migrate.interlock import CORE, EXTENSION, PROXY
from swarm_xds.migrate.labels import DIFFERENT
from swarm_xds.settings import Settings
from swarm_xds.swarm import Service, marks

#: An Interlock file in the form that its documentation shows, with each kind of value.
FILE = b"""
ListenAddr = ":8080"
DockerURL = "tcp://manager:2376"
AllowInsecure = false
PollInterval = "3s"

[Extensions]
  [Extensions.default]
    Image = "ucp-interlock-extension"
    Args = []
    Constraints = ["node.platform.os==linux"]
    ProxyReplicas = 2
    PublishMode = "ingress"
    PublishedPort = 80
    TargetPort = 8000
    PublishedSSLPort = 8443
    ServiceCluster = "east"
    [Extensions.default.Labels]
      "com.docker.ucp.InstanceID" = "x"
    [Extensions.default.Config]
      User = "nginx"
      MaxConnections = 1024
      ConnectTimeout = 600
      SendTimeout = 600
      ReadTimeout = 700
      IPHash = false
      AdminPass = "hush"
      SSLProtocols = "TLSv1.2"
      NoSuchOption = 1
  [Extensions.west]
    ServiceCluster = "west"
    TargetPort = 9000
"""


def fates(*services: Service) -> dict[str, tuple[Fate, str]]:
    """Return fate and note by label, without Interlock's prefix."""
    found = [each for one in services for each in labels(one)]
    return {each.name.removeprefix(marks.INTERLOCK): (each.fate, each.note) for each in found}


def test_labels_are_taken_over_or_said_to_differ() -> None:
    """What is the same is said to be the same."""
    found = fates(service("web", context_root="/app", ssl_cert="cert", hostz="x", max_fails="x", network=""))
    assert found["hosts"] == (Fate.TAKEN, "")
    assert found["context_root"][0] is Fate.DIFFERENT
    assert "whole segments" in found["context_root"][1]
    assert found["hostz"][0] is Fate.UNKNOWN
    assert "did you mean com.docker.lb.hosts?" in found["hostz"][1]
    assert found["max_fails"][0] is Fate.NOT_SERVED
    assert "not a" in found["max_fails"][1]


def test_labels_of_the_routing_mesh_are_written_as_today() -> None:
    """With what to write."""
    mesh = Service(
        id="a", name="a", labels=((f"{marks.HRM}.1", "external_route=http://a.example.org,internal_port=80"),)
    )
    assert fates(mesh) == {f"{marks.HRM}.1": (Fate.TAKEN, "write xds.hosts=a.example.org and xds.port=80")}


def test_labels_of_others_are_nobodys_business() -> None:
    """Also ours: they are not Interlock's."""
    assert not fates(Service(id="a", name="a", labels=(("other", "1"), ("xds.hosts", "a.example.org"))))


def test_each_difference_is_of_a_label_that_there_is() -> None:
    """A key that is renamed takes its note along."""
    assert all(keys.find(name) and keys.of(name).interlock for name in DIFFERENT)


def test_options_and_the_settings_that_correspond() -> None:
    """Of the default extension; the settings are ones that `serve` takes."""
    findings, settings = configuration(FILE)
    by_name = {(each.place, each.name): each for each in findings}
    assert settings == {
        "docker_host": ["tcp://manager:2376"],
        "http_port": 8000,
        "default_fleet": "east",
        "stream_idle_timeout": 700_000,
    }
    assert Settings.model_validate(settings).http_port == 8000
    assert by_name["", "PollInterval"].fate is Fate.OBSOLETE
    assert by_name["Extensions.default", "PublishedPort"].note == "HTTP_PORT of deploy/stack.yml"
    assert by_name["Extensions.default.Config", "NoSuchOption"].fate is Fate.UNKNOWN
    assert by_name["Extensions.default.Config", "AdminPass"].value == "[redacted]"
    assert "west" in by_name["Extensions.west", "ServiceCluster"].note
    assert by_name["Extensions.west", "TargetPort"].note.startswith("http_port holds for all fleets")
    assert len(findings) == 25


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = ", "not a TOML file"),
        (b"\xff", "not a TOML file"),
        (b"Extensions = 1", "not a table"),
        (b"[[Extensions]]\nName = 'nginx'", "as Interlock 2 has it"),
        (b"[Extensions.a]\nConfig = 1", "Extensions.a.Config is not a table"),
    ],
)
def test_a_file_that_is_none_says_why(content: bytes, reason: str) -> None:
    """The first Interlock had another form."""
    with pytest.raises(ConfigurationError, match=reason):
        configuration(content)


def test_each_option_that_is_taken_over_has_a_setting_that_there_is() -> None:
    """A setting that is renamed takes its option along."""
    rules = {**CORE, **EXTENSION, **PROXY}
    assert {rule.setting for rule in rules.values() if rule.setting} <= Settings.model_fields.keys()
    assert all(rule.setting or rule.note for rule in rules.values())


def test_the_command(tmp_path: Path) -> None:
    """Both kinds of files at once; the settings alone for a file that `serve` reads."""
    interlock, stack = tmp_path / "interlock.toml", tmp_path / "shop.yml"
    interlock.write_bytes(FILE)
    stack.write_text(
        "services: {web: {image: a, deploy: {labels: {com.docker.lb.hosts: a.example.org, com.docker.lb.port: '80'}}}}"
    )
    result = command("migrate", str(interlock), str(stack))
    assert result.returncode == 1, "an option is unknown"
    assert "shop_web" in result.stdout
    assert "setting http_port: 8000" in result.stdout
    assert command("migrate", str(stack)).returncode == 0
    settings = tmp_path / "settings.yml"
    settings.write_text(command("migrate", "--settings", str(interlock)).stdout)
    plan = command("serve", "--config", str(settings), "--source", "compose")
    assert "source compose needs stack files" in plan.stderr, "the settings themselves are good"


def test_a_running_swarm(tmp_path: Path) -> None:
    """Beside files, and nothing is written."""
    old = tmp_path / "old.toml"
    old.write_bytes(b'[Extensions.default.Config]\nAccessLogPath = "/dev/stdout"\n')
    with FakeEngine() as engine:
        front = engine.add_network("shop_front", subnet="10.1.0.0/24", stack="shop")
        given = {"com.docker.lb.hosts": "shop.example.org", "com.docker.lb.prot": "8080"}
        engine.add_service("shop_web", labels=given, networks=[front], tasks=1)
        engine.add_service("shop_db", labels={"other": "1"}, networks=[front], tasks=1)
        result = command("migrate", "--swarm", "--docker-host", engine.url, str(old))
        assert not engine.written
    assert result.returncode == 1, "a label is unknown"
    assert "shop_web" in result.stdout
    assert "did you mean com.docker.lb.port?" in result.stdout
    assert "shop_db" not in result.stdout
    assert "setting access_log: json" in result.stdout


def test_nothing_to_read_is_wrong_use() -> None:
    """And a swarm that does not answer is status 1."""
    assert command("migrate").returncode == 2
    result = command("migrate", "--swarm", "--docker-host", "bad://x")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)


@pytest.mark.parametrize(("name", "content"), [("a.toml", b"x = "), ("a.yml", b"services: ["), ("b.toml", None)])
def test_a_file_that_cannot_be_read_is_status_1(tmp_path: Path, name: str, content: bytes | None) -> None:
    """With its name and the reason, and no stack trace."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = command("migrate", str(tmp_path / name))
    assert (result.returncode, name in result.stderr, "Traceback" in result.stderr) == (1, True, False)
