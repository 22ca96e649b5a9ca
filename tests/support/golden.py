"""Golden cases: a folder each, with stack files (``*.yml``, as a user writes them) or ``state.yaml`` (a swarm's state).

``certificates.yaml`` says which certificates there are: they are made anew each time, so that no key is kept anywhere.
The outputs stand beside it: ``model.yaml``, ``envoy.yaml`` and ``problems.txt``. What every host, cluster and route
configuration has in common is left out of ``envoy.yaml``: ``common.yaml`` has it once, and so are fields of the model
that have their default, so that a case shows what its labels do and nothing else.
"""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from pydantic import TypeAdapter

from support.certificates import Issued, authority, issue
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.values import Certificate, Certificates, Challenge
from swarm_xds.cli.output import plain
from swarm_xds.memo import Memo
from swarm_xds.model import Backend, EdgeOptions, Endpoint, Fleet, VirtualHost
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Problem
from swarm_xds.sources.compose.files import read, together
from swarm_xds.swarm import SwarmState
from swarm_xds.translate import FleetMessages, translate
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.https import Chain, ending_to, https_listener
from swarm_xds.translate.route import https_route_configurations, virtual_host

CASES = Path(__file__).parent.parent / "golden"
COMMON = CASES / "common.yaml"
CERTIFICATES = "certificates.yaml"
OUTPUTS = ("model.yaml", "envoy.yaml", "problems.txt")
OPTIONS = EdgeOptions()
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC")
_STATE = TypeAdapter(SwarmState)


def cases() -> list[Path]:
    """Return the folder of each case."""
    return sorted(path for path in CASES.iterdir() if path.is_dir())


def inputs(case: Path) -> list[Path]:
    """Return a case's input: stack files, or one state of a swarm."""
    return [*(sorted(case.glob("*.yml")) or [case / "state.yaml"]), *case.glob(CERTIFICATES)]


def state(case: Path) -> tuple[SwarmState, tuple[Problem, ...]]:
    """Return what a case's input means."""
    first, *others = inputs(case)[: -1 if (case / CERTIFICATES).exists() else None]
    if first.suffix == ".yaml":
        assert not others
        return _STATE.validate_python(yaml.safe_load(first.read_text(encoding="utf-8"))), ()
    return together(read(Path(path.name), path.read_bytes(), {}) for path in (first, *others))


@cache
def certificates(case: Path) -> Certificates:
    """Return the certificates of a case: of a directory, for any host, and of secrets, for labels to name."""
    path = case / CERTIFICATES
    given = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    ca = authority()
    secrets = _read(given.get("secrets", {}), ca)
    challenges = tuple(Challenge(**each) for each in given.get("challenges", ()))
    known = Certificates(materials=secrets.materials, challenges=challenges)
    return known.with_more(_read(given.get("directory", {}), ca))


def _read(files: dict[str, dict[str, Any]], ca: Issued) -> Certificates:
    """Return what these files hold: a certificate for ``names`` (with its ``key`` elsewhere), a ``ca``, a ``text``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            if "names" in content:
                days = tuple(content.get("days", (-1, 90)))
                issued = issue(*content["names"], by=ca, days=days)
                key = content.get("key")
                path.write_bytes(issued.cert if key else issued.pair)
                if key and key != "none":
                    (folder / key).write_bytes(issued.key)
            else:
                path.write_bytes(ca.cert if content.get("ca") else content["text"].encode())
        reading = CertificateDirectory(folder).read()
        assert reading is not None
        return reading.certificates


def build(case: Path) -> Build:
    """Return what the pipeline makes of a case."""
    given, problems = state(case)
    return Pipeline(OPTIONS, "default").build(given, problems, certificates(case))


def messages(case: Path) -> list[FleetMessages]:
    """Return what each fleet of a case is to have."""
    return [translate(fleet, OPTIONS, Memo()) for fleet in build(case).model.fleets]


def outputs(case: Path) -> dict[str, str]:
    """Return the content of each output file of a case."""
    made = build(case)
    assert made.broken == ()
    known = certificates(case)
    envoy = {fleet.name: _resources(translate(fleet, OPTIONS, Memo()), known) for fleet in made.model.fleets}
    return {
        "model.yaml": _yaml([_plain(fleet) for fleet in made.model.fleets]),
        "envoy.yaml": _yaml(envoy),
        "problems.txt": _DATE.sub("(date)", "".join(f"{problem}\n" for problem in made.problems)),
    }


def common() -> str:
    """Return what every fleet's resources have in common: the content of ``common.yaml``."""
    empty = translate(Fleet(name="default"), OPTIONS, Memo())
    return _yaml(
        {
            "listener": plain(empty.listeners[0]),
            "route_configuration": plain(empty.routes[0]),
            "virtual_host": plain(_HOST),
            "https_listener": plain(https_listener((), (), OPTIONS)),
            "https_route_configuration": plain(https_route_configurations((), (), OPTIONS)[0]),
            "https_chain": plain(_CHAIN(Chain("app.example.org"))),
            "refusing_chain": plain(https_listener(("*.example.org",), (), OPTIONS).filter_chains[0]),
            "cluster": plain(_CLUSTER),
            "cluster_by_name": _less(plain(_CLUSTER_BY_NAME), plain(_CLUSTER)),
        }
    )


