"""A client that looks closely at TLS: which certificate, which protocol, which alert."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from support.certificates import Issued

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Secured:
    """What a handshake came to."""

    certificate: x509.Certificate
    version: str | None
    alpn: str | None
    cipher: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; ``told`` is what the task told, if a task answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def told(self) -> dict[str, Any]:
        """What the task was asked, as it tells."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def task(self) -> str:
        """Which task answered; empty if the edge itself did."""
        return str(self.told["task"]) if self.body.startswith("{") else ""


class Client:
    """Trusts one authority, and comes with a certificate if it has one.

    Args:
        port: Of HTTPS on loopback.
        ca: Whose certificates are good.
        folder: Where files may be written.
        certificate: The client's own.
    """

    def __init__(self, port: int, ca: Issued, folder: Path, certificate: Issued | None = None) -> None:
        self._port = port
        self._ca = ca
        self._own = None if certificate is None else folder / "client.pem"
        if certificate is not None and self._own is not None:
            self._own.write_bytes(certificate.pair)

    def context(self, alpn: tuple[str, ...] = (), highest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a context that verifies the server's chain; names are each handshake's business."""
        context = ssl.create_default_context(cadata=self._ca.cert.decode())
        context.check_hostname = False
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if highest is not None:
            context.maximum_version = highest
        if self._own is not None:
            context.load_cert_chain(self._own)
        return context

    def connect(
        self, name: str | None, *, alpn: tuple[str, ...] = (), highest: ssl.TLSVersion | None = None
    ) -> ssl.SSLSocket:
        """Return a connection whose client has named a host (SNI), or none.

        Raises:
            ssl.SSLError: The handshake was refused.
        """
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=_SECONDS)
        try:
            return self.context(alpn, highest).wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def handshake(
        self, name: str | None, *, alpn: tuple[str, ...] = (), highest: ssl.TLSVersion | None = None
    ) -> Secured:
        """Return what a handshake comes to.

        Raises:
            ssl.SSLError: It was refused.
        """
        with self.connect(name, alpn=alpn, highest=highest) as connection:
            der = connection.getpeercert(binary_form=True)
            cipher = connection.cipher()
            assert der is not None
            assert cipher is not None
            certificate = x509.load_der_x509_certificate(der)
            return Secured(certificate, connection.version(), connection.selected_alpn_protocol(), cipher[0])

    def ask(self, name: str | None, path: str = "/", *, host: str = "", **headers: str) -> Answer:
        """Ask over a connection of its own whose client has named a host; ``host`` asks for another one on it."""
        with self.connect(name, alpn=("http/1.1",)) as connection:
            request = http.client.HTTPConnection("127.0.0.1", timeout=_SECONDS)
            request.sock = connection
            request.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
            request.putheader("Host", host or name or "nobody.invalid")
            for header, value in headers.items():
                request.putheader(header.replace("_", "-"), value)
            request.endheaders()
            response = request.getresponse()
            fields = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, fields, response.read().decode())


def ask_plain(port: int, host: str, path: str = "/") -> Answer:
    """Ask over plain HTTP."""
    request = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        request.request("GET", path, headers={"Host": host})
        response = request.getresponse()
        fields = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, fields, response.read().decode())
    finally:
        request.close()
