"""``swarm-xds pki``: the certificates by which control planes, proxies, relays and operators know each other."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from swarm_xds import log
from swarm_xds.certs import files
from swarm_xds.cli.output import failed, wrong_use
from swarm_xds.pki import issue, secrets
from swarm_xds.pki.store import Change, PkiError, Step, Store
from swarm_xds.sources.docker import EndpointError, EngineError, find_endpoints
from swarm_xds.sources.docker.api import Engine

T = TypeVar("T")

INIT_EXAMPLES = """Examples:

swarm-xds pki init                                    # files in the folder pki

swarm-xds pki init --docker --fleet default --fleet internal

swarm-xds pki init --operator alice                   # for whoever asks with commands; no Docker secret

swarm-xds pki init /etc/swarm-xds/pki --name xds.example.org"""

RENEW_EXAMPLES = """Examples:

swarm-xds pki renew --docker && PKI_VERSION=2 docker stack deploy ...

swarm-xds pki renew --authority                       # three times, with the files brought to all holders in between"""

app = typer.Typer(
    name="pki",
    help="The certificates of control plane, proxies, relays and operators.",
    no_args_is_help=True,
    add_completion=False,
)

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="Where the files are.", show_default="pki")]
Docker = Annotated[bool, typer.Option("--docker", help="Publish them as Docker secrets, too.")]
Host = Annotated[str | None, typer.Option(help="Swarm manager, with --docker.", show_default="DOCKER_HOST")]

_NEXT = {
    Step.TRUSTED: "The new authority is trusted beside the old one, and issues nothing yet.",
    Step.ISSUES: "The new authority has issued all certificates; the old one is still trusted.",
    Step.RETIRED: "The old authority is not trusted any more, and the change is complete.",
}


@app.command(epilog=INIT_EXAMPLES)
def init(
    folder: Folder = Path("pki"),
    fleet: Annotated[
        list[str] | None, typer.Option(help="Fleet of proxies; repeat it.", show_default="default")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Another DNS name or address of the control plane; repeat it.")
    ] = None,
    operator: Annotated[
        list[str] | None, typer.Option(help="Who may ask a control plane's debug API; repeat it.", show_default="none")
    ] = None,
    docker: Docker = False,
    docker_host: Host = None,
) -> None:
    """Make an authority and the certificates that it issues, as far as there are none yet.

    Called again with another fleet or operator it adds that one. The folder holds the authority's key: keep it where
    the machines of the swarm do not reach it, and keep a copy.
    """
    log.configure("warning", "console")
    try:
        # Where there is a PKI already, one more operator asks for no fleet.
        fleets = fleet or ([] if operator and Store(folder).exists else ["default"])
        members = [issue.control_plane(name or ()), *map(issue.fleet, fleets), issue.relay()]
        members += map(issue.operator, operator or ())
    except ValueError as error:
        wrong_use(str(error))

    def work(store: Store) -> None:
        _tell(store.init(members, _now()), "made")

    _change(folder, work, make=True, docker=docker, docker_host=docker_host)


@app.command(epilog=RENEW_EXAMPLES)
def renew(
    folder: Folder = Path("pki"),
    everything: Annotated[bool, typer.Option("--all", help="Also certificates that are not near their end.")] = False,
    authority: Annotated[bool, typer.Option("--authority", help="Take the next step to another authority.")] = False,
    docker: Docker = False,
    docker_host: Host = None,
) -> None:
    """Renew the certificates that have less than a third of their time left, each with a new key."""
    log.configure("warning", "console")

    def work(store: Store) -> None:
        if authority:
            step, changes = store.change_authority(_now())
            _tell(changes, "wrote")
            typer.echo(_NEXT[step])
            if step is not Step.RETIRED:
                typer.echo("Bring the files to every holder, and only then call this again for the next step.")
        else:
            changes = store.renew(_now(), everything=everything)
            _tell(changes, "renewed")
        if (ending := store.ending_authority(_now())) is not None:
            typer.echo(f"The authority ends on {ending:%Y-%m-%d}: replace it with --authority.", err=True)

    _change(folder, work, make=False, docker=docker, docker_host=docker_host)


def _change(folder: Path, work: Callable[[Store], None], *, make: bool, docker: bool, docker_host: str | None) -> None:
    """Change the files, one caller at a time, and publish them."""
    store = Store(folder)
    try:
        if make:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not store.exists:
            wrong_use(f"{folder} has no authority: make one with swarm-xds pki init {folder}")
        with files.locked(folder):
            work(store)
            if docker:
                asyncio.run(_publish(store, docker_host))
    except PkiError as error:
        failed(str(error))
    except OSError as error:
        failed(f"{error.filename or folder}: {error.strerror or error}")
    except (EndpointError, EngineError) as error:
        failed(str(error))


async def _publish(store: Store, docker_host: str | None) -> None:
    contents = store.contents()
    published = await with_engine(docker_host, lambda engine: secrets.publish(engine, contents))
    for name in published.made:
        typer.echo(f"made secret {name}")
    for name in published.removed:
        typer.echo(f"removed secret {name}")
    typer.echo(f"The secrets have version {published.version}: deploy with PKI_VERSION={published.version}.")


async def with_engine(docker_host: str | None, work: Callable[[Engine], Awaitable[T]]) -> T:
    """Do ``work`` with the first manager that answers.

    Raises:
        EndpointError: The Docker settings name no usable endpoint.
        EngineError: No manager answers, or it refuses.
    """
    endpoints = find_endpoints([docker_host] if docker_host else [])
    for last, endpoint in enumerate(endpoints, 1 - len(endpoints)):
        try:
            engine = await Engine.connect(endpoint)
        except EngineError:
            if not last:
                raise
            continue
        try:
            return await work(engine)
        finally:
            engine.close()
    raise AssertionError("find_endpoints gives at least one")


def _tell(changes: list[Change], done: str) -> None:
    for change in changes:
        typer.echo(f"{done} {change.name}, valid until {change.until:%Y-%m-%d}")
    if not changes:
        typer.echo("nothing to do")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
