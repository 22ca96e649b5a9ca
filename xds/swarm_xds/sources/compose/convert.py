"""From a stack file's document to the swarm's state, as if the stack were deployed. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.sources.compose.document import DocumentError, Twice
from swarm_xds.swarm import Network, PublishedPort, PublishMode, Secret, Service, Task
from swarm_xds.swarm.marks import ROUTED_PREFIXES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_PORT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_MAX_PORT = 65_535
#: Modes of a service that runs to its end.
_JOBS = ("replicated-job", "global-job")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """What one file came to.

    Attributes:
        whole: False if the file could not be read at all; then it has problems only.
        secrets: Those that it declares, whatever is in them.
        bad: Ids of services that could not be read; they are not among ``services``.
    """

    whole: bool = True
    services: tuple[Service, ...] = ()
    networks: tuple[Network, ...] = ()
    secrets: tuple[Secret, ...] = ()
    bad: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Stack:
    """A stack file on its way to services."""

    source: str
    name: str
    problems: list[Problem] = field(default_factory=list)

    def problem(
        self,
        severity: Severity,
        reason: str,
        cure: str = "",
        *,
        service: str = "",
        label: str = "",
        value: str = "",
        kind: Kind = Kind.BAD_FILE,
    ) -> None:
        self.problems.append(
            Problem(
                severity=severity,
                kind=kind,
                service=self.full(service) if service else "",
                label=shown(label),
                value=shown(value),
                reason=reason,
                cure=cure,
                source=self.source,
            )
        )

    def full(self, name: str) -> str:
        """Return the name that an object of the stack file has in the swarm."""
        return f"{self.name}_{name}"


def convert(document: Mapping[str, Any], twice: Iterable[Twice], source: str, name: str) -> StackFile:
    """Return what one stack file means.

    Raises:
        DocumentError: ``services``, ``networks`` or ``secrets`` is not what it must be, so that the file means nothing.
    """
    stack = _Stack(source, name)
    _tell_double_keys(stack, twice)
    declared = _mapping(document.get("networks"), "networks")
    networks = {key: _network(stack, key, each) for key, each in declared.items()}
    secrets = {key: _secret(stack, key, each) for key, each in _mapping(document.get("secrets"), "secrets").items()}
    services: list[Service] = []
    bad: set[str] = set()
    if "services" not in document:
        # So it is with files of Compose's version 1, whose services stand at the top.
        stack.problem(Severity.WARNING, "it has no services:", "put the services under services:, if it is to have any")
    for key, definition in _mapping(document.get("services"), "services").items():
        if not _NAME.fullmatch(key):
            stack.problem(Severity.ERROR, f'"{shown(key)}" is no name of a service', "use letters, digits, _, . and -")
            continue
        try:
            services.append(_service(stack, key, _mapping(definition, f"services.{key}"), networks))
        except DocumentError as error:
            bad.add(stack.full(key))
            cure = "mend it; until then the service keeps its last good form, if it had any"
            stack.problem(Severity.ERROR, str(error), cure, service=key)
    return StackFile(
        services=tuple(services),
        networks=tuple(networks.values()),
        secrets=tuple(secrets.values()),
        bad=frozenset(bad),
        problems=tuple(stack.problems),
    )


def _tell_double_keys(stack: _Stack, twice: Iterable[Twice]) -> None:
    for each in twice:
        service = each.path[1] if each.path[:1] == ("services",) and len(each.path) > 1 else ""
        stack.problem(
            Severity.ERROR,
            f'line {each.line}: the key "{shown(each.key)}" stands twice; docker would refuse the file',
            "keep one of the two; until then the last one holds",
            service=service,
            label=each.key if each.path[2:] in {("deploy", "labels"), ("labels",)} else "",
            kind=Kind.DUPLICATE,
        )


def _network(stack: _Stack, key: str, definition: object) -> Network:
    name, owner = _named(stack, key, _mapping(definition, f"networks.{key}"))
    return Network(id=name, name=name, stack=owner)


def _secret(stack: _Stack, key: str, definition: object) -> Secret:
    name, owner = _named(stack, key, _mapping(definition, f"secrets.{key}"))
    return Secret(id=name, name=name, stack=owner)


def _named(stack: _Stack, key: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name that an object of the file has in the swarm, and the stack that it belongs to."""
    external = fields.get("external", "false")
    name = fields.get("name")
    if isinstance(external, Mapping):
        name = external.get("name", name)
    outside = isinstance(external, Mapping) or str(external).lower() in {"true", "yes", "on"}
    return str(name) if name else key if outside else stack.full(key), "" if outside else stack.name


