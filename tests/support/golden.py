"""Golden cases: a folder each, with stack files (``*.yml``, as a user writes them) or ``state.yaml`` (a swarm's state).

``certificates.yaml`` says which certificates there are: they are made anew each time, so that no key is kept anywhere.
What it has under ``docker`` are Docker secrets: the services of ``state.yaml`` then stand on a fleet's network, readers
are planned, and what those mount is read.
``options.yaml`` says what the operator chose; only such a case shows what its listeners have beside the common ones.
The outputs stand beside it: ``model.yaml``, ``envoy.yaml`` and ``problems.txt``. What every host, cluster and route
configuration has in common is left out of ``envoy.yaml``: ``common.yaml`` has it once, and so are fields of the model
that have their default, so that a case shows what its labels do and nothing else.
"""

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from pydantic import TypeAdapter

from support.certificates import Issued, authority, issue
from swarm_xds.certs import check
from swarm_xds.certs.acme.tls_alpn import answer
from swarm_xds.certs.directory import CertificateDirectory
from swarm_xds.certs.values import Certificate, Certificates, Challenge, Material, TlsChallenge
from swarm_xds.cli.output import plain
from swarm_xds.memo import Memo
from swarm_xds.model import Backend, EdgeOptions, Endpoint, Fleet, VirtualHost
from swarm_xds.networks.plan import NetworkOptions
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Problem
from swarm_xds.sources.compose.files import read, together
from swarm_xds.swarm import FleetService, Network, SwarmState
from swarm_xds.swarm import Secret as DockerSecret
from swarm_xds.translate import FleetMessages, translate
from swarm_xds.translate.cluster import cluster
from swarm_xds.translate.https import Chain, challenging_to, ending_to, https_listener
from swarm_xds.translate.route import https_route_configurations, virtual_host

CASES = Path(__file__).parent.parent / "golden"
COMMON = CASES / "common.yaml"
CERTIFICATES = "certificates.yaml"
CHOSEN = "options.yaml"
OUTPUTS = ("model.yaml", "envoy.yaml", "problems.txt")
OPTIONS = EdgeOptions()
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC")
_STATE = TypeAdapter(SwarmState)
_EDGE = TypeAdapter(EdgeOptions)


def cases() -> list[Path]:
    """Return the folder of each case."""
    return sorted(path for path in CASES.iterdir() if path.is_dir())


def inputs(case: Path) -> list[Path]:
    """Return a case's input: stack files, or one state of a swarm."""
    return [*_stacks(case), *case.glob(CERTIFICATES), *case.glob(CHOSEN)]


def _stacks(case: Path) -> list[Path]:
    return sorted(case.glob("*.yml")) or [case / "state.yaml"]


