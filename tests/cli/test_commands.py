"""The commands as a user calls them: what they print, where, and with which exit status."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf.json_format import ParseDict

import swarm_xds.translate  # noqa: F401 - the messages that a bootstrap has inside an Any
from support.command import command

STACK = """
services:
  web:
    image: app
    x-tasks: [127.0.0.1:9001]
    deploy:
      labels:
        com.docker.lb.hosts: app.example.org
        com.docker.lb.port: {port}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A good stack file."""
    path = tmp_path / "shop.yml"
    path.write_text(STACK.format(port=8080), encoding="utf-8")
    return path


def test_help_of_every_command_has_examples() -> None:
    """Each command explains itself."""
    for name in ("serve", "translate", "bootstrap", "demo", "labels", "export"):
        result = command(name, "--help")
        assert result.returncode == 0
        assert f"swarm-xds {name}" in result.stdout
        assert "Examples" in result.stdout


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["nothing"], id="no such command"),
        pytest.param(["translate"], id="no file"),
        pytest.param(["translate", "x.yml", "--http-port", "70000"], id="a port out of range"),
        pytest.param(["bootstrap", "--server", "nowhere"], id="a server without a port"),
        pytest.param(["bootstrap", "--server", "http://x:80"], id="a server that is a URL"),
        pytest.param(["bootstrap", "--fleet", ""], id="no fleet"),
        pytest.param(["translate", "x.yml", "--static", "--http-port", "9901"], id="one port twice"),
        pytest.param(["serve", "--source", "compose"], id="compose without files"),
        pytest.param(["serve", "--source", "swarm"], id="no such source"),
        pytest.param(["serve", "--htp-port", "80"], id="no such option"),
    ],
)
def test_wrong_use_is_status_2_with_the_reason_on_stderr(args: list[str]) -> None:
    """Wrong use never prints to standard output."""
    result = command(*args)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param([], "listen=0.0.0.0:0 is not loopback", id="strangers"),
        pytest.param(["--tls-ca", "ca.pem"], "tls_cert, tls_key missing", id="a part of TLS"),
        pytest.param(
            ["--insecure-xds", "true", "--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"], "exclude", id="both"
        ),
    ],
)
def test_the_port_is_not_opened_to_strangers(stack: Path, args: list[str], said: str) -> None:
    """A port that others reach has TLS, or says by its setting's name that it has none."""
    result = command("serve", "--source", "compose", str(stack), "--listen", "0.0.0.0:0", *args)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_tls_files_of_no_use_are_told_by_name(tmp_path: Path, stack: Path) -> None:
    """Before anything is served."""
    files = {name: str(tmp_path / name) for name in ("--tls-ca", "--tls-cert", "--tls-key")}
    result = command("serve", "--source", "compose", str(stack), *(part for pair in files.items() for part in pair))
    assert result.returncode == 1
    assert "--tls-ca: No such file" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_setting_is_an_error_wherever_it_stands(tmp_path: Path, stack: Path) -> None:
    """A typing mistake in the environment or the file is told with its place."""
    result = command("serve", "--source", "compose", str(stack), env={"SWARM_XDS_HTP_PORT": "80"})
    assert result.returncode == 2
    assert "SWARM_XDS_HTP_PORT" in result.stderr
    config = tmp_path / "settings.yml"
    config.write_text("htp_port: 80\nservices: {db: {environment: {PASSWORD: tell-nobody}}}\n", encoding="utf-8")
    result = command("serve", "--config", str(config))
    assert result.returncode == 2
    assert f"{config}: htp_port: there is no such setting; did you mean http_port?" in result.stderr
    assert f"{config}: services: there is no such setting" in result.stderr
    assert "tell-nobody" not in result.stderr


def test_translate_prints_resources(stack: Path) -> None:
    """YAML by default, JSON when asked, nothing on stderr when all is well."""
    result = command("translate", str(stack))
    assert (result.returncode, result.stderr) == (0, "")
    resources = yaml.safe_load(result.stdout)
    assert [each["name"] for each in resources["clusters"]] == ["shop_web"]
    assert json.loads(command("translate", str(stack), "--format", "json").stdout) == resources


def test_translate_tells_problems_and_translates_the_rest(tmp_path: Path, stack: Path) -> None:
    """Status 1, the problem with file, service, label, value and reason; the good file is there."""
    bad = tmp_path / "bad.yml"
    bad.write_text(STACK.format(port=80800), encoding="utf-8")
    result = command("translate", str(stack), str(bad))
    assert result.returncode == 1
    for part in (str(bad), "bad_web", "com.docker.lb.port", "80800", "1 to 65535"):
        assert part in result.stderr
    assert "shop_web" in result.stdout


def test_translate_of_a_missing_or_broken_file_is_status_1(tmp_path: Path) -> None:
    """The reason names the file."""
    missing = command("translate", str(tmp_path / "nothing.yml"))
    assert missing.returncode == 1
    assert "nothing.yml" in missing.stderr
    broken = tmp_path / "broken.yml"
    broken.write_bytes(b"services: {web: [\xff\xfe")
    result = command("translate", str(broken))
    assert result.returncode == 1
    assert "not UTF-8" in result.stderr


