"""Interlock's configuration file: each option with what it becomes.

The options are those of https://docs.mirantis.com/mke/3.5/ops/deploy-apps-swarm/interlock/configure and of its
NGINX extension.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from swarm_xds.migrate.findings import Fate, Finding
from swarm_xds.problem import shown

_SOCKET = "unix:///var/run/docker.sock"
_DEFAULT = "default"
_DAY_MS = 86_400_000


class ConfigurationError(ValueError):
    """The file is no configuration of Interlock's; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an option becomes.

    Attributes:
        setting: Name of the setting that corresponds; empty for none.
        convert: Makes the setting's value; None leaves the setting at its default.
    """

    fate: Fate
    note: str = ""
    setting: str = ""
    convert: Callable[[Any], object | None] = lambda value: value


def _obsolete(note: str) -> Rule:
    return Rule(Fate.OBSOLETE, note)


def _different(note: str) -> Rule:
    return Rule(Fate.DIFFERENT, note)


_EXTENSION = _obsolete("there is no extension: the control plane does its work")
_PLACEMENT = _different("placement of the service edge in deploy/stack.yml")
_NGINX = _obsolete("is of NGINX itself")
_LOGS = _different("lines are of JSON, on standard output, and have fixed fields")
_HITLESS = _obsolete("no proxy ever restarts for a change")

CORE: Mapping[str, Rule] = {
    "ListenAddr": _obsolete("was the API for extensions"),
    "DockerURL": Rule(Fate.TAKEN, "", "docker_host", lambda value: None if value == _SOCKET else [value]),
    "TLSCACert": _different("set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as for docker"),
    "TLSCert": _different("set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as for docker"),
    "TLSKey": _different("set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as for docker"),
    "AllowInsecure": _different("managers are verified as docker does, by DOCKER_TLS_VERIFY"),
    "PollInterval": _obsolete("changes come as events, and are looked for each second besides"),
    "EndpointOverride": _obsolete("was the API for extensions"),
}
EXTENSION: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            "Image",
            "Args",
            "Labels",
            "ContainerLabels",
            "Constraints",
            "PlacementPreferences",
            "ServiceName",
            "Template",
        ),
        _EXTENSION,
    ),
    **dict.fromkeys(("HitlessServiceUpdate", "ConfigImage", "ConfigServiceName"), _HITLESS),
    "Networks": _different("each network that a label names is reached; `swarm-xds networks` shows how"),
    "ProxyImage": _different("EDGE_IMAGE of deploy/stack.yml, an Envoy"),
    "ProxyArgs": _obsolete("the edge takes its settings from the environment (envoy/README.md)"),
    "ProxyLabels": _different("labels of the service edge in deploy/stack.yml"),
    "ProxyContainerLabels": _different("labels of the service edge in deploy/stack.yml"),
    "ProxyServiceName": _different("the service edge of deploy/stack.yml"),
    "ProxyConfigPath": _obsolete("configuration is streamed, not written to a file"),
    "ProxyReplicas": _different("deploy/stack.yml runs one edge on every node; set mode and replicas there"),
    "ProxyStopSignal": _obsolete("an edge finishes its requests when it is told to stop"),
    "ProxyStopGracePeriod": _different("DRAIN_LIMIT_SECONDS and stop_grace_period of the service edge"),
    "ProxyConstraints": _PLACEMENT,
    "ProxyPlacementPreferences": _PLACEMENT,
    "ProxyUpdateDelay": _different("update_config of the service edge in deploy/stack.yml"),
    "PublishMode": _different("deploy/stack.yml publishes in host mode, which keeps the clients' addresses"),
    "PublishedPort": _different("HTTP_PORT of deploy/stack.yml"),
    "TargetPort": Rule(Fate.TAKEN, "", "http_port"),
    "PublishedSSLPort": _different("HTTPS_PORT of deploy/stack.yml, and https_public_port if it is not 443"),
    "TargetSSLPort": Rule(Fate.TAKEN, "", "https_port"),
}
PROXY: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            "Version",
            "User",
            "PidPath",
            "WorkerProcesses",
            "RLimitNoFile",
            "RlimitNoFile",
            "ErrorLogPath",
            "HTTPVersion",
        ),
        _NGINX,
    ),
    **dict.fromkeys(
        ("SSLOpts", "SSLDefaultDHParam", "SSLDefaultDHParamPath", "SSLCiphers"),
        _obsolete("ciphers and key exchanges are a modern list that nobody has to keep"),
    ),
    "SSLProtocols": _different("TLS 1.2 is the lowest; give services that want more the label xds.tls.min_version"),
    "SSLVerify": _different("give services that ask clients for certificates the label xds.tls.client_ca"),
    "AccessLogPath": Rule(Fate.DIFFERENT, _LOGS.note, "access_log", lambda value: "json" if value != "off" else None),
    **dict.fromkeys(("MainLogFormat", "TraceLogFormat"), _LOGS),
    "AdminUser": _obsolete("the edge's admin interface stays on its own loopback address"),
    "AdminPass": _obsolete("the edge's admin interface stays on its own loopback address"),
    "MaxConnections": Rule(
        Fate.DIFFERENT, "was a worker's limit, and is now that of one service: take the default unless it is too low"
    ),
    "ConnectTimeout": _different("connect_timeout is until another task is tried: its default of 500 ms is meant"),
    "SendTimeout": Rule(Fate.TAKEN, "the longer of SendTimeout and ReadTimeout", "stream_idle_timeout"),
    "ReadTimeout": Rule(Fate.TAKEN, "the longer of SendTimeout and ReadTimeout", "stream_idle_timeout"),
    "IPHash": _different("give each service that needs it the label ip_hash"),
    "HideInfoHeaders": _obsolete("nothing that tells of the inside is ever added to answers"),
    "ClientMaxBodySize": Rule(Fate.NOT_SERVED, "a request's body has no limit yet"),
    "KeepaliveTimeout": _obsolete("a client's unused connection is kept as long as it likes, within the edge's limits"),
}


def configuration(content: bytes) -> tuple[tuple[Finding, ...], dict[str, object]]:
    """Return what becomes of each option, and the settings that correspond.

    Of several extensions each is a fleet; settings are those of the default one, or of the first.

    Raises:
        ConfigurationError: It is no TOML, or has another form.
    """
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"not a TOML file: {error}") from error
    extensions = document.pop("Extensions", {})
    if not isinstance(extensions, dict) or not all(isinstance(each, dict) for each in extensions.values()):
        raise ConfigurationError("Extensions is not a table of tables, as Interlock 2 has it")
    settings: dict[str, object] = {}
    findings = list(_options("", document, CORE, settings))
    main = next((name for name in (_DEFAULT, *extensions) if name in extensions), "")
    for name, extension in extensions.items():
        own = settings if name == main else None
        findings += _extension(name, dict(extension), own)
    return tuple(findings), settings


def _extension(name: str, extension: dict[str, Any], settings: dict[str, object] | None) -> Iterator[Finding]:
    place = f"Extensions.{name}"
    proxy = extension.pop("Config", {})
    fleet = extension.pop("ServiceCluster", "")
    if fleet:
        if settings is not None:
            settings["default_fleet"] = str(fleet)
        note = f"the fleet {fleet}: FLEET of its edge's stack, and the label service_cluster of its services"
        yield Finding(place=place, name="ServiceCluster", value=shown(str(fleet)), fate=Fate.TAKEN, note=note)
    yield from _options(place, extension, EXTENSION, settings)
    if not isinstance(proxy, dict):
        raise ConfigurationError(f"{place}.Config is not a table")
    yield from _options(f"{place}.Config", proxy, PROXY, settings)
    idle = [each for each in (proxy.get("SendTimeout"), proxy.get("ReadTimeout")) if _is_count(each)]
    if settings is not None:
        settings.pop("stream_idle_timeout", None)
    if settings is not None and idle:
        settings["stream_idle_timeout"] = min(max(idle) * 1000, _DAY_MS)


def _options(
    place: str, options: Mapping[str, Any], rules: Mapping[str, Rule], settings: dict[str, object] | None
) -> Iterator[Finding]:
    for name, value in options.items():
        rule = rules.get(name, Rule(Fate.UNKNOWN, "this command does not know it"))
        if rule.setting and settings is None:
            rule = _different(f"{rule.setting} holds for all fleets, and is taken from the default extension")
        note = rule.note
        if rule.setting and settings is not None:
            converted = rule.convert(value)
            if converted is not None:
                settings[rule.setting] = converted
                note = note or f"setting {rule.setting}"
            else:
                note = note or "the default"
        hidden = "[redacted]" if name == "AdminPass" and value else shown(str(value))
        yield Finding(place=place, name=name, value=hidden, fate=rule.fate, note=note)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
