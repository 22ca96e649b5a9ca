"""``swarm-xds uninstall``: takes everything away that a control plane has put into the swarm."""

import asyncio
from typing import Annotated

import typer

from swarm_xds import log
from swarm_xds.cli.output import failed
from swarm_xds.cli.pki import with_engine
from swarm_xds.networks.manager import NetworkManager, Removal
from swarm_xds.pki import secrets
from swarm_xds.sources.docker import EndpointError, EngineError, find_endpoints

EXAMPLES = """Examples:

docker stack rm swarm-xds && swarm-xds uninstall"""


def uninstall(
    docker_host: Annotated[str | None, typer.Option(help="Swarm manager.", show_default="DOCKER_HOST")] = None,
) -> None:
    """Remove every relay with its config, our secrets, and detach fleets.

    Remove the control plane first, or it does it all again.
    """
    log.configure("warning", "console")
    names: list[str] = []
    reasons: list[str] = []
    try:
        removal = asyncio.run(_uninstall([docker_host] if docker_host else []))
    except (EndpointError, EngineError) as error:
        failed(str(error))
    for step in removal.removed:
        typer.echo(f"detached {step.name} from {step.network}" if step.change else f"removed {step.name}")
    reasons += [f"{step.name}: {reason}" for step, reason in removal.failed]
    try:
        names, in_use = asyncio.run(with_engine(docker_host, secrets.remove))
        reasons += [": ".join(each) for each in in_use]
    except EngineError as error:
        reasons.append(str(error))
    for name in names:
        typer.echo(f"removed secret {name}")
    if reasons:
        failed("; ".join(reasons))
    if not removal.removed and not names:
        typer.echo("nothing to remove")


async def _uninstall(hosts: list[str]) -> Removal:
    return await NetworkManager(find_endpoints(hosts)).uninstall()
