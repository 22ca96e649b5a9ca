"""A snapshot as a static configuration; that of each golden case is shown to Envoy (``test_validates``)."""

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from google.protobuf.json_format import MessageToDict

from swarm_xds.snapshot import LISTENER, SECRET, Resource, Resources, Snapshot
from swarm_xds.snapshot.static import static
from swarm_xds.translate.wire import packed


def test_secrets_are_taken_from_the_same_configuration() -> None:
    """A name without a source is one of the static secrets."""
    context = tls_pb2.DownstreamTlsContext()
    for name in ("shop", "bank"):
        config = context.common_tls_context.tls_certificate_sds_secret_configs.add(name=name)
        config.sds_config.ads.SetInParent()
    context.common_tls_context.validation_context_sds_secret_config.name = "ca"
    context.common_tls_context.validation_context_sds_secret_config.sds_config.ads.SetInParent()
    context.session_ticket_keys_sds_secret_config.name = "tickets"
    context.session_ticket_keys_sds_secret_config.sds_config.ads.SetInParent()
    listener = listener_pb2.Listener(name="https")
    for chain in (listener.filter_chains.add(), listener.default_filter_chain):
        chain.transport_socket.name = "tls"
        chain.transport_socket.typed_config.CopyFrom(packed(context))
    secrets = [
        Resource.of(name, secret_pb2.Secret(name=name).SerializeToString())
        for name in ("bank", "ca", "shop", "tickets")
    ]
    message = static(
        Snapshot(
            {
                LISTENER: Resources([Resource.of("https", listener.SerializeToString())]),
                SECRET: Resources(secrets),
            }
        ),
        9901,
    )
    assert [each.name for each in message.static_resources.secrets] == ["bank", "ca", "shop", "tickets"]
    (made,) = message.static_resources.listeners
    assert "ads" not in str(MessageToDict(made))
    for chain in (*made.filter_chains, made.default_filter_chain):
        own = tls_pb2.DownstreamTlsContext()
        chain.transport_socket.typed_config.Unpack(own)
        assert [each.name for each in own.common_tls_context.tls_certificate_sds_secret_configs] == ["shop", "bank"]
        assert own.common_tls_context.validation_context_sds_secret_config.name == "ca"
        assert own.session_ticket_keys_sds_secret_config.name == "tickets"
