"""The demonstration from start to stop."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from swarm_xds.app import App, Published
from swarm_xds.demo.backends import SERVICE_HEADER, Backends
from swarm_xds.demo.certificate import SelfSigned
from swarm_xds.demo.envoy import Envoy, EnvoyError
from swarm_xds.demo.probe import Probe, probes
from swarm_xds.model import Fleet
from swarm_xds.pipeline import Pipeline
from swarm_xds.problem import Problem, Severity
from swarm_xds.settings import Settings
from swarm_xds.sources.compose import ComposeSource
from swarm_xds.translate import BootstrapOptions

_SERVED_SECONDS = 10.0
#: Nobody has signed the certificate; that it is the right one is told by the alert for a host without one.
_NOT_VERIFIED = ssl.create_default_context()
_NOT_VERIFIED.check_hostname = False
_NOT_VERIFIED.verify_mode = ssl.CERT_NONE
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a demonstration runs with; the ports are preferred, and others are taken where they are not free."""

    files: tuple[Path, ...]
    envoy: Path
    http_port: int = 8080
    https_port: int = 8443


@dataclass(frozen=True, slots=True)
class _Answer:
    probe: Probe
    status: int
    service: str
    wrong: str


class Demo:
    """One run of the demonstration; use as an asynchronous context manager."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._backends = Backends()
        self._published: asyncio.Queue[Published] = asyncio.Queue()
        self._http_port = _free_port(options.http_port)
        settings = Settings(
            source="compose",
            files=options.files,
            listen="127.0.0.1:0",
            http_port=self._http_port,
            https_port=_free_port(options.https_port),
        )
        self._settings = settings
        self._app = App(
            settings,
            ComposeSource(options.files, os.environ),
            certificates=SelfSigned(_hosts(settings)),
            on_published=self._on_published,
        )
        self._envoy: Envoy | None = None
        self._app_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start everything and wait until Envoy serves the first snapshot.

        Raises:
            EnvoyError: Envoy does not start.
        """
        xds_port = await self._app.start()
        self._app_task = asyncio.create_task(self._app.follow())
        options = BootstrapOptions(
            node="demo",
            fleet=self._settings.default_fleet,
            host="127.0.0.1",
            port=xds_port,
            admin_port=_free_port(9901),
        )
        self._envoy = Envoy(self._options.envoy, options)
        with self._console.status("Starting Envoy …"):
            await self._envoy.start()
            version = await self._envoy.version()
        self._console.print(
            f"[bold]Envoy {version}[/] serves [bold]http://127.0.0.1:{self._http_port}[/] and, with a self-signed "
            f"certificate, [bold]https://127.0.0.1:{self._settings.https_port}[/]; admin {self._envoy.admin}, "
            f"xDS on port {xds_port}"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything."""
        if self._app_task is not None:
            self._app_task.cancel()
            await asyncio.gather(self._app_task, return_exceptions=True)
        if self._envoy is not None:
            await self._envoy.stop()
        await self._app.stop()
        self._backends.stop()

    async def check(self) -> bool:
        """Ask every route once, show the answers, and return whether all are as the labels promise."""
        published = await self._newest()
        self._tell_problems(published.build.problems)
        answers, _ = await self._served(self._probes(published))
        self._console.print(self._table(answers))
        if answers:
            probe = answers[0].probe
            url = f"http://127.0.0.1:{self._http_port}{probe.path}"
            self._console.print(f"Try: curl -H 'Host: {probe.host}' {url}")
        wrong = [answer for answer in answers if answer.wrong]
        for answer in wrong:
            self._console.print(f"[red]{answer.probe.url}: {escape(answer.wrong)}[/]")
        for (address, port), reason in self._backends.refused.items():
            self._console.print(f"[yellow]{address}:{port} is not answered by the demo: {escape(reason)}[/]")
        return not wrong and not any(each.severity is Severity.ERROR for each in published.build.problems)

    async def follow(self) -> None:
        """Say what each edit of the files does, until Envoy ends.

        Raises:
            EnvoyError: Envoy ended.
        """
        names = ", ".join(str(path) for path in self._options.files)
        self._console.print(f"Edit [bold]{escape(names)}[/] and save; Ctrl-C ends the demo.")
        before = self._seen
        while True:
            after = await self._next()
            await self._tell_edit(before, after)
            before = after

    def _on_published(self, published: Published) -> None:
        self._backends.follow(
            (endpoint.address, endpoint.port, backend.service)
            for fleet in published.build.model.fleets
            for backend in fleet.backends
            for endpoint in backend.endpoints
        )
        self._published.put_nowait(published)

    async def _newest(self) -> Published:
        self._seen = await self._next()
        while not self._published.empty():
            self._seen = self._published.get_nowait()
        return self._seen

    async def _next(self) -> Published:
        """Return the next publication; raise instead if the control plane or Envoy ends first."""
        assert self._envoy is not None, "enter the context first"  # noqa: S101
        assert self._app_task is not None, "enter the context first"  # noqa: S101
        edit = asyncio.create_task(self._published.get())
        ended = asyncio.create_task(self._envoy.ended())
        try:
            await asyncio.wait({edit, ended, self._app_task}, return_when=asyncio.FIRST_COMPLETED)
            if edit.done():
                return edit.result()
            if ended.done():
                raise EnvoyError(f"Envoy ended with status {ended.result()}")
            self._app_task.result()
            raise EnvoyError("the control plane ended")
        finally:
            edit.cancel()
            ended.cancel()

    def _fleet(self, published: Published) -> Fleet:
        name = self._settings.default_fleet
        return next(fleet for fleet in published.build.model.fleets if fleet.name == name)

    def _probes(self, published: Published) -> tuple[Probe, ...]:
        return probes(self._fleet(published), self._settings.edge)

    async def _tell_edit(self, before: Published, after: Published) -> None:
        """Print what an edit changed, and how long it took from the moment the file was saved."""
        saved = max((path.stat().st_mtime for path in self._options.files if path.exists()), default=time.time())
        old, new = set(self._probes(before)), set(self._probes(after))
        gone = {(probe.host, probe.path): probe for probe in old - new if not probe.secure}
        kept = {(probe.host, probe.path) for probe in new}
        unknown = self._settings.unknown_host_status
        withdrawn = [
            Probe(claim=probe.claim, host=probe.host, path=probe.path, status=unknown)
            for place, probe in gone.items()
            if place not in kept and not any(probe.host == host for host, _ in kept)
        ]
        answers, served = await self._served([*sorted(new - old), *withdrawn])
        for problem in set(before.build.problems) - set(after.build.problems):
            self._console.print(f"  [green]mended[/] {escape(str(problem))}")
        self._tell_problems(set(after.build.problems) - set(before.build.problems))
        for answer in answers:
            sign = (
                "[red]-[/]"
                if answer.probe in withdrawn
                else "[yellow]~[/]"
                if answer.probe.host in {host for host, _ in gone}
                else "[green]+[/]"
            )
            outcome = f"[red]{escape(answer.wrong)}[/]" if answer.wrong else f"{answer.status} {answer.service}"
            self._console.print(f"  {sign} {answer.probe.url} → {outcome}")
        tasks = _endpoints(self._fleet(after)), _endpoints(self._fleet(before))
        for name, endpoint in sorted(tasks[0] - tasks[1]):
            self._console.print(f"  [green]+[/] task {endpoint} of {escape(name)}")
        for name, endpoint in sorted(tasks[1] - tasks[0]):
            self._console.print(f"  [red]-[/] task {endpoint} of {escape(name)}")
        if after.changed:
            self._console.print(f"[bold]Served by Envoy {max(served - saved, 0) * 1_000:.0f} ms after the save.[/]")
        else:
            self._console.print("[bold]Nothing to change: Envoy was sent nothing.[/]")

    async def _served(self, wanted: Iterable[Probe]) -> tuple[list[_Answer], float]:
        """Ask until every answer is right or time is up; return the answers, and when Envoy served them all."""
        answers: list[_Answer] = []
        wanted = tuple(wanted)
        served = time.time()
        try:
            async with asyncio.timeout(_SERVED_SECONDS), httpx.AsyncClient(verify=_NOT_VERIFIED) as client:
                await self._app.publisher.answered()
                served = time.time()
                while True:
                    answers = [await self._ask(client, probe) for probe in wanted]
                    if not any(answer.wrong for answer in answers):
                        return answers, served
                    await asyncio.sleep(0.005)
                    served = time.time()
        except TimeoutError:
            late = "Envoy has not answered for it"
            return answers or [_Answer(probe, 0, "", late) for probe in wanted], served

    async def _ask(self, client: httpx.AsyncClient, probe: Probe) -> _Answer:
        authority = f"127.0.0.1:{self._settings.https_port if probe.secure else self._http_port}"
        url = f"{'https' if probe.secure else 'http'}://{authority}{probe.path}"
        try:
            response = await client.get(url, headers={"host": probe.host}, extensions={"sni_hostname": probe.host})
        except httpx.TransportError as error:
            return _Answer(probe, 0, "", f"no answer: {error or type(error).__name__}")
        wrong = probe.wrong(response.status_code, response.headers)
        service = response.headers.get(SERVICE_HEADER) or response.headers.get("location", "")
        return _Answer(probe, response.status_code, service, wrong)

    def _tell_problems(self, problems: Iterable[Problem]) -> None:
        for problem in sorted(problems, reverse=True):
            severity, _, rest = str(problem).partition(":")
            self._console.print(f"  [{_STYLES[problem.severity]}]{severity}[/]:{escape(rest)}")

    def _table(self, answers: Iterable[_Answer]) -> Table:
        table = Table(title="Every route, asked through Envoy", title_justify="left")
        for column in ("host", "path", "status", "answered by"):
            table.add_column(column, overflow="fold")
        for answer in answers:
            probe = answer.probe
            style = "red" if answer.wrong else "green"
            table.add_row(
                escape(f"{'https://' if probe.secure else ''}{probe.claim or '(any other)'}"),
                probe.path,
                f"[{style}]{answer.status}[/]",
                answer.service or "Envoy",
            )
        return table


def _hosts(settings: Settings) -> frozenset[str]:
    """Return the hosts that the stack files name at the start."""
    reading = ComposeSource(settings.files, os.environ).read()
    if reading is None:
        return frozenset()
    fleets = Pipeline(settings.edge, settings.default_fleet).build(reading.state).model.fleets
    return frozenset[str]().union(*(fleet.hosts for fleet in fleets)) - {"*"}


def _endpoints(fleet: Fleet) -> set[tuple[str, str]]:
    return {
        (backend.name, f"{endpoint.address}:{endpoint.port}")
        for backend in fleet.backends
        for endpoint in backend.endpoints
    }


def _free_port(preferred: int) -> int:
    """Return a free TCP port of this machine, the preferred one if it can be had."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104 - as Envoy will
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EnvoyError("no free TCP port on this machine")