def test_a_fleet_that_no_service_names_is_told(stack: Path) -> None:
    """Rather than a configuration that answers nothing."""
    result = command("translate", str(stack), "--fleet", "internl")
    assert (result.returncode, result.stdout) == (1, "")
    assert "internl" in result.stderr
    assert "default" in result.stderr


def test_a_full_disk_is_said_in_one_line() -> None:
    """Not a stack trace."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [str(Path(sys.executable).parent / "swarm-xds"), "bootstrap"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.envoy
def test_static_and_bootstrap_are_accepted_by_envoy(tmp_path: Path, stack: Path, envoy_binary: Path) -> None:
    """`--static` and `bootstrap` print complete configurations."""
    for number, args in enumerate((["translate", str(stack), "--static", "--http-port", "18080"], ["bootstrap"])):
        config = tmp_path / f"{number}.yaml"
        config.write_text(command(*args).stdout, encoding="utf-8")
        validation = subprocess.run(
            [str(envoy_binary), "--mode", "validate", "-c", str(config)], capture_output=True, check=False, timeout=60
        )
        assert validation.returncode == 0, validation.stderr.decode()


@pytest.mark.envoy
def test_what_was_kept_can_be_exported(tmp_path: Path, stack: Path, envoy_binary: Path) -> None:
    """`serve` ends on SIGTERM and has kept what it served; `export` makes a configuration of it that Envoy accepts."""
    kept = tmp_path / "snapshot"
    args = ["serve", "--source", "compose", str(stack), "--listen", "127.0.0.1:0", "--snapshot-file", str(kept)]
    args += ["--metrics-listen", "", "--debug-listen", ""]
    binary = str(Path(sys.executable).parent / "swarm-xds")
    with subprocess.Popen([binary, *args], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if "snapshot.published" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(30) == 0, rest
    assert "stopped" in rest
    exported = command("export", str(kept))
    assert exported.returncode == 0, exported.stderr
    assert exported.stderr.startswith("written ")
    assert yaml.safe_load(exported.stdout)["static_resources"]["clusters"][0]["name"] == "shop_web"
    config = tmp_path / "envoy.yaml"
    config.write_text(exported.stdout, encoding="utf-8")
    validation = subprocess.run(
        [str(envoy_binary), "--mode", "validate", "-c", str(config)], capture_output=True, check=False, timeout=60
    )
    assert validation.returncode == 0, validation.stderr.decode()
    for args in (["export", str(kept), "--fleet", "none"], ["export", str(stack)], ["export", str(tmp_path / "none")]):
        result = command(*args)
        assert (result.returncode, result.stdout) == (1, "")
        assert "Traceback" not in result.stderr


def test_the_images_bootstrap_is_the_commands() -> None:
    """The template in `envoy/` and `swarm-xds bootstrap` are one configuration."""
    template = (Path(__file__).parents[2] / "envoy" / "bootstrap.yaml").read_text(encoding="utf-8")
    values = {
        "NODE_ID": "edge-1",
        "FLEET": "internal",
        "XDS_HOST": "control-plane",
        "XDS_PORT": "18000",
        "ADMIN_PORT": "9901",
        "HEAP_BYTES": "1073741824",
        "MAX_CONNECTIONS": "50000",
    }
    for name, value in values.items():
        template = template.replace(f"${{{name}}}", value)
    printed = command("bootstrap", "--server", "control-plane:18000", "--node-id", "edge-1", "--fleet", "internal")
    messages = [ParseDict(yaml.safe_load(text), bootstrap_pb2.Bootstrap()) for text in (printed.stdout, template)]
    assert messages[0] == messages[1]


def test_the_page_of_labels_is_the_tables() -> None:
    """`docs/labels.md` is what the command prints."""
    page = Path(__file__).parents[2] / "docs" / "labels.md"
    assert command("labels", "--markdown").stdout == page.read_text(encoding="utf-8")


@pytest.mark.envoy
def test_demo_check_asks_every_route(envoy_binary: Path, tmp_path: Path) -> None:
    """`demo --check` serves the example and exits 0; a stack that cannot be served exits 1 with the reason."""
    result = command("demo", "--check", "--envoy", str(envoy_binary), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "app.example.org" in result.stdout
    assert not list(tmp_path.iterdir()), "a check leaves nothing behind"
    bad = tmp_path / "bad.yml"
    bad.write_text(STACK.format(port=0), encoding="utf-8")
    result = command("demo", "--check", "--envoy", str(envoy_binary), str(bad))
    assert result.returncode == 1
    assert "com.docker.lb.port" in result.stdout + result.stderr


@pytest.mark.envoy
def test_demo_follows_edits_until_it_is_told_to_stop(envoy_binary: Path, tmp_path: Path) -> None:
    """An edit of the file is served, and said with its time; SIGTERM ends it with status 0."""
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "swarm-xds"), "demo", "--envoy", str(envoy_binary)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Edit "):
                path = tmp_path / "demo-stack.yml"
                path.write_text(path.read_text().replace("www.example.org", "new.example.org"), encoding="utf-8")
            if "ms after the save" in line:
                break
        text = "".join(lines)
        assert "new.example.org/ → 200 demo_web" in text
        assert "www.example.org/ → 404" in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
