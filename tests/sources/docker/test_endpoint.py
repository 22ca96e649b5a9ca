"""Where the managers are: arguments, environment, contexts."""

import hashlib
import json
from pathlib import Path

import pytest

from swarm_xds.sources.docker import Endpoint, EndpointError, find_endpoints

LOCAL = "unix:///var/run/docker.sock"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker configuration with one context, ``lab``, that is not the current one."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    identifier = hashlib.sha256(b"lab").hexdigest()
    meta = tmp_path / "contexts" / "meta" / identifier
    meta.mkdir(parents=True)
    host = {"Host": "tcp://192.0.2.1:2376", "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": "lab", "Metadata": {}, "Endpoints": {"docker": host}}))
    certs(tmp_path / "contexts" / "tls" / identifier / "docker")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def certs(folder: Path) -> Path:
    """Write files with the names that Docker gives them."""
    folder.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).write_text("")
    return folder


@pytest.mark.parametrize(
    ("hosts", "environ", "urls"),
    [
        pytest.param((), {}, [LOCAL], id="nothing said"),
        pytest.param((), {"DOCKER_HOST": ""}, [LOCAL], id="empty host"),
        pytest.param((), {"DOCKER_HOST": "tcp://e:1"}, ["tcp://e:1"], id="environment"),
        pytest.param(
            ("tcp://a:1", "tcp://b:1"), {"DOCKER_HOST": "tcp://e:1"}, ["tcp://a:1", "tcp://b:1"], id="arguments"
        ),
        pytest.param((), {"DOCKER_CONTEXT": "lab"}, ["tcp://192.0.2.1:2376"], id="context"),
        pytest.param(
            (), {"DOCKER_CONTEXT": "lab", "DOCKER_HOST": "tcp://e:1"}, ["tcp://e:1"], id="host before context"
        ),
    ],
)
def test_which_endpoint(hosts: tuple[str, ...], environ: dict[str, str], urls: list[str]) -> None:
    """The order in which they win."""
    assert [endpoint.url for endpoint in find_endpoints(hosts, environ)] == urls


def test_current_context(home: Path) -> None:
    """The current context counts, with its own certificates."""
    (home / "config.json").write_text('{"currentContext": "lab"}')
    (endpoint,) = find_endpoints((), {})
    assert endpoint.url == "tcp://192.0.2.1:2376"
    assert endpoint.tls is not None
    assert endpoint.tls.verify is True


def test_tls_of_the_environment(tmp_path: Path) -> None:
    """``DOCKER_CERT_PATH`` and ``DOCKER_TLS_VERIFY`` are for TCP hosts; a socket needs none."""
    env = {"DOCKER_CERT_PATH": str(certs(tmp_path / "c")), "DOCKER_TLS_VERIFY": "1"}
    tcp, unix = find_endpoints(("tcp://a:2376", LOCAL), env)
    assert tcp.tls is not None
    assert tcp.tls.verify is True
    assert tcp.tls.ca_cert == str(tmp_path / "c" / "ca.pem")
    assert unix == Endpoint(url=LOCAL)
    assert unix.tls is None


@pytest.mark.parametrize(
    ("hosts", "environ", "says"),
    [
        pytest.param((), {"DOCKER_CONTEXT": "nowhere"}, "nowhere", id="no such context"),
        pytest.param(("tcp://a:1",), {"DOCKER_CERT_PATH": "/nonexistent"}, "certificate", id="no such certificate"),
        pytest.param(("ssh://me@a",), {}, "ssh", id="ssh"),
    ],
)
def test_unusable(hosts: tuple[str, ...], environ: dict[str, str], says: str) -> None:
    """A mistake in the settings is told at once and in words."""
    with pytest.raises(EndpointError, match=says):
        find_endpoints(hosts, environ)
