"""The engine's API, as few calls of it as the source needs, each with a time limit, and a way to make others.

In: an ``Endpoint``. Out: the engine's JSON as it came, events, or an ``EngineError``; never half an answer.
It must not know what the JSON means.

The SDK blocks, so each call runs in a thread of its own. The threads are daemons, not a pool's: an engine that hangs
must not keep the process from ending, and a pool is joined at exit. Starting one takes less than 0.1 ms.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import requests
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.types import CancellableStream

from swarm_xds.sources.docker.endpoint import Endpoint

Json: TypeAlias = Any
T = TypeVar("T")

#: Seconds that any call but the event stream may take.
CALL_TIMEOUT = 10.0
#: Characters of an error that are kept: a proxy's may be a page of HTML.
_LONGEST_REASON = 1_000

#: What the event stream is asked for.
EVENT_FILTERS = {"type": ["service", "network", "node", "secret"], "scope": ["swarm"]}


class EngineError(Exception):
    """A call to an engine failed; what it was asked for is unknown, which is not the same as absent.

    Attributes:
        status: The engine's HTTP status; 0 if it did not answer, or not in full.
    """

    def __init__(self, endpoint: Endpoint, reason: str, status: int = 0) -> None:
        super().__init__(f"{endpoint.url}: {reason}")
        self.endpoint = endpoint
        self.reason = reason
        self.status = status


class NotFoundError(EngineError):
    """The engine answered, and says that the object is not there."""


class NotManagerError(EngineError):
    """The engine answered, and says that it is no manager of a swarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change that the engine told of: ``kind`` is ``service``, ``network``, ``node`` or ``secret``."""

    kind: str
    action: str
    id: str
    name: str = ""

    def __str__(self) -> str:
        """Render as ``service web updated``."""
        return f"{self.kind} {self.name or self.id} {self.action}d"


#: Called in the event loop: with events (None for one that cannot be read), or with the error that ended the stream.
Deliver: TypeAlias = Callable[[Sequence[Event | None] | EngineError], None]


class Engine:
    """One connected engine. Every method raises ``EngineError`` for a failure of any kind."""

    def __init__(self, endpoint: Endpoint, client: APIClient, limit: float) -> None:
        self.endpoint = endpoint
        self._client: Any = client  # the SDK's types leave some of its methods untyped
        self._limit = limit

    @classmethod
    async def connect(cls, endpoint: Endpoint, *, limit: float = CALL_TIMEOUT) -> "Engine":
        """Ask the engine for its API version and return it; no call may take more than ``limit`` seconds."""

        def work() -> APIClient:
            seconds: Any = limit  # the SDK's type says int, and a float is passed on as well
            client = APIClient(base_url=endpoint.url, tls=endpoint.tls or False, version="auto", timeout=seconds)
            # Neither HTTP_PROXY nor ~/.netrc is meant for an engine, and looking them up costs more than the call.
            client.trust_env = False
            return client

        return cls(endpoint, await _in_thread(lambda: _translated(endpoint, work)), limit)

    async def services(self) -> list[Json]:
        """List every service: ``GET /services``."""
        return await self._list(lambda client: client.services())

    async def service(self, service_id: str) -> Json:
        """Read one service, or raise ``NotFoundError``: ``GET /services/{id}``."""
        return await self._one(service_id, lambda client: client.inspect_service(service_id))

    async def tasks(self, service_ids: Sequence[str]) -> list[Json]:
        """List the tasks of these services: ``GET /tasks``.

        The engine answers ``NotFoundError`` for all of them if one is not there.
        """
        return await self._list(lambda client: client.tasks(filters={"service": list(service_ids)}))

    async def networks(self) -> list[Json]:
        """List the swarm's networks: ``GET /networks``."""
        return await self._list(lambda client: client.networks(filters={"scope": "swarm"}))

    async def network(self, network_id: str) -> Json:
        """Read one network, or raise ``NotFoundError``: ``GET /networks/{id}``."""
        return await self._one(network_id, lambda client: client.inspect_network(network_id, scope="swarm"))

    async def nodes(self) -> list[Json]:
        """List the nodes: ``GET /nodes``."""
        return await self._list(lambda client: client.nodes())

    async def secrets(self) -> list[Json]:
        """List the secrets, which come without their content: ``GET /secrets``."""
        return await self._list(lambda client: client.secrets())

    async def events(self, deliver: Deliver, *, silence: float) -> "EventStream":
        """Open the event stream: ``GET /events``. It ends with an error after ``silence`` seconds without an event."""
        client, loop = self._client, asyncio.get_running_loop()

        def work() -> "EventStream":
            # Not client.events(): it has no time limit, so an engine that hangs would keep its thread for ever.
            response = client.get(
                f"{client.base_url}/v{client.api_version}/events",
                params={"filters": json.dumps(EVENT_FILTERS)},
                stream=True,
                timeout=(self._limit, silence),
            )
            if response.status_code != requests.codes.ok:
                response.close()
                raise EngineError(self.endpoint, f"GET /events: {response.status_code} {response.reason}")
            return EventStream(self.endpoint, response, loop, deliver)

        try:
            async with asyncio.timeout(self._limit):
                stream = await _in_thread(lambda: _translated(self.endpoint, work), abandon=EventStream.close)
        except TimeoutError:
            raise EngineError(self.endpoint, "GET /events: no answer in time") from None
        stream.start()
        return stream

    async def call(self, work: Callable[[Any], T]) -> T:
        """Do ``work`` with the SDK's client, and return what it returns."""
        return await _in_thread(lambda: _translated(self.endpoint, lambda: work(self._client)))

    def close(self) -> None:
        """Close the connections that no call is using."""
        self._client.close()

    async def _list(self, call: Callable[[Any], Json]) -> list[Json]:
        answer = await self.call(call)
        if not isinstance(answer, list):
            raise EngineError(self.endpoint, f"a list was asked for, the answer is {type(answer).__name__}")
        return answer

    async def _one(self, identifier: str, call: Callable[[Any], Json]) -> Json:
        try:
            answer = await self.call(call)
        except NotFoundError as error:
            # Only the engine's own "service X not found" is proof. A proxy in between that knows no such path is not.
            if identifier in error.reason:
                raise
            raise EngineError(self.endpoint, error.reason, error.status) from error
        if not isinstance(answer, dict) or identifier not in (answer.get("ID"), answer.get("Id")):
            raise EngineError(self.endpoint, f"the answer is not the object that was asked for, {identifier}")
        return answer


