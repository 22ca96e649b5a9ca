"""The methods of the debug API: a question in, a view of what is known out."""

import asyncio
import difflib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import grpc
import idna

from swarm_xds.debug import views
from swarm_xds.debug.certificates import certificate
from swarm_xds.debug.preview import Planned, preview
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.debug.v1 import debug_pb2_grpc
from swarm_xds.explain import Facts, Question, explain
from swarm_xds.model import EdgeOptions
from swarm_xds.networks.decision import Decision
from swarm_xds.observe import (
    Answered,
    DifferenceKind,
    Event,
    Joined,
    Left,
    Phase,
    Published,
    Record,
    Refused,
    Situation,
    Standing,
)
from swarm_xds.observe.inventory import inventory
from swarm_xds.pipeline import Pipeline
from swarm_xds.snapshot import ADS_ORDER
from swarm_xds.swarm import PublishedPort, PublishMode

#: Methods and names of headers (RFC 9110, 5.6.2).
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: What needs no percent in a URL, or is one already.
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
NAME = pb.DESCRIPTOR.services_by_name["Debug"].full_name
Context = Any  # grpc.aio.ServicerContext, whose type parameters differ in each method

#: Events that are kept for a client of ``Watch`` that is too slow for them.
_KEPT = 1024
_DIFFERENCES = {
    DifferenceKind.MISSING: pb.Difference.KIND_MISSING,
    DifferenceKind.OTHER: pb.Difference.KIND_OTHER,
    DifferenceKind.EXTRA: pb.Difference.KIND_EXTRA,
    DifferenceKind.UNKNOWN: pb.Difference.KIND_UNKNOWN,
}
_NODE_EVENTS = {
    Joined: pb.NodeEvent.KIND_JOINED,
    Left: pb.NodeEvent.KIND_LEFT,
    Refused: pb.NodeEvent.KIND_REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is asked beside the record.

    Attributes:
        pipeline: Makes a pipeline like the one that serves, which has built nothing yet.
        decision: What the network manager is about to do; None where it does nothing.
        reading_age: Seconds since the source was last read well; None if it never was.
        reading_limit: Age in seconds from which on the source counts as away.
        edge: What edges do apart from any service.
        wall: Seconds since the epoch.
    """

    pipeline: Callable[[], Pipeline]
    decision: Callable[[], Decision | None]
    reading_age: Callable[[], float | None]
    reading_limit: float
    edge: EdgeOptions
    wall: Callable[[], float]


class Debug(debug_pb2_grpc.DebugServicer):
    """The service."""

    def __init__(self, record: Record, probe: Probe) -> None:
        self._record = record
        self._probe = probe
        self._planning = asyncio.Lock()

    async def ListRoutes(self, request: pb.ListRoutesRequest, context: Context) -> pb.ListRoutesResponse:
        """See the API's definition, as for all methods."""
        model = (await self._situation(context)).build.model
        await self._check_fleet(request.fleet, context)
        fleets = [fleet for fleet in model.fleets if request.fleet in {"", fleet.name}]
        return pb.ListRoutesResponse(routes=views.routes(fleets))

    async def ListServices(self, _: pb.ListServicesRequest, context: Context) -> pb.ListServicesResponse:
        """All services."""
        return pb.ListServicesResponse(services=views.services(await self._situation(context)))

    async def ListProblems(self, request: pb.ListProblemsRequest, context: Context) -> pb.ListProblemsResponse:
        """All problems."""
        situation = await self._situation(context)
        found = situation.build.problems
        names = {*(each.name for each in situation.state.services), *(each.service for each in found)}
        if request.service not in names | {""}:
            told = f"no service {request.service} carries a label of ours{_guess(request.service, names)}"
            await context.abort(grpc.StatusCode.NOT_FOUND, told)
        return pb.ListProblemsResponse(problems=views.problems(found, request.at_least, request.service))

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """All proxies."""
        await self._check_fleet(request.fleet, context)
        members = [each for each in self._record.members if request.fleet in {"", each.fleet}]
        return pb.ListNodesResponse(nodes=[views.node(member) for member in members])

    async def ListNetworks(self, _: pb.ListNetworksRequest, context: Context) -> pb.ListNetworksResponse:
        """All networks that are routed to."""
        return views.networks(await self._situation(context), self._probe.decision())

    async def ListCertificates(self, _: pb.ListCertificatesRequest, context: Context) -> pb.ListCertificatesResponse:
        """All certificates."""
        found = inventory(await self._situation(context))
        return pb.ListCertificatesResponse(certificates=[certificate(each) for each in found])

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: Context) -> pb.GetSnapshotResponse:
        """A fleet's resources."""
        snapshots = (await self._situation(context)).build.snapshots
        fleet = request.fleet or snapshots.default
        if fleet not in snapshots.fleets:
            known = ", ".join(sorted(snapshots.fleets))
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service names fleet {fleet}; there are {known}")
        if request.type_url not in {"", *ADS_ORDER}:
            told = f"{request.type_url} is no type that is served; there are {', '.join(ADS_ORDER)}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, told)
        # Redaction takes every resource apart.
        return await asyncio.to_thread(views.snapshot, fleet, snapshots.of(fleet), request.type_url)

    async def Diff(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        """What proxies do not have."""
        await self._situation(context)
        await self._check_fleet(request.fleet, context)
        await self._check_node(request, context)
        return pb.DiffResponse(
            differences=[
                pb.Difference(
                    fleet=each.fleet,
                    node=each.node,
                    type_url=each.type_url,
                    name=each.name,
                    kind=_DIFFERENCES[each.kind],
                    refused=each.refused,
                )
                for each in self._record.differences(request.fleet, request.node)
            ]
        )

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        """Why a request reaches what it reaches."""
        situation = await self._situation(context)
        try:
            question = _question(request)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        decision, probe = self._probe.decision(), self._probe
        facts = Facts(
            state=situation.state,
            build=situation.build,
            members=self._record.members,
            edge=probe.edge,
            waiting={(each.step.fleet, each.step.network): each.reason for each in decision.later} if decision else {},
            reading_age=probe.reading_age(),
            reading_limit=probe.reading_limit,
            now=probe.wall(),
        )
        return views.explanation(explain(question, facts))

    async def Plan(self, request: pb.PlanRequest, context: Context) -> pb.PlanResponse:
        """What a deployment would change."""
        situation = await self._situation(context)
        if not all(each.name for each in request.services):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a service has no name")
        planned = [_planned(each) for each in request.services]
        # It builds everything twice, which for a large swarm would hold up the streams; one at a time is enough.
        async with self._planning:
            found = await asyncio.to_thread(
                preview, situation, planned, list(request.stacks), self._probe.pipeline(), list(request.secrets)
            )
        response = pb.PlanResponse(
            problems_new=[views.problem(each) for each in found.new],
            problems_gone=[views.problem(each) for each in found.gone],
        )
        for each in found.changes:
            action = pb.PlannedChange.ACTION_CHANGE
            if not each.before:
                action = pb.PlannedChange.ACTION_ADD
            elif not each.after:
                action = pb.PlannedChange.ACTION_REMOVE
            response.changes.add(
                action=action,
                what=str(each.what),
                fleet=each.fleet,
                name=each.name,
                before=each.before,
                after=each.after,
            )
        return response

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        """What happens."""
        inbox = _Inbox()
        end = self._record.listen(inbox.put)
        try:
            await context.send_initial_metadata(())
            for change in self._record.changes[-request.last :] if request.last else ():
                yield pb.WatchResponse(at=views.timestamp(change.at), change=views.change(change))
            while True:
                events, lost = await inbox.take()
                now = views.timestamp(self._probe.wall())
                if lost:
                    yield pb.WatchResponse(at=now, lost=lost)
                for event in events:
                    if isinstance(event, Published) and event.change.phase is not Phase.PUBLISHED:
                        continue  # There was nobody to wait for, so that its answer comes at once, and says the same.
                    if isinstance(event, Published | Answered):
                        yield pb.WatchResponse(at=now, change=views.change(event.change))
                    elif isinstance(event, Joined | Left | Refused):
                        yield pb.WatchResponse(at=now, node=_node_event(event))
        finally:
            end()

    async def _situation(self, context: Context) -> Situation:
        situation = self._record.situation
        if situation is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "nothing was read yet")
        assert situation is not None, "abort raises"  # noqa: S101 - for the type checker
        return situation

    async def _check_fleet(self, fleet: str, context: Context) -> None:
        """End the call if nobody is of a fleet: an empty answer would say that all is well with it."""
        known = {each.fleet for each in self._record.members}
        if fleet in known | {""}:
            return
        # Whether a service names it is not known before the first reading.
        known |= {each.name for each in (await self._situation(context)).build.model.fleets}
        if fleet not in known:
            told = f"neither a service nor a proxy is of fleet {fleet}; there are {', '.join(sorted(known))}"
            await context.abort(grpc.StatusCode.NOT_FOUND, told)

    async def _check_node(self, request: pb.DiffRequest, context: Context) -> None:
        """End the call if no proxy of the fleet has the name, or each has gone: no difference would say all is well."""
        name, fleet = request.node, request.fleet
        members = [each for each in self._record.members if fleet in {"", each.fleet}]
        named = [each for each in members if each.node == name]
        if name and not named:
            told = f"no proxy {name} was here{f' in fleet {fleet}' if fleet else ''}"
            told += _guess(name, {each.node for each in members})
            await context.abort(grpc.StatusCode.NOT_FOUND, told)
        if name and all(each.standing is Standing.GONE for each in named):
            told = f"proxy {name} has gone, so what it has is not known; nodes says since when"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, told)


