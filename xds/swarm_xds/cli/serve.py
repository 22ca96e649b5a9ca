"""``swarm-xds serve``: the control plane. Its options are the settings, one for one."""

import asyncio
import inspect
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from swarm_xds import log, native
from swarm_xds.app import serve as run
from swarm_xds.cli.output import failed, wrong_use
from swarm_xds.given import PREFIX, SettingsError
from swarm_xds.server import AddressError, CertificateError
from swarm_xds.server.handshakes import Handshakes
from swarm_xds.settings import Settings, load
from swarm_xds.sources.docker import EndpointError

EXAMPLES = """Examples:

swarm-xds serve --source compose stack.yml --http-port 8080

swarm-xds serve --source docker --listen 0.0.0.0:18000 --tls-ca ca.pem --tls-cert xds.pem --tls-key xds.key

SWARM_XDS_SOURCE=docker SWARM_XDS_LOG_FORMAT=json swarm-xds serve

Each option is also an environment variable (SWARM_XDS_HTTP_PORT) and a key of the file of --config (http_port)."""


def serve(files: list[Path] | None = None, config: Path | None = None, **given: str | None) -> None:
    """Run the control plane: read labels, and stream Envoy's configuration to every proxy that connects."""
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if files:
        values["files"] = tuple(files)
    try:
        settings = load(values, os.environ, config)
    except SettingsError as error:
        wrong_use(str(error))
    if settings.source == "compose" and not settings.files:
        wrong_use("source compose needs stack files: swarm-xds serve --source compose FILE...")
    if settings.source == "docker" and settings.files:
        wrong_use("stack files are read with --source compose only")
    handshakes = Handshakes()
    with native.lines(handshakes.take):
        log.configure(settings.log_level, settings.log_format)
        try:
            asyncio.run(_until_told(settings, handshakes))
        except (AddressError, CertificateError, EndpointError) as error:
            failed(str(error))


async def _until_told(settings: Settings, handshakes: Handshakes) -> None:
    """Serve until SIGTERM or SIGINT."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await run(settings, handshakes)
    except asyncio.CancelledError:
        if not stopped:
            raise
        structlog.get_logger("swarm_xds").info("stopped")


def _option(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    flag = "--" + name.replace("_", "-")
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    default = ",".join(str(value) for value in values if value is not None)
    option = typer.Option(
        flag,
        help=f"{field.description} [{PREFIX}{name.upper()}; default: {default or 'none'}]",
        show_default=False,
        metavar="VALUE",
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter(
            "files",
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[
                list[Path] | None, typer.Argument(metavar="[FILE...]", help="Stack files, with source compose.")
            ],
        ),
        inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")],
        ),
        *(_option(name) for name in Settings.model_fields if name != "files"),
    ]
)
