"""Connections that last as long as a test, and what broke them: a WebSocket in use, and a download that trickles.

with Unbroken("10.78.0.1", "app.example.org") as connections:
    ...  # change things
assert not connections.breaks
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

#: Seconds between two messages of the WebSocket, and for which either connection may be silent.
PAUSE, SILENCE = 0.1, 30.0


class Unbroken:
    """A WebSocket to ``/ws`` and a download of ``/slow``, through one edge, to the lab's application.

    Attributes:
        breaks: What went wrong with either of them.
        messages: Messages that the WebSocket said back.
        lines: Lines of the download.
    """

    def __init__(self, address: str, host: str, *, limit: float = 3600) -> None:
        self.breaks: list[str] = []
        self.messages = 0
        self.lines = 0
        self._address, self._host, self._limit = address, host, limit
        self._stop = threading.Event()
        self._begun = {"websocket": threading.Event(), "download": threading.Event()}
        self._threads = [
            threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
            for name, work in (("websocket", self._talk), ("download", self._download))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        for name, event in self._begun.items():
            if not event.wait(60) or self.breaks:
                self._stop.set()
                raise RuntimeError(f"no {name} was opened: {self.breaks}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SILENCE + 5)
        if error is not None:
            error.add_note(self.summary())

    def summary(self) -> str:
        """Say in a line how it went."""
        return f"{self.messages} messages of a WebSocket, {self.lines} lines of a download, broken: {self.breaks}"

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, WebSocketException, httpx.HTTPError) as error:
            self.breaks.append(f"{name}: {type(error).__name__}: {error}")
        else:
            if not self._stop.is_set():
                self.breaks.append(f"{name}: it ended")
        self._begun[name].set()

    def _talk(self) -> None:
        line = socket.create_connection((self._address, 80), timeout=SILENCE)
        with connect(f"ws://{self._host}/ws", sock=line, ping_interval=None, compression=None) as channel:
            while not self._stop.wait(PAUSE):
                channel.send(f"message {self.messages}")
                said = channel.recv(timeout=SILENCE)
                if said != f"message {self.messages}":
                    raise OSError(f"{said!r} came back for message {self.messages}")
                self.messages += 1
                self._begun["websocket"].set()
            with suppress(WebSocketException):
                channel.close()

    def _download(self) -> None:
        url = f"http://{self._address}/slow"
        with (
            httpx.Client(timeout=SILENCE, trust_env=False) as client,
            client.stream("GET", url, params={"seconds": self._limit}, headers={"host": self._host}) as response,
        ):
            response.raise_for_status()
            for line in response.iter_lines():
                number = int(line.rpartition(" ")[2])
                if number != self.lines:
                    raise OSError(f"line {number} came instead of {self.lines}")
                self.lines += 1
                self._begun["download"].set()
                if self._stop.is_set():
                    return