def options(case: Path) -> EdgeOptions:
    """Return the operator's choices in a case."""
    path = case / CHOSEN
    return _EDGE.validate_python(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.exists() else OPTIONS


def state(case: Path) -> tuple[SwarmState, tuple[Problem, ...]]:
    """Return what a case's input means."""
    first, *others = _stacks(case)
    if first.suffix == ".yaml":
        assert not others
        read_ = _STATE.validate_python(yaml.safe_load(first.read_text(encoding="utf-8")))
        return _with_secrets(read_, _given(case).get("docker", {})), ()
    return together(read(Path(path.name), path.read_bytes(), {}) for path in (first, *others))


@cache
def certificates(case: Path) -> Certificates:
    """Return the certificates of a case: of a directory, for any host, and of secrets, for labels to name."""
    given = _given(case)
    ca = authority()
    secrets = _read(given.get("secrets", {}), ca)
    if "docker" in given:
        secrets = _handed_over(case, given["docker"], ca)
    challenges = tuple(Challenge(**each) for each in given.get("challenges", ()))
    shaken = tuple(_handshake(host) for host in given.get("tls_challenges", ()))
    known = Certificates(materials=secrets.materials, challenges=challenges, tls_challenges=shaken)
    return known.with_more(_read(given.get("directory", {}), ca))


def _given(case: Path) -> dict[str, dict[str, Any]]:
    path = case / CERTIFICATES
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def _contents(files: dict[str, dict[str, Any]], ca: Issued) -> dict[str, bytes]:
    """Return what files hold: a certificate for ``names`` (with its ``key`` elsewhere), a ``text``, or authorities.

    ``ca`` is true for the one that has issued the certificates, or the days of several; what is ``unread`` is left out.
    """
    contents: dict[str, bytes] = {}
    for file, content in files.items():
        if "names" in content:
            days = tuple(content.get("days", (-1, 90)))
            issued = issue(*content["names"], by=ca, days=days)
            key = content.get("key")
            contents[file] = issued.cert if key else issued.pair
            if key and key != "none":
                contents[key] = issued.key
        elif content.get("ca") is True:
            contents[file] = ca.cert
        elif "ca" in content:
            made = (authority(f"CA {number}", days=tuple(days)) for number, days in enumerate(content["ca"], 1))
            contents[file] = b"".join(each.cert for each in made)
        elif "text" in content:
            contents[file] = content["text"].encode()
    return contents


def _handshake(host: str) -> TlsChallenge:
    material = check.read(host, answer(host, hashlib.sha256(host.encode()).digest())).material
    assert material.chain is not None
    assert material.key is not None
    return TlsChallenge(host=host, certificate=Certificate(name="answer", chain=material.chain, key=material.key))


def _read(files: dict[str, dict[str, Any]], ca: Issued) -> Certificates:
    """Return what a directory with these files comes to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in _contents(files, ca).items():
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        reading = CertificateDirectory(folder).read()
        assert reading is not None
        return reading.certificates


def _with_secrets(given: SwarmState, secrets: dict[str, dict[str, Any]]) -> SwarmState:
    """Return a swarm with these secrets, our own, and a fleet that readers may stand beside."""
    if not secrets:
        return given
    names = {*secrets, *(each["key"] for each in secrets.values() if each.get("key", "none") != "none")}
    own = [
        DockerSecret(id=f"pki-{what}", name=f"swarm-xds-{what}.v1", pki="p")
        for what in ("ca", "relay.crt", "relay.key")
    ]
    return replace(
        given,
        networks=(Network(id="n9", name="swarm-xds", subnets=("10.9.0.0/24",)),),
        fleet_networks=(("default", ("n9",)),),
        fleet_services=(FleetService(id="f", name="edge", fleet="default", image="edge:1", network_ids=("n9",)),),
        secrets=(*own, *(DockerSecret(id=name, name=name, stack=name.partition("_")[0]) for name in sorted(names))),
    )


def _handed_over(case: Path, secrets: dict[str, dict[str, Any]], ca: Issued) -> Certificates:
    """Return what readers hand over of the secrets: what they mount, and no more."""
    contents = _contents(secrets, ca)
    planned = _pipeline(case).build(state(case)[0]).networks
    assert planned is not None
    mounted = sorted(each.name for reader in planned.relays for each in reader.secrets)
    unread = "its reader has not handed it over yet"
    materials = [
        check.at(check.read(name, contents[name]).material, time.time())
        if name in contents
        else Material(name=name, reason=unread)
        for name in mounted
    ]
    return Certificates(materials=tuple(materials))


def _pipeline(case: Path) -> Pipeline:
    return Pipeline(options(case), "default", NetworkOptions() if "docker" in _given(case) else None)


def build(case: Path) -> Build:
    """Return what the pipeline makes of a case."""
    given, problems = state(case)
    return _pipeline(case).build(given, problems, certificates(case))


def messages(case: Path) -> list[FleetMessages]:
    """Return what each fleet of a case is to have."""
    return [translate(fleet, options(case), Memo()) for fleet in build(case).model.fleets]


def outputs(case: Path) -> dict[str, str]:
    """Return the content of each output file of a case."""
    made = build(case)
    assert made.broken == ()
    known = certificates(case)
    envoy = {each.fleet: _resources(each, known, options(case)) for each in messages(case)}
    if options(case) != OPTIONS:
        for each in messages(case):
            envoy[each.fleet]["listeners"] = _listeners(each)
    readers = [each for each in made.networks.relays if each.secrets] if made.networks else []
    if readers:
        envoy["readers"] = {each.stack: [secret.name for secret in each.secrets] for each in readers}
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
            "challenge_chain": plain(_CHALLENGE("app.example.org")),
            "refusing_chain": plain(https_listener(("*.example.org",), (), OPTIONS).filter_chains[0]),
            "cluster": plain(_CLUSTER),
            "cluster_by_name": _less(plain(_CLUSTER_BY_NAME), plain(_CLUSTER)),
        }
    )


_HOST = virtual_host(VirtualHost(host="", routes=()), OPTIONS)
_CHAIN = ending_to(OPTIONS)
_CHALLENGE = challenging_to(OPTIONS)
_ELSEWHERE = "(elsewhere)"
_CLUSTER = cluster(Backend(name="", service=""), OPTIONS)
_NAMED = Backend(name="", service="", endpoints=(Endpoint("app.internal", 80),), by_name=True)
_CLUSTER_BY_NAME = cluster(_NAMED, OPTIONS)


def _resources(messages: FleetMessages, known: Certificates, chosen: EdgeOptions) -> dict[str, Any]:
    plain_http, *https = messages.routes
    shown = {
        "hosts": _hosts(plain_http),
        "clusters": {each.name: _less(plain(each), _like(plain(each))) for each in messages.clusters},
        "endpoints": {each.cluster_name: _endpoints(plain(each)) for each in messages.endpoints},
    }
    if len(messages.listeners) > 1:
        chains, common = messages.listeners[1].filter_chains, ending_to(chosen)
        shown["https"] = {
            "chains": {chain.name: _chain(plain(chain), common) for chain in chains},
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


def _chain(chain: dict[str, Any], common: Callable[[Chain], FilterChain]) -> dict[str, Any]:
    """Return what a chain has beside what it has in common with the other ones of its kind."""
    if chain["name"] == "(refused)":
        return {"refused": chain["filter_chain_match"]["server_names"]}
    if chain["name"].startswith("challenge/"):
        return _less(chain, plain(_CHALLENGE(chain["name"].removeprefix("challenge/"))))
    if "transport_socket" not in chain:
        return {key: value for key, value in chain.items() if key != "name"}
    return {
        key: value for key, value in _less(chain, plain(_CHAIN(Chain(chain["name"])))).items() if key != "filters"
    } | (_manager(chain["filters"][0]["typed_config"], plain(common(Chain("")))["filters"][0]["typed_config"]))


def _listeners(messages: FleetMessages) -> dict[str, Any]:
    """Return what the plain listener's connection manager has beside the common one, and the HTTPS listener."""
    plain_http, *https = [plain(each) for each in messages.listeners]
    common = plain(translate(Fleet(name="default"), OPTIONS, Memo()).listeners[0])
    manager, without = (each["filter_chains"][0]["filters"][0]["typed_config"] for each in (plain_http, common))
    filters = [each for each in manager["http_filters"] if each not in without["http_filters"]]
    shown = {plain_http["name"]: {**_less(manager, without), "http_filters": filters}}
    for each in https:
        shown[each["name"]] = {key: value for key, value in each.items() if key in {"access_log", "address"}}
    return shown


def _manager(manager: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    different = _less(manager, common)
    return {"connection_manager": different} if different else {}


def _secret(secret: Secret, known: Certificates) -> str:
    """Return what a secret is, in words: its bytes are others each time."""
    everything: Iterable[Certificate | None] = (*known.certificates, known.default)
    names = {each.chain.pem: each.name for each in everything if each is not None}
    names |= {each.chain.pem: each.name for each in known.materials if each.chain is not None}
    names |= {each.certificate.chain.pem: each.certificate.name for each in known.tls_challenges}
    authorities = {each.authorities: each.name for each in known.materials if each.authorities is not None}
    if secret.HasField("tls_certificate"):
        assert secret.tls_certificate.private_key.inline_bytes.startswith(b"-----BEGIN PRIVATE KEY-----")
        return f"certificate {names[secret.tls_certificate.certificate_chain.inline_bytes]}, key [redacted]"
    return f"authorities {authorities[secret.validation_context.trusted_ca.inline_bytes]}"


_UNKNOWN = {"match": {"prefix": "/"}, "direct_response": {"status": OPTIONS.unknown_host_status}}


def _like(cluster_: dict[str, Any]) -> dict[str, Any]:
    """Return the common form of a cluster's kind."""
    kinds = [plain(_CLUSTER), plain(_CLUSTER_BY_NAME)]
    kind = next((each for each in kinds if each.get("cluster_type") == cluster_.get("cluster_type")), {})
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
        if isinstance(value, Backend) and value.service.startswith(f"{value.stack}_"):
            # The service's name says it already.
            del shown["stack"]
        return {name: _plain(given) for name, (given, default) in shown.items() if given != default}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return _DATE.sub("(date)", value) if isinstance(value, str) else value


def _default(field: "Field[Any]") -> Any:
    return field.default if field.default is not MISSING else object()


class _Dumper(yaml.SafeDumper):
    """Writes what is the same in two places twice: an anchor would hide it from a reader."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class has it
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
