"""Stage 5 of the arrow, the translation: from the routing model to Envoy's messages.

In: a ``Fleet`` of the routing model and the ``EdgeOptions``. Out: protobuf messages, one module a resource type.
From here on, and only from here on, Envoy's types are known. It must not know labels, Docker or gRPC.
Private keys are revealed in ``secret`` only.
"""

from swarm_xds.translate.bootstrap import BootstrapOptions, XdsTls, bootstrap, secret_files
from swarm_xds.translate.fleet import FleetMessages, translate
from swarm_xds.translate.reader import reader_configuration
from swarm_xds.translate.relay import relay_configuration
from swarm_xds.translate.secret import redacted

__all__ = [
    "BootstrapOptions",
    "FleetMessages",
    "XdsTls",
    "bootstrap",
    "reader_configuration",
    "redacted",
    "relay_configuration",
    "secret_files",
    "translate",
]