def _service(stack: _Stack, key: str, fields: Mapping[str, Any], networks: dict[str, Network]) -> Service:
    deploy = _mapping(fields.get("deploy"), "deploy")
    labels = _labels(stack, key, deploy.get("labels"), "deploy.labels")
    job = deploy.get("mode") in _JOBS
    _tell_misplaced(stack, key, fields, deploy, labels, job=job)
    if job:
        labels = {name: value for name, value in labels.items() if not name.startswith(ROUTED_PREFIXES)}
    if "extends" in fields:
        cure = "use an anchor of YAML, or deploy what docker compose config prints"
        stack.problem(Severity.WARNING, "docker stack deploy does not know extends", cure, service=key)
    network_ids = tuple(
        sorted({_attached(name, networks, stack).id for name in _network_names(fields.get("networks"))})
    )
    return Service(
        id=stack.full(key),
        name=stack.full(key),
        stack=stack.name,
        labels=tuple(sorted(labels.items())),
        network_ids=network_ids,
        virtual_ips=() if deploy.get("endpoint_mode") == "dnsrr" else tuple((each, key) for each in network_ids),
        ports=tuple(sorted(set(_ports(fields.get("ports"))))),
        tasks=_tasks(stack, key, fields, deploy, network_ids),
        source=stack.source,
    )


def _tell_misplaced(
    stack: _Stack, key: str, fields: Mapping[str, Any], deploy: Mapping[str, Any], labels: dict[str, str], *, job: bool
) -> None:
    """Tell of labels of ours that have no effect: those that are not the service's, and those of a job."""
    elsewhere = (
        (_labels(stack, key, fields.get("labels"), "labels"), "on the container"),
        (deploy, "under deploy: itself"),
        (fields, "on the service itself"),
    )
    for names, where in elsewhere:
        # Those that the service itself has too do no harm: some have them for an engine without a swarm.
        for label in (name for name in names if name.startswith(ROUTED_PREFIXES) and name not in labels):
            stack.problem(
                Severity.ERROR,
                f"it stands {where}, where it has no effect",
                "move it under deploy: labels:",
                service=key,
                label=label,
                value=str(names[label]),
                kind=Kind.MISPLACED_LABEL,
            )
    ours = sorted(name for name in labels if name.startswith(ROUTED_PREFIXES))
    if job and ours:
        stack.problem(
            Severity.ERROR,
            "it stands on a job, whose tasks are to end: none of them takes requests",
            "take mode replicated or global",
            service=key,
            label=ours[0],
            value=labels[ours[0]],
            kind=Kind.MISPLACED_LABEL,
        )


def _attached(name: str, networks: dict[str, Network], stack: _Stack) -> Network:
    if name not in networks:
        if name != "default":
            raise DocumentError(f'network "{shown(name)}" is not declared under networks:')
        # Every stack has it, declared or not.
        networks["default"] = _network(stack, "default", None)
    return networks[name]


def _network_names(value: object) -> list[str]:
    if value is None or value == "":
        return ["default"]
    if isinstance(value, list | Mapping):
        return [str(each) for each in value]
    raise DocumentError("networks is neither a list nor a mapping")


def _labels(stack: _Stack, service: str, value: object, where: str) -> dict[str, str]:
    if value is None or value == "":
        return {}
    if isinstance(value, Mapping):
        return {str(key): _scalar(each, f"{where}.{key}") for key, each in value.items()}
    if not isinstance(value, list):
        raise DocumentError(f"{where} is neither a list nor a mapping")
    labels: dict[str, str] = {}
    for each in value:
        key, _, text = _scalar(each, where).partition("=")
        if key in labels:
            stack.problem(
                Severity.ERROR,
                "the label stands twice",
                "keep one of the two; until then the last one holds",
                service=service,
                label=key,
                value=text,
                kind=Kind.DUPLICATE,
            )
        labels[key] = text
    return labels


