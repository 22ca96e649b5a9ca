"""Why a control plane could not be reached: one more connection, by Python's own TLS, which says what gRPC does not.

gRPC tells a refused client certificate as "Socket closed" and puts OpenSSL's words for all else into a sentence that
is not meant for programs. In: a target that did not answer. Out: one sentence, with what to do.
"""

import socket
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from swarm_xds.cli.ask.contexts import Target

_SECONDS = 5.0
_SILENT = "no answer; is it running, and is debug_listen set?"
#: OpenSSL's numbers of what is wrong with the server's certificate (X509_V_ERR_*).
_EXPIRED, _OTHER_NAME = 10, 62


def why_not(target: Target, server_name: str) -> str:
    """Return why there is no answer.

    Args:
        target: Whom nobody got through to.
        server_name: The name that its certificate has to have, where TLS is spoken.
    """
    host, _, port = target.address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS) as connection:
            return _encrypted(target, server_name, connection) if target.encrypted else _plain(connection)
    except socket.gaierror as error:
        return f"{host}: {error.strerror}"
    except ConnectionRefusedError:
        return f"connection refused: {_SILENT.partition('; ')[2]}"
    except OSError as error:
        return f"{error.strerror or error}; {_SILENT.partition('; ')[2]}"


def _plain(connection: socket.socket) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_socket(connection).close()
    except OSError:  # ssl.SSLError is one
        return _SILENT
    return "it speaks TLS, and answers operators: give --ca, --cert and --key, or a context that has them"


def _encrypted(target: Target, server_name: str, connection: socket.socket) -> str:
    context = ssl.create_default_context(cafile=target.ca)
    context.load_cert_chain(target.cert, target.key)
    context.set_alpn_protocols(["h2"])
    try:
        secured = context.wrap_socket(connection, server_hostname=server_name)
    except ssl.SSLCertVerificationError as error:
        return _unverified(target, server_name, error)
    except ssl.SSLError as error:
        if error.reason in {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING"}:
            return "it does not speak TLS: leave --ca, --cert and --key out, or take them out of the context"
        return f"TLS failed: {error.reason or error}"
    with secured:
        try:
            # With TLS 1.3 a server judges the client's certificate after the client's handshake, and gRPC's then ends
            # the connection without the alert that would say why.
            taken = bool(secured.recv(1))
        except TimeoutError:
            taken = True
        except OSError:  # ssl.SSLError is one
            taken = False
    return _SILENT if taken else _refused(target)


def _refused(target: Target) -> str:
    """Return what speaks against one's own certificate, by what can be seen from here."""
    own, *_ = x509.load_pem_x509_certificates(Path(target.cert).read_bytes())
    try:
        usages = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        return f"{target.cert} is not for clients: make one with swarm-xds pki init --operator NAME"
    authorities = x509.load_pem_x509_certificates(Path(target.ca).read_bytes())
    if own.issuer not in [each.subject for each in authorities]:
        return (
            f"it has refused {target.cert}, which is of another authority than its own: take both of one swarm-xds pki"
        )
    return f"it has refused {target.cert}: does its tls_ca hold the authority, and is its clock right?"


def _unverified(target: Target, server_name: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has ended: renew it with swarm-xds pki renew"
    if error.verify_code == _OTHER_NAME:
        return f"its certificate does not name {server_name}: is it the control plane? --server-name names another"
    return f"no authority in {target.ca} has issued its certificate: {error.verify_message}"