_HOST = virtual_host(VirtualHost(host="", routes=()), OPTIONS)
_CHAIN = ending_to(OPTIONS)
_ELSEWHERE = "(elsewhere)"
_CLUSTER = cluster(Backend(name="", service=""), OPTIONS)
_NAMED = Backend(name="", service="", endpoints=(Endpoint("app.internal", 80),), by_name=True)
_CLUSTER_BY_NAME = cluster(_NAMED, OPTIONS)


def _resources(messages: FleetMessages, known: Certificates) -> dict[str, Any]:
    plain_http, *https = messages.routes
    shown = {
        "hosts": _hosts(plain_http),
        "clusters": {each.name: _less(plain(each), _like(plain(each))) for each in messages.clusters},
        "endpoints": {each.cluster_name: _endpoints(plain(each)) for each in messages.endpoints},
    }
    if len(messages.listeners) > 1:
        chains = messages.listeners[1].filter_chains
        shown["https"] = {
            "chains": {chain.name: _chain(plain(chain)) for chain in chains},
            "routes": {each.name: _hosts(each) for each in https},
        }
    if messages.secrets:
        shown["secrets"] = {each.name: _secret(each, known) for each in messages.secrets}
    return shown


def _hosts(configuration: RouteConfiguration) -> dict[str, Any]:
    hosts = [_less(plain(host), plain(_HOST)) for host in configuration.virtual_hosts]
    unknown = {"name": "*", "domains": ["*"], "routes": [_UNKNOWN]}
    elsewhere = {"routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 421}}]}
    shown = {host.pop("name"): host for host in hosts if host != unknown}
    if _ELSEWHERE in shown and shown[_ELSEWHERE].items() > elsewhere.items():
        shown[_ELSEWHERE] = shown[_ELSEWHERE]["domains"]
    return shown


def _chain(chain: dict[str, Any]) -> dict[str, Any]:
    """Return what a chain has beside what it has in common with the other ones of its kind."""
    if chain["name"] == "(refused)":
        return {"refused": chain["filter_chain_match"]["server_names"]}
    if "transport_socket" not in chain:
        return {key: value for key, value in chain.items() if key != "name"}
    return {
        key: value for key, value in _less(chain, plain(_CHAIN(Chain(chain["name"])))).items() if key != "filters"
    } | (_manager(chain["filters"][0]["typed_config"]))


def _manager(manager: dict[str, Any]) -> dict[str, Any]:
    common = plain(_CHAIN(Chain("")))["filters"][0]["typed_config"]
    different = _less(manager, common)
    return {"connection_manager": different} if different else {}


def _secret(secret: Secret, known: Certificates) -> str:
    """Return what a secret is, in words: its bytes are others each time."""
    everything: Iterable[Certificate | None] = (*known.certificates, known.default)
    names = {each.chain.pem: each.name for each in everything if each is not None}
    names |= {each.chain.pem: each.name for each in known.materials if each.chain is not None}
    authorities = {each.authorities: each.name for each in known.materials if each.authorities is not None}
    if secret.HasField("tls_certificate"):
        assert secret.tls_certificate.private_key.inline_bytes.startswith(b"-----BEGIN PRIVATE KEY-----")
        return f"certificate {names[secret.tls_certificate.certificate_chain.inline_bytes]}, key [redacted]"
    return f"authorities {authorities[secret.validation_context.trusted_ca.inline_bytes]}"


_UNKNOWN = {"match": {"prefix": "/"}, "direct_response": {"status": OPTIONS.unknown_host_status}}


def _like(cluster_: dict[str, Any]) -> dict[str, Any]:
    """Return the common form of a cluster's kind."""
    kinds = [plain(_CLUSTER), plain(_CLUSTER_BY_NAME)]
    kind = next(each for each in kinds if each.get("cluster_type") == cluster_.get("cluster_type"))
    return {**kind, "name": cluster_["name"]}


def _endpoints(assignment: dict[str, Any]) -> list[Any]:
    return [each for locality in assignment.get("endpoints", []) for each in locality["lb_endpoints"]]


def _less(document: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """Return what a document has beside what it has in common."""
    return {key: value for key, value in document.items() if common.get(key) != value}


def _plain(value: Any) -> Any:
    if isinstance(value, Certificate):
        return f"{value.name} for {', '.join(value.chain.names)}"
    if isinstance(value, bytes):
        return "PEM"
    if is_dataclass(value):
        shown = {each.name: (getattr(value, each.name), _default(each)) for each in fields(value)}
        return {name: _plain(given) for name, (given, default) in shown.items() if given != default}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _default(field: "Field[Any]") -> Any:
    return field.default if field.default is not MISSING else object()


class _Dumper(yaml.SafeDumper):
    """Writes what is the same in two places twice: an anchor would hide it from a reader."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class has it
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
