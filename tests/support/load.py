"""A constant load on a few addresses, and what came of it.

It runs on a thread and an event loop of its own, so that whatever the test does meanwhile does not slow it. Requests
start at their due time whether or not earlier ones have been answered::

    async with Load(["http://10.78.0.1/", "http://10.78.0.2/"], "app.example.org", rate=50) as load:
        ...  # change things
    assert not load.failures, load.summary()
"""

import asyncio
import json
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

import h11

#: Seconds until a connection counts as refused, and for which a load balancer leaves what refused it.
CONNECT, LEAVE = 5.0, 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to.

    Attributes:
        at: When it started, in seconds since the load began.
        seconds: How long it took.
        status: 0 if there was no answer.
        body: The answer's text; the error if there was none.
    """

    at: float
    url: str
    seconds: float
    status: int
    body: str


def is_success(answer: Answer) -> bool:
    """Tell whether the application answered."""
    return answer.status == HTTPStatus.OK


class Load:
    """``rate`` requests a second on each URL, from ``with`` (or ``async with``) until its end.

    Attributes:
        answers: Of every request that has ended, in the order of their ends. Safe to read while the load runs.
        limit: The load ends by itself after so many seconds: nothing that hangs loads for ever.
        accept: Tells a success from a failure; by default it is status 200.
        tls: For URLs of ``https``: whom to trust, and who asks. The host is the name that is asked for.
        keep: Use connections again; without it, each request makes one of its own, with a handshake of its own.
        balance: Be a load balancer in front of the URLs: one that takes no connection is left for a moment, and its
            requests go to the next. Without it, each of these requests is a failure.
        refused: When and where no connection was taken, so that no byte of a request was sent; not a failure.
        unheard: When and where a new connection was closed before any byte of an answer. When a listener closes, the
            kernel does so to what was not accepted yet; a load balancer tries a request without effects elsewhere.
    """

    def __init__(
        self,
        urls: Sequence[str],
        host: str,
        *,
        rate: float = 50,
        timeout: float = 30,
        limit: float = 400,
        accept: Callable[[Answer], bool] = is_success,
        balance: bool = False,
        tls: ssl.SSLContext | None = None,
        keep: bool = True,
    ) -> None:
        self.urls, self.host, self.rate, self.timeout, self.limit, self.accept = (
            urls,
            host,
            rate,
            timeout,
            limit,
            accept,
        )
        self.balance, self.tls, self.keep = balance, tls, keep
        self.answers: list[Answer] = []
        self.refused: list[tuple[float, str]] = []
        self.unheard: list[tuple[float, str]] = []
        self._back: dict[str, float] = {}
        self._idle: dict[str, list[Connection]] = defaultdict(list)
        self._start = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self.timeout + 10)
        if error is not None:
            error.add_note(self.summary())
        elif self._error is not None:
            raise self._error

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    @property
    def elapsed(self) -> float:
        """Seconds since the load began: compare with ``Answer.at``."""
        return time.monotonic() - self._start

    @property
    def failures(self) -> list[Answer]:
        """Requests that were not answered as they should be."""
        return [answer for answer in self.answers if not self.accept(answer)]

    def percentile(self, percent: float) -> float:
        """Return how many seconds ``percent`` of the answers took at most."""
        times = sorted(answer.seconds for answer in self.answers)
        return times[min(len(times) - 1, int(len(times) * percent / 100))] if times else 0.0

    def who(self, key: str = "task", since: float = 0, url: str = "") -> Counter[str]:
        """Count successes by one field of their JSON bodies, of requests that started ``since`` then."""
        return Counter(
            str(json.loads(answer.body)[key])
            for answer in list(self.answers)
            if answer.at >= since and url in ("", answer.url) and is_success(answer)
        )

    def summary(self) -> str:
        """Say in a few lines how the load went."""
        failures = self.failures
        median, tail, most = (f"{self.percentile(percent) * 1000:.1f} ms" for percent in (50, 99, 100))
        head = f"{len(self.answers)} requests in {self.elapsed:.1f} s, {len(failures)} failed"
        lines = [f"{head}; median {median}, 99 % {tail}, most {most}"]
        for what, moments in (("refused", self.refused), ("unheard", self.unheard)):
            for url, count in Counter(url for _, url in moments).items():
                times = [at for at, where in moments if where == url]
                lines.append(f"  {count} {what} by {url}, {min(times):.2f} s to {max(times):.2f} s")
        reasons = Counter((failure.url, failure.status, failure.body[:120]) for failure in failures)
        for (url, status, body), count in reasons.most_common(10):
            times = [failure.at for failure in failures if (failure.url, failure.status) == (url, status)]
            lines.append(f"  {count} x {status} {body!r} from {url}, {min(times):.2f} s to {max(times):.2f} s")
        return "\n".join(lines)

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # told to the test's own thread
            self._error = error

    async def _run(self) -> None:
        due, pending = 0.0, set[asyncio.Task[None]]()
        while not self._stop.is_set() and due < self.limit:
            for url in self.urls:
                task = asyncio.create_task(self._request(url))
                pending.add(task)
                task.add_done_callback(pending.discard)
            due += 1 / self.rate
            await asyncio.sleep(max(0, due - self.elapsed))
        await asyncio.gather(*pending)
        for connections in self._idle.values():
            for connection in connections:
                await connection.close()

    async def _request(self, url: str) -> None:
        at = self.elapsed
        try:
            async with asyncio.timeout(self.timeout):
                url, status, body = await (self._balanced if self.balance else self._exchange)(url)
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            status, body = 0, f"{type(error).__name__}: {error}"
        self.answers.append(Answer(at, url, self.elapsed - at, status, body))

    async def _balanced(self, url: str) -> tuple[str, int, str]:
        first = self.urls.index(url)
        order = [*self.urls[first:], *self.urls[:first]]
        for each in sorted(order, key=lambda each: self._back.get(each, 0) > self.elapsed):
            try:
                return await self._exchange(each)
            except _RefusedError:
                self.refused.append((self.elapsed, each))
            except _UnheardError:
                self.unheard.append((self.elapsed, each))
            self._back[each] = self.elapsed + LEAVE
        raise OSError("no edge took a connection")

    async def _exchange(self, url: str) -> tuple[str, int, str]:
        parts = urlsplit(url)
        idle = self._idle[url]
        while idle and idle[-1].reader.at_eof():
            await idle.pop().close()
        fresh = not idle
        connection = idle.pop() if idle else await self._connect(parts)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            status, body = await connection.get(target or "/", self.host, close=not self.keep)
        except BaseException as error:
            connection.writer.transport.abort()
            if fresh and not connection.heard and isinstance(error, OSError | h11.ProtocolError):
                raise _UnheardError(f"closed before any answer: {error}") from error
            raise
        if connection.reusable():
            idle.append(connection)
        else:
            await connection.close()
        return url, status, body

    async def _connect(self, parts: SplitResult) -> "Connection":
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return await Connection.open(parts.hostname or "", port, self.tls if secure else None, self.host)


class _RefusedError(OSError):
    """No connection was made."""


class _UnheardError(OSError):
    """A new connection ended before any byte of an answer."""


@dataclass
class Connection:
    """A kept HTTP/1.1 connection.

    httpx took eight times the CPU: at a few hundred requests a second more than what is under test.

    Attributes:
        heard: Whether any byte of an answer came.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection
    heard: bool = False

    @classmethod
    async def open(
        cls, host: str, port: int, tls: ssl.SSLContext | None = None, name: str = "", *, seconds: float = CONNECT
    ) -> Self:
        """Connect in so many seconds; ``name`` is the one that TLS asks for."""
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=tls, server_hostname=name if tls else None
                )
        except (OSError, TimeoutError) as error:
            raise _RefusedError(f"{type(error).__name__}: {error}") from error
        return cls(reader, writer, h11.Connection(h11.CLIENT))

    async def get(self, target: str, host: str, *, close: bool = False) -> tuple[int, str]:
        """Return the status, 0 if there was none, and the body."""
        headers = [("host", host), *([("connection", "close")] if close else [])]
        head = self.state.send(h11.Request(method="GET", target=target, headers=headers))
        self.writer.write((head or b"") + (self.state.send(h11.EndOfMessage()) or b""))
        status, body = 0, bytearray()
        while not isinstance(event := self.state.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                data = await self.reader.read(65_536)
                self.heard = self.heard or bool(data)
                self.state.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        if not self.heard:
            raise ConnectionResetError("closed without an answer")
        return status, body.decode(errors="replace")

    def reusable(self) -> bool:
        """Prepare for another request, if the server lets the connection stay."""
        if self.state.our_state is not h11.DONE or self.state.their_state is not h11.DONE or self.reader.at_eof():
            return False
        self.state.start_next_cycle()
        return True

    async def close(self) -> None:
        """End it."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()