class EventStream:
    """An open event stream, read by a thread of its own until it is closed or ends."""

    def __init__(
        self, endpoint: Endpoint, response: requests.Response, loop: asyncio.AbstractEventLoop, deliver: Deliver
    ) -> None:
        self._endpoint = endpoint
        self._response = response
        self._loop = loop
        self._deliver = deliver
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self) -> None:
        """Close the socket, which ends the thread; nothing is delivered afterwards."""
        self._closed = True
        # The SDK's way to the socket fails in several ways on a stream that is ending by itself.
        with contextlib.suppress(Exception):
            CancellableStream(iter(()), self._response).close()
        if not self._thread.is_alive():
            self._response.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread; return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        reason = "the event stream ended"
        try:
            rest = b""
            for chunk in self._response.iter_content(chunk_size=None):
                *lines, rest = (rest + chunk).split(b"\n")
                if events := [event(line) for line in lines if line.strip()]:
                    self._post(events)
        except Exception as error:
            reason = f"the event stream broke: {error}"
        finally:
            self._response.close()
        self._post(EngineError(self._endpoint, reason))

    def _post(self, what: Sequence[Event | None] | EngineError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._hand_over, what)

    def _hand_over(self, what: Sequence[Event | None] | EngineError) -> None:
        if not self._closed:
            self._deliver(what)


def event(line: bytes) -> Event | None:
    """Return the event in one line of the stream, or None if it cannot be read."""
    try:
        raw = json.loads(line)
        actor = raw["Actor"]
        kind, action, identifier = raw["Type"], raw["Action"], actor["ID"]
        name = (actor.get("Attributes") or {}).get("name") or ""
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not all(isinstance(part, str) for part in (kind, action, identifier, name)):
        return None
    return Event(kind=kind, action=action, id=identifier, name=name)


def _translated(endpoint: Endpoint, work: Callable[[], T]) -> T:
    """Do ``work`` and turn whatever the SDK and the network raise into an ``EngineError``."""
    try:
        return work()
    except EngineError:
        raise
    except Exception as error:
        raise _engine_error(endpoint, error) from error


def _engine_error(endpoint: Endpoint, error: Exception) -> EngineError:
    """Return what an exception of the SDK's says of the engine."""
    # Over an error that is JSON and not the engine's, such as a proxy's, the SDK stumbles with an error of its own.
    answer = error if isinstance(error, DockerException) else error.__context__
    if not isinstance(answer, requests.HTTPError) or answer.response is None:
        return EngineError(endpoint, f"{type(error).__name__}: {error}")
    status = answer.response.status_code
    said = error.explanation if isinstance(error, APIError) else answer.response.text
    reason = f"{status}: {' '.join(str(said or answer).split())[:_LONGEST_REASON]}"
    if "not a swarm manager" in reason:
        return NotManagerError(endpoint, f"this engine is not a swarm manager ({reason})")
    return (NotFoundError if status == requests.codes.not_found else EngineError)(endpoint, reason, status)


async def _in_thread(work: Callable[[], T], *, abandon: Callable[[T], None] = lambda _: None) -> T:
    """Do ``work`` in a daemon thread; if cancelled, leave it to its time limit and its result to ``abandon``."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def succeed(result: T) -> None:
        if future.done():
            abandon(result)
        else:
            future.set_result(result)

    def fail(error: Exception) -> None:
        if not future.done():
            future.set_exception(error)

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(fail, error)
            return
        try:
            loop.call_soon_threadsafe(succeed, result)
        except RuntimeError:
            abandon(result)

    threading.Thread(target=run, name="docker-call", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and not future.exception():
            abandon(future.result())  # it came in the same moment
        raise
