"""Stack files as a whole: each read by itself, then put together; one bad file never hides another."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.sources.compose.convert import StackFile, convert
from swarm_xds.sources.compose.document import DocumentError, load
from swarm_xds.sources.compose.variables import substitute
from swarm_xds.swarm import Network, Secret, Service, SwarmState

#: Letters, digits, underscores and hyphens, as the engine wants it.
STACK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def stack_name(path: Path, document: Mapping[str, object]) -> str:
    """Return the stack's name: the file's own ``name:``, else the file's name without its ending.

    Raises:
        DocumentError: ``name:`` is no name of a stack.
    """
    name = document.get("name") or re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.split(".")[0]).strip("-") or "stack"
    if not isinstance(name, str) or not STACK_NAME.fullmatch(name):
        raise DocumentError(f'"{shown(str(name))}" is no name of a stack: give it one by name: at the top of the file')
    return name


def read(path: Path, content: bytes, environ: Mapping[str, str], stack: str = "") -> StackFile:
    """Return what a stack file's content means. Never raises: what is wrong with it are its problems.

    ``stack`` is the name that it is deployed under; empty for the one that ``stack_name`` finds.
    """
    source = str(path)
    missing: set[str] = set()
    try:
        document, twice = load(content)
        document = substitute(document, environ, missing)
        file = convert(document, twice, source, stack_name(path, {**document, "name": stack} if stack else document))
    except DocumentError as error:
        return StackFile(whole=False, problems=(bad_file(source, str(error)),))
    unset = tuple(
        Problem(
            severity=Severity.WARNING,
            kind=Kind.BAD_FILE,
            reason=f"variable {name} is not set, so its place is empty",
            cure=f"set it, or write ${{{name}:-default}}",
            source=source,
        )
        for name in sorted(missing)
    )
    return replace(file, problems=file.problems + unset)


def bad_file(source: str, reason: str) -> Problem:
    """Return the problem of a file that cannot be read."""
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.BAD_FILE,
        reason=shown(reason),
        cure="mend the file; until then its last good content is served, if it had any",
        source=source,
    )


def together(files: Iterable[StackFile]) -> tuple[SwarmState, tuple[Problem, ...]]:
    """Return the state that all files make; of two services with one name the first file's holds."""
    services: dict[str, Service] = {}
    networks: dict[str, Network] = {}
    secrets: dict[str, Secret] = {}
    problems: list[Problem] = []
    for file in files:
        problems += file.problems
        secrets |= {secret.id: secret for secret in file.secrets}
        networks |= {network.id: network for network in file.networks if network.id not in networks}
        for service in file.services:
            holder = services.setdefault(service.id, service)
            if holder is not service:
                problems.append(_named_twice(service, holder))
    state = SwarmState(
        services=tuple(service for _, service in sorted(services.items())),
        networks=tuple(network for _, network in sorted(networks.items())),
        secrets=tuple(secret for _, secret in sorted(secrets.items())),
    )
    return state, tuple(problems)


def _named_twice(service: Service, holder: Service) -> Problem:
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.DUPLICATE,
        service=service.name,
        reason=f"{holder.source} has a service of this name already, which holds",
        cure="give one of the stacks another name, by name: at the top of its file",
        source=service.source,
    )
