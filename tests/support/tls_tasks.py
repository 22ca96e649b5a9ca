"""Tasks that tell what they are asked, in plain or over TLS of their own."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.certificates import Issued


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Headers and body go out together, or a delayed acknowledgement would cost each answer 40 ms.
    wbufsize = -1
    server: "Task"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {"task": self.server.name, "path": self.path, "headers": headers, "sni": self.server.sni}
        body = json.dumps(told).encode()
        self.send_response_only(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


class Task(ThreadingHTTPServer):
    """A task on loopback, from ``with`` until its end; over TLS if it has a certificate."""

    daemon_threads = True

    def __init__(self, name: str, folder: Path, certificate: Issued | None = None, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.name = name
        #: The name that the last client asked for.
        self.sni: str | None = None
        if certificate is not None:
            path = folder / f"{name}.task.pem"
            path.write_bytes(certificate.pair)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            context.sni_callback = self._named
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        """Address and port, as ``x-tasks`` has them."""
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: tests break connections."""

    def _named(self, _: Any, name: str | None, __: Any) -> None:
        self.sni = name