def _ports(value: object) -> Iterator[PublishedPort]:
    """Yield the published TCP ports; never in host mode, since ``x-tasks`` says where the tasks are."""
    if value is None or value == "":
        return
    if not isinstance(value, list):
        raise DocumentError("ports is not a list")
    for each in value:
        if isinstance(each, Mapping):
            if str(each.get("protocol", "tcp")) == "tcp":
                published = str(each.get("published") or "0")
                if not each.get("target"):
                    raise DocumentError(f"{_written(each)} under ports has no target: the port inside of the container")
                yield PublishedPort(
                    target=_range(each.get("target"), each)[0],
                    published=_range(published, each)[0],
                    mode=PublishMode.INGRESS,
                )
        else:
            yield from _short_port(_scalar(each, "ports"))


def _written(fields: Mapping[str, Any]) -> str:
    """Return a mapping as a file has it in one line."""
    return shown("{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}")


def _short_port(text: str) -> Iterator[PublishedPort]:
    """Yield the ports of ``[[address:]published:]target[/protocol]``, where both may be ranges."""
    ports, _, protocol = text.partition("/")
    if protocol not in {"", "tcp"}:
        return
    *before, target = ports.rsplit(":", 2) if not ports.startswith("[") else ports.rpartition("]:")[2].split(":")
    targets = _range(target, text)
    published = _range(before[-1], text) if before and before[-1] else range(1)
    for index, port in enumerate(targets):
        at = published[index] if len(published) == len(targets) else published[0]
        yield PublishedPort(target=port, published=at, mode=PublishMode.INGRESS)


def _range(value: object, whole: object) -> range:
    match = _PORT_RANGE.fullmatch(str(value))
    if match is None:
        raise DocumentError(f'"{shown(str(whole))}" is no port')
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 <= first <= last <= _MAX_PORT:
        raise DocumentError(f'"{shown(str(whole))}" is out of range')
    return range(first, last + 1)


def _tasks(
    stack: _Stack, key: str, fields: Mapping[str, Any], deploy: Mapping[str, Any], network_ids: tuple[str, ...]
) -> tuple[Task, ...]:
    if "x-tasks" not in fields:
        if str(deploy.get("replicas", "1")) == "0":
            return ()
        return (_task(stack.full(key), key, 0, network_ids),)
    listed = fields["x-tasks"]
    if listed is None or listed == "":
        return ()
    if not isinstance(listed, list):
        raise DocumentError("x-tasks is not a list of addresses")
    tasks: dict[str, Task] = {}
    for each in listed:
        text = _scalar(each, "x-tasks")
        try:
            address, port = _address(text)
        except ValueError:
            reason = f'x-tasks: "{shown(text)}" is neither an address nor address:port, and is left out'
            stack.problem(
                Severity.ERROR,
                reason,
                "write 192.0.2.7, 192.0.2.7:8080, [2001:db8::7]:8080 or a host name",
                service=key,
            )
        else:
            tasks[text] = _task(f"{stack.full(key)}@{text}", address, port, network_ids)
    return tuple(task for _, task in sorted(tasks.items()))


def _task(task_id: str, address: str, port: int, network_ids: tuple[str, ...]) -> Task:
    return Task(id=task_id, addresses=tuple((each, address) for each in network_ids), port=port)


def _address(text: str) -> tuple[str, int]:
    """Return address and port of ``address`` or ``address:port``; port 0 if there is none."""
    try:
        return str(ipaddress.ip_address(text)), 0
    except ValueError:
        host, separator, port = text.rpartition(":")
    if not separator:
        host, port = text, "0"
    elif not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= _MAX_PORT):
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    try:
        return str(ipaddress.IPv4Address(host)), int(port)
    except ValueError:
        if not _HOST.fullmatch(host) or host.replace(".", "").isdigit():
            raise
    return host.lower(), int(port)


def _scalar(value: object, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise DocumentError(f"{where} is not a text")


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise DocumentError(f"{where} is not a mapping")
    bad = next((key for key in value if not isinstance(key, str)), None)
    if bad is not None:
        raise DocumentError(f"{where} has a key that is not a text")
    return value
