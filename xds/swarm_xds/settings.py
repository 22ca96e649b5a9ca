"""Every setting of the control plane, once: the command line, the environment, the file and the documentation.

Precedence: command line, then ``SWARM_XDS_*`` of the environment, then the file, then the default. An unknown
setting is an error wherever it stands, so that a typing mistake is not silent.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from swarm_xds.certs.acme.options import LETS_ENCRYPT, AcmeOptions, ChallengeType
from swarm_xds.certs.base import Identity
from swarm_xds.given import SettingsError, gather, unknown
from swarm_xds.labels import Via
from swarm_xds.model import EdgeOptions, Tracing
from swarm_xds.networks.home import RelayOptions
from swarm_xds.networks.memory import NetworkTimings
from swarm_xds.networks.plan import NetworkOptions

#: Seconds that a restart of a control plane may take without any edge ceasing to listen.
_SHORTEST_TTL = 60

Port = Annotated[int, Field(ge=1, le=65_535)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
LimitMilliseconds = Annotated[int, Field(ge=0, le=86_400_000)]


class Settings(BaseModel):
    """Settings of ``swarm-xds serve``. Times are in milliseconds unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["docker", "compose"] = Field(
        "docker", description="Where labels are read: a swarm manager (docker) or stack files (compose)."
    )
    files: tuple[Path, ...] = Field((), description="Stack files to follow, with source compose.")
    listen: str = Field(
        "127.0.0.1:18000",
        description="Address and port of the xDS server; one that is not loopback needs the three TLS files.",
    )
    tls_ca: Path | None = Field(
        None,
        description="PEM file of the authority of our own certificates: of edges, each of which gets its own fleet "
        "only, and of readers of secrets.",
    )
    tls_cert: Path | None = Field(
        None, description="PEM file of the control plane's certificate; read again when it changes."
    )
    tls_key: Path | None = Field(None, description="PEM file of its key.")
    insecure_xds: bool = Field(
        default=False,
        description="Serve without TLS beyond loopback: who reaches the port reads the configuration of every fleet.",
    )
    snapshot_file: Path | None = Field(
        None,
        description="File that keeps what is served, for a start while no manager answers and for export.",
    )
    snapshot_after_seconds: float = Field(
        3.0, ge=0, le=3600, description="Seconds that a start waits for a manager before it serves the file's content."
    )
    envoy_binary: Path | None = Field(
        None,
        description="Envoy that is shown each change with --mode validate, beside serving it; none: nothing is shown.",
    )
    envoy_validate_seconds: float = Field(
        30.0, gt=0, le=3600, description="Seconds that envoy_binary may take for one fleet."
    )
    canary: bool = Field(
        default=False,
        description="Give a change to one proxy of a fleet first, and to the others when it has accepted all of it; "
        "endpoints never wait.",
    )
    canary_quiet_seconds: float = Field(
        5.0, ge=0, le=3600, description="Seconds between the first proxy's answer and the others' turn, with canary."
    )
    canary_limit_seconds: float = Field(
        60.0, gt=0, le=3600, description="Seconds after which the others are given a change that got no answer."
    )
    default_fleet: str = Field(
        "default", min_length=1, description="Fleet (Envoy's node.cluster) of services that name none."
    )
    docker_host: tuple[str, ...] = Field(
        (),
        description="Swarm managers to read from, the next if one is away; none: DOCKER_HOST, or the current context.",
    )
    fleet_networks: tuple[str, ...] = Field(
        (),
        description="Networks that the default fleet stands on, beside those of services labelled swarm-xds.fleet.",
    )
    resync_seconds: float = Field(30.0, gt=0, le=3600, description="Seconds between two full readings of the swarm.")
    manage_networks: bool = Field(
        default=True,
        description="Reach routed networks that the fleet does not stand on; with source docker only.",
    )
    network_via: Literal["relay", "direct"] = Field(
        "relay",
        description="How, where no label says it: by a relay in the network, or by attaching the fleet to it (direct).",
    )
    allow_direct: bool = Field(
        default=True,
        description="Let the label network.via=direct attach the fleet to a network: its proxies are replaced.",
    )
    direct_quiet_seconds: float = Field(
        2.0, ge=0, le=3600, description="Without a further change, before the fleet is attached or detached."
    )
    direct_max_wait_seconds: float = Field(
        15.0, ge=0, le=3600, description="After the first change, whatever else changes."
    )
    direct_min_serving: int = Field(
        1, ge=0, le=10_000, description="Proxies that serve at any time while the fleet is attached or detached."
    )
    relay_network: str = Field(
        "", description="Network of the fleet that relays stand on; none: its first that is not internal."
    )
    relay_image: str = Field("", description="Image of relays, a stock Envoy; none: that of the fleet's service.")
    relay_replicas: int = Field(2, ge=1, le=64, description="Relays of each network; two survive the loss of a node.")
    relay_memory_mib: int = Field(128, ge=16, le=65_536, description="Memory limit of each relay in MiB.")
    relay_constraints: tuple[str, ...] = Field(
        (), description="Placement constraints of relays, such as node.role==worker."
    )
    relay_pauses: int = Field(
        8,
        ge=0,
        le=64,
        description="Empty configs beside each relay's own, so that the swarm keeps up with docker stack rm.",
    )
    certs: Path | None = Field(
        None, description="Directory of certificates and keys, followed as it changes; hosts that they name have TLS."
    )
    acme_folder: Path | None = Field(
        None,
        description="Folder for ACME, shared by all replicas: hosts that ask for TLS and have no certificate get one.",
    )
    acme_terms_agreed: bool = Field(
        default=False, description="You agree to the terms of service of the ACME authority; nothing is ordered before."
    )
    acme_email: str = Field("", description="Where the ACME authority may write to.")
    acme_directory: str = Field(LETS_ENCRYPT, min_length=1, description="Directory URL of the ACME authority.")
    acme_ca: Path | None = Field(
        None,
        description="PEM file with whom to trust as the ACME authority's web server; none: the public authorities.",
    )
    acme_challenge: Literal["http-01", "tls-alpn-01", "any"] = Field(
        "http-01",
        description="How the ACME authority sees that a host is ours: on port 80, on port 443, or either, in turn.",
    )
    insecure_xds_secrets: bool = Field(
        default=False,
        description="Stream private keys also where xDS is not encrypted: who reaches the port, or listens, has them.",
    )
    http_port: Port = Field(80, description="Port of the plain HTTP listener inside each proxy.")
    https_port: Port = Field(443, description="Port of the HTTPS listener, which is there once a host asks for TLS.")
    https_public_port: int = Field(
        0, ge=0, le=65_535, description="Port under which clients reach HTTPS, for redirects; 0: https_port."
    )
    http3: bool = Field(default=False, description="Answer HTTP/3 too, on the HTTPS port over UDP.")
    unknown_host_status: int = Field(404, ge=200, le=599, description="Answer to a host that nobody claims.")
    retry_after_seconds: int = Field(5, ge=0, le=86_400, description="Retry-After of a service without a running task.")
    trusted_hops: int = Field(0, ge=0, le=16, description="Trusted proxies in front of the edge.")
    keep_escaped_slashes: bool = Field(
        default=False,
        description="Tasks see %2F and %5C in paths as they came, as with Interlock; else clients are sent to the path "
        "with slashes.",
    )
    connect_timeout: Milliseconds = Field(500, description="Until another task is tried.")
    stream_idle_timeout: LimitMilliseconds = Field(300_000, description="Without a byte, a request ends; 0: never.")
    request_timeout: LimitMilliseconds = Field(300_000, description="Until a request has come whole; 0: for ever.")
    upstream_idle_timeout: Milliseconds = Field(4_000, description="How long an unused connection to a task is kept.")
    max_connections: int = Field(
        10_000, ge=1, le=1_000_000, description="Limit of connections, of waiting and of open requests to one service."
    )
    access_log: Literal["none", "json"] = Field(
        "none", description="Whether proxies write a line of JSON to standard output for each request (json)."
    )
    log_query: bool = Field(default=True, description="Paths of these lines, and URLs of spans, have the query.")
    tracing_otlp: str = Field(
        "", description="Host and port of an OTLP collector (gRPC, plain text) for spans of requests; empty: none."
    )
    tracing_percent: float = Field(
        100.0, ge=0, le=100, description="Share of requests that are traced, if their client has not decided."
    )
    tracing_service_name: str = Field("swarm-xds", min_length=1, description="service.name of these spans.")
    listener_ttl_seconds: int = Field(
        0,
        ge=0,
        le=86_400,
        description="Seconds without any control plane after which an edge stops listening, so that a balancer before "
        "it takes another; 0: never, as edges serve what they have. Edges by incremental xDS only.",
    )
    metrics_listen: str = Field(
        "127.0.0.1:18001", description="Address and port of /metrics, /healthz and /readyz; empty: not served."
    )
    debug_listen: tuple[str, ...] = Field(
        ("127.0.0.1:18002",),
        description="Addresses and ports of the debug API, which commands ask; empty: not served. One that is loopback "
        "is plain; any other has the three TLS files, and answers operators' certificates only.",
    )
    insecure_debug: bool = Field(
        default=False,
        description="Serve the debug API without TLS beyond loopback: who reaches the port reads every host, address "
        "and label.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="For people (console) or programs (json).")

    @field_validator("files", "docker_host", "fleet_networks", "relay_constraints", "debug_listen", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Take a comma-separated text for a list, as the environment has it."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator(
        *("tls_ca", "tls_cert", "tls_key", "snapshot_file", "envoy_binary", "certs", "acme_folder", "acme_ca"),
        mode="before",
    )
    @classmethod
    def _given(cls, value: object) -> object:
        """Take an empty text for none, as an environment has it."""
        return None if value == "" else value

    @field_validator("listen", "tracing_otlp", "metrics_listen", "debug_listen")
    @classmethod
    def _address(cls, value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
        if not value and info.field_name != "listen":
            return value
        for each in (value,) if isinstance(value, str) else value:
            host, separator, port = each.rpartition(":")
            if not separator or not host or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004
                raise ValueError("not an address and a port, such as 127.0.0.1:18000")
        if info.field_name == "tracing_otlp" and str(value).endswith(":0"):
            raise ValueError("no port to connect to")
        return value

    @field_validator("listener_ttl_seconds")
    @classmethod
    def _bearable(cls, value: int) -> int:
        if 0 < value < _SHORTEST_TTL:
            raise ValueError(f"0, or {_SHORTEST_TTL} at least: a control plane must have the time to be replaced")
        return value

    @field_validator("https_port")
    @classmethod
    def _apart(cls, value: int, info: ValidationInfo) -> int:
        if value == info.data.get("http_port"):
            raise ValueError("the same as http_port: one Envoy cannot listen twice on one port")
        return value

    @property
    def carries_keys(self) -> bool:
        """Whether private keys may go out over xDS: encrypted, to this machine alone, or where that is asked for."""
        return self.tls_key is not None or self.insecure_xds_secrets or _is_loopback(self.listen)

    @property
    def identity(self) -> Identity | None:
        """The control plane's own certificate, by which it asks readers of secrets; None without all three files."""
        if self.tls_ca is None or self.tls_cert is None or self.tls_key is None:
            return None
        return Identity(authorities=self.tls_ca, certificate=self.tls_cert, key=self.tls_key)

    @property
    def acme(self) -> AcmeOptions | None:
        """The settings that shape ACME; None where nothing is ordered."""
        if self.acme_folder is None:
            return None
        return AcmeOptions(
            folder=self.acme_folder,
            terms_agreed=self.acme_terms_agreed,
            email=self.acme_email,
            directory=self.acme_directory,
            ca=self.acme_ca,
            challenges=tuple(each for each in ChallengeType if self.acme_challenge in {each, "any"}),
        )

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        """Refuse to serve strangers, unless that is asked for by name."""
        files = {"tls_ca": self.tls_ca, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
        missing = [name for name, path in files.items() if path is None]
        if missing and len(missing) < len(files):
            raise ValueError(f"TLS needs all of {', '.join(files)}: {', '.join(missing)} missing")
        if missing and not self.insecure_xds and not _is_loopback(self.listen):
            raise ValueError(
                f"listen={self.listen} is not loopback, so {', '.join(files)} have to be set; or insecure_xds, where"
                " nobody else reaches the port: it serves all configuration to whoever asks"
            )
        for address in self.debug_listen:
            if missing and not self.insecure_debug and not _is_loopback(address):
                raise ValueError(
                    f"debug_listen={address} is not loopback, so {', '.join(files)} have to be set; or insecure_debug,"
                    " where nobody else reaches the port: it tells every host, address and label to whoever asks"
                )
        for name, insecure in (("insecure_xds", self.insecure_xds), ("insecure_debug", self.insecure_debug)):
            if insecure and not missing:
                raise ValueError(f"{name} and {', '.join(files)} exclude each other")
        return self

    def asks_operators(self, address: str) -> bool:
        """Return whether the debug API is mutual TLS on one of its addresses; it is plain on loopback."""
        return not self.insecure_debug and not _is_loopback(address)

    @property
    def edge(self) -> EdgeOptions:
        """The settings that shape Envoy's configuration."""
        return EdgeOptions(
            http_port=self.http_port,
            https_port=self.https_port,
            https_public_port=self.https_public_port,
            http3=self.http3,
            unknown_host_status=self.unknown_host_status,
            retry_after=self.retry_after_seconds,
            trusted_hops=self.trusted_hops,
            keep_escaped_slashes=self.keep_escaped_slashes,
            connect_timeout=self.connect_timeout,
            stream_idle_timeout=self.stream_idle_timeout,
            request_timeout=self.request_timeout,
            upstream_idle_timeout=self.upstream_idle_timeout,
            max_connections=self.max_connections,
            access_log=self.access_log == "json",
            log_query=self.log_query,
            tracing=self._tracing,
            listener_ttl=self.listener_ttl_seconds,
        )

    @property
    def _tracing(self) -> Tracing | None:
        if not self.tracing_otlp:
            return None
        host, _, port = self.tracing_otlp.rpartition(":")
        return Tracing(
            host=host.strip("[]"),
            port=int(port),
            percent=self.tracing_percent,
            service_name=self.tracing_service_name,
        )

    @property
    def networks(self) -> NetworkOptions | None:
        """The settings that shape the network plan; None where networks are not managed."""
        if self.source != "docker" or not self.manage_networks:
            return None
        return NetworkOptions(
            via=Via(self.network_via),
            allow_direct=self.allow_direct,
            min_serving=self.direct_min_serving,
            asks=self.identity is not None,
            relay=RelayOptions(
                network=self.relay_network,
                image=self.relay_image,
                replicas=self.relay_replicas,
                memory=self.relay_memory_mib * 1024 * 1024,
                constraints=self.relay_constraints,
                pauses=self.relay_pauses,
            ),
        )

    @property
    def network_timings(self) -> NetworkTimings:
        """The settings that say when the network plan is carried out."""
        return NetworkTimings(
            attach_quiet=self.direct_quiet_seconds,
            attach_wait=self.direct_max_wait_seconds,
            min_serving=self.direct_min_serving,
        )


def load(given: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """Return the settings from the command line, the environment and a YAML file.

    Raises:
        SettingsError: Something is unknown or bad, with where it stands.
    """
    values, origins = gather(given, environ, file)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for each in error.errors():
            if not each["loc"]:
                lines.append(each["msg"].removeprefix("Value error, "))
                continue
            name = str(each["loc"][0])
            if each["type"] == "extra_forbidden":
                # Without its value: that of another program's file or variable may be a secret.
                lines.append(f"{origins.get(name, name)}: {unknown(name, Settings.model_fields)}")
            else:
                lines.append(f"{origins.get(name, name)}={values.get(name)!r}: {each['msg']}")
        raise SettingsError("\n".join(lines)) from None


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