def _guess(name: str, names: Iterable[str]) -> str:
    """Return which name may have been meant; people leave out a stack's."""
    known = sorted(names)
    near = [each for each in known if each.endswith(f"_{name}")] or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


class _Inbox:
    """Events for one client; the oldest are dropped if it does not take them."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._lost = 0
        self._arrived = asyncio.Event()

    def put(self, event: Event) -> None:
        if len(self._events) == _KEPT:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._arrived.set()

    async def take(self) -> tuple[list[Event], int]:
        await self._arrived.wait()
        self._arrived.clear()
        events, lost = list(self._events), self._lost
        self._events.clear()
        self._lost = 0
        return events, lost


def _question(request: pb.ExplainRequest) -> Question:
    """Return what is asked.

    Raises:
        ValueError: The URL is none, or the method, or a header's name.
    """
    url = request.url if "://" in request.url else f"http://{request.url}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and not any(each.isspace() for each in parts.netloc)
    except ValueError:
        usable = False
    if not usable or not parts.hostname:
        raise ValueError(f'"{request.url}" is no URL of http or https, such as http://app.example.org/path')
    method = request.method or "GET"
    for what, text in (("method", method), *(("name of a header", each) for each in request.headers)):
        if not _TOKEN.fullmatch(text):
            raise ValueError(f'"{text}" is no {what}')
    headers = {name.lower(): value.strip() for name, value in sorted(request.headers.items())}
    name = _ascii(parts.hostname)
    host = _host(headers["host"]) if "host" in headers else name
    return Question(
        scheme=parts.scheme,
        host=host,
        tls_name=name if host != name else "",
        # As clients send it.
        path=quote(parts.path or "/", safe=_ASCII),
        query=quote(parts.query, safe=_ASCII),
        method=method,
        headers=tuple(headers.items()),
        fleet=request.fleet,
    )


def _host(header: str) -> str:
    """Return the host of a header ``Host``, which may have a port.

    Raises:
        ValueError: It names no host.
    """
    try:
        host = urlsplit(f"//{header}").hostname
    except ValueError:
        host = None
    if not host:
        raise ValueError(f'"{header}" is no host')
    return _ascii(host)


def _ascii(host: str) -> str:
    """Return a host name as it goes over the wire; one that is no name at all as it is."""
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return host


def _planned(service: pb.PlannedService) -> Planned:
    ports = [
        PublishedPort(
            target=port.target,
            published=port.published,
            mode=PublishMode.HOST if port.host_mode else PublishMode.INGRESS,
        )
        for port in service.ports
    ]
    return Planned(
        name=service.name,
        stack=service.stack,
        labels=tuple(sorted(service.labels.items())),
        networks=tuple(service.networks),
        ports=tuple(sorted(ports)),
    )


def _node_event(event: Joined | Left | Refused) -> pb.NodeEvent:
    message = pb.NodeEvent(kind=_NODE_EVENTS[type(event)], fleet=event.fleet, node=event.node)
    if isinstance(event, Refused):
        message.type_url = event.type_url
        message.refusal.CopyFrom(views.refusal(event.refusal))
    else:
        message.address = event.address
    return message
