"""``swarm-xds networks``: how each routed network is reached, what that takes and what is next; nothing is written.

With ``--plan`` it reads the swarm itself; without, it asks a running control plane.
"""

import asyncio
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from swarm_xds import log
from swarm_xds.app import make_source
from swarm_xds.cli.ask import commands
from swarm_xds.cli.ask.client import Asked, asking
from swarm_xds.cli.ask.show import Output, Style
from swarm_xds.cli.output import Format, failed, tell, write, wrong_use
from swarm_xds.cli.stacks import SECONDS, first
from swarm_xds.given import SettingsError
from swarm_xds.networks.decision import Decision, Step
from swarm_xds.networks.manager import NetworkManager
from swarm_xds.networks.wanted import NetworkPlan, RelaySpec
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.settings import Settings, load
from swarm_xds.sources import Reading
from swarm_xds.sources.docker import EndpointError, EngineError, find_endpoints
from swarm_xds.swarm import SwarmState
from swarm_xds.swarm.marks import RELAY_FLEET_LABEL, RELAY_LABEL

EXAMPLES = """Examples:

swarm-xds networks

swarm-xds networks --plan

DOCKER_HOST=tcp://manager:2376 swarm-xds networks --plan --format json"""


@asking
def networks(
    asked: Asked,
    plan: Annotated[
        bool, typer.Option("--plan", help="Read the swarm and print the plan, without a control plane.")
    ] = False,
    docker_host: Annotated[str | None, typer.Option(help="Swarm manager.", show_default="DOCKER_HOST")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    style: Annotated[Format | None, typer.Option("--format", help="For programs.", show_default="a table")] = None,
    output: Output = Style.TABLE,
) -> None:
    """Print how the fleets reach each routed network, what this takes, and what a control plane would do now."""
    if not plan:
        commands.networks(asked, output if style is None else Style(style))
        return
    log.configure("warning", "console")
    given = {"source": "docker", "manage_networks": True} | ({"docker_host": docker_host} if docker_host else {})
    try:
        settings = load(given, os.environ, config)
        reading, build, decision = asyncio.run(_look(settings))
    except SettingsError as error:
        wrong_use(str(error))
    except (EndpointError, EngineError, TimeoutError) as error:
        failed(str(error) or f"no manager answers within {SECONDS:.0f} s")
    made = build.networks or NetworkPlan()
    tell(build.problems)
    if style is not None:
        write(
            {
                "networks": [{**asdict(use), "way": str(use.way), "services": list(use.services)} for use in made.uses],
                "relays": [_relay(relay) for relay in made.relays],
                "attachments": [asdict(attachment) for attachment in made.attachments],
                "steps": [
                    *(_described(step, "") for step in decision.steps),
                    *(_described(delayed.step, delayed.reason) for delayed in decision.later),
                ],
            },
            style,
        )
        return
    console = Console(highlight=False)
    console.print(_table(made, reading.state))
    if decision.steps or decision.later:
        console.print(_steps(decision))
    else:
        console.print("Everything is as it should be: nothing is to be done.")


async def _look(settings: Settings) -> tuple[Reading, Build, Decision]:
    """Return the swarm, what is to be served and to stand there, and the steps that this takes."""
    reading = await first(make_source(settings))
    # The certificate to ask readers with is the control plane's, wherever this runs.
    options = None if settings.networks is None else replace(settings.networks, asks=True)
    build = Pipeline(settings.edge, settings.default_fleet, options).build(reading.state, reading.problems)
    manager = NetworkManager(find_endpoints(settings.docker_host), settings.network_timings)
    return reading, build, await manager.preview(build.networks or NetworkPlan(), reading.state)


def _relay(relay: RelaySpec) -> dict[str, Any]:
    lists = ("constraints", "secrets", "identity")
    return {key: list(value) if key in lists else value for key, value in asdict(relay).items()}


def _described(step: Step, waits_for: str) -> dict[str, str]:
    return {
        "action": str(step.action),
        "name": step.name,
        "network": step.network,
        "stack": step.stack,
        "fleet": step.fleet,
        "reason": step.reason,
        "waits_for": waits_for,
    }


def _steps(decision: Decision) -> Table:
    table = Table(*(Column(name, overflow="fold") for name in ("step", "of", "network", "why", "but first")))
    for step in decision.steps:
        table.add_row(str(step.action), step.name, step.network, step.reason, "")
    for delayed in decision.later:
        step = delayed.step
        table.add_row(str(step.action), step.name, step.network, step.reason, delayed.reason)
    return table


def _table(plan: NetworkPlan, state: SwarmState) -> Table:
    running = {
        (labels.get(RELAY_FLEET_LABEL), labels.get(RELAY_LABEL)): sum(task.serving for task in relay.tasks)
        for relay in state.relays
        for labels in (dict(relay.labels),)
    }
    relays = {(relay.fleet, relay.network_id): relay for relay in plan.relays}
    columns = ("fleet", "network", "way", "relays running", "services", "why")
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for use in plan.uses:
        place = (use.fleet, use.network_id)
        relay = relays.get(place)
        count = f"{running.get(place, 0)} of {relay.replicas}" if relay else ""
        table.add_row(use.fleet, use.network, str(use.way), count, ", ".join(use.services), use.reason)
    for reader in (each for each in plan.relays if each.reads):
        count = f"{running.get((reader.fleet, reader.mark), 0)} of {reader.replicas}"
        names = ", ".join(each.name for each in reader.secrets)
        table.add_row(reader.fleet, reader.network_name, "reader", count, "", f"labels name the secrets {names}")
    return table
