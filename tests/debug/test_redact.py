"""No secret leaves the API, however deep it stands."""

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.basic_auth.v3 import basic_auth_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from swarm_xds.debug.redact import REDACTED, redacted
from swarm_xds.snapshot import LISTENER, SECRET

KEY = "-----BEGIN PRIVATE KEY-----"


def source(text: str = KEY) -> base_pb2.DataSource:
    """Return a text as Envoy has it."""
    return base_pb2.DataSource(inline_string=text)


SECRETS = [
    pytest.param(
        secret_pb2.Secret(
            name="a",
            tls_certificate=common_pb2.TlsCertificate(
                certificate_chain=source("chain"),
                private_key=base_pb2.DataSource(inline_bytes=KEY.encode()),
                password=source(),
            ),
        ),
        id="a key and its password",
    ),
    pytest.param(
        secret_pb2.Secret(name="a", session_ticket_keys=common_pb2.TlsSessionTicketKeys(keys=[source(), source()])),
        id="session tickets",
    ),
    pytest.param(secret_pb2.Secret(name="a", generic_secret=secret_pb2.GenericSecret(secret=source())), id="generic"),
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_keeps_its_form_and_loses_its_content(secret: Message) -> None:
    """One still sees that there is one."""
    value = secret.SerializeToString()
    assert KEY.encode() in value
    clean = redacted(SECRET, value)
    assert KEY.encode() not in clean.value
    assert REDACTED.encode() in clean.value
    assert clean.Is(secret_pb2.Secret.DESCRIPTOR)


def test_what_is_no_secret_stays() -> None:
    """A certificate is public."""
    (param,) = SECRETS[:1]
    clean = secret_pb2.Secret()
    redacted(SECRET, param.values[0].SerializeToString()).Unpack(clean)
    assert clean.tls_certificate.certificate_chain.inline_string == "chain"


def test_a_filter_deep_in_a_listener_is_reached() -> None:
    """Through two layers of packed messages."""
    auth, manager = Any(), Any()
    auth.Pack(basic_auth_pb2.BasicAuth(users=source("bob:hash")))
    connections = http_connection_manager_pb2.HttpConnectionManager(stat_prefix="http")
    connections.http_filters.add(name="auth", typed_config=auth)
    router = connections.http_filters.add(name="router")
    router.typed_config.Pack(router_pb2.Router())
    manager.Pack(connections)
    listener = listener_pb2.Listener(name="http")
    listener.filter_chains.add().filters.add(name="http", typed_config=manager)
    clean = redacted(LISTENER, listener.SerializeToString())
    assert b"bob" not in clean.value
    assert b"router" in clean.value


def test_a_message_that_cannot_be_read_is_emptied() -> None:
    """Of a type that is not known, or broken."""
    assert redacted("type.googleapis.com/no.such.Type", KEY.encode()).value == b""
    assert redacted(SECRET, b"\xff\xff\xff").value == b""
