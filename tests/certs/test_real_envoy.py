"""What the checks let through, the real Envoy loads; what they refuse on its account, it refuses."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat

from support.certificates import Issued, authority, issue
from swarm_xds.certs import check

pytestmark = pytest.mark.envoy
_TYPES = "type.googleapis.com/envoy.extensions"


def listener(number: int, chain: bytes, key: bytes) -> dict[str, Any]:
    """Return a listener that serves a certificate."""
    certificate = {
        "certificate_chain": {"inline_string": chain.decode()},
        "private_key": {"inline_string": key.decode()},
    }
    return {
        "name": f"listener {number}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20_000 + number}},
        "filter_chains": [
            {
                "filters": [
                    {"name": "echo", "typed_config": {"@type": f"{_TYPES}.filters.network.echo.v3.Echo"}},
                ],
                "transport_socket": {
                    "name": "tls",
                    "typed_config": {
                        "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
                        "common_tls_context": {"tls_certificates": [certificate]},
                    },
                },
            }
        ],
    }


def validate(envoy: Path, folder: Path, pairs: Sequence[tuple[bytes, bytes]]) -> str:
    """Return why Envoy refuses to serve these; empty if it takes all."""
    config = folder / "envoy.json"
    listeners = [listener(number, *pair) for number, pair in enumerate(pairs)]
    config.write_text(json.dumps({"static_resources": {"listeners": listeners}}), encoding="utf-8")
    command = [str(envoy), "--mode", "validate", "-c", str(config), "--log-level", "warning"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.stderr if result.returncode else ""


def test_envoy_loads_what_is_let_through(envoy_binary: Path, tmp_path: Path) -> None:
    """Each kind of key, each form of a file, a mended chain, and one that has expired."""
    root = authority()
    middle = root.issue(subject="Middle", ca=True)
    leaf = middle.issue("a.example.org")
    keys = [
        *(ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())),
        *(rsa.generate_private_key(65537, bits) for bits in (2048, 4096)),
        ed25519.Ed25519PrivateKey.generate(),
    ]
    contents = [
        *(issue("a.example.org", key=key).pair for key in keys),
        *(
            each.cert + each.key_as(PrivateFormat.TraditionalOpenSSL)
            for each in (issue("a.example.org", key=key) for key in (keys[0], keys[3]))
        ),
        (root.cert + middle.cert + leaf.pair).replace(b"\n", b"\r\n"),
        issue("a.example.org", days=(-2, -1)).pair,
    ]
    pairs = []
    for content in contents:
        material = check.read("site.pem", content).material
        assert material.chain is not None, material.reason
        assert material.key is not None
        pairs.append((material.chain.pem, material.key.reveal()))
    assert validate(envoy_binary, tmp_path, pairs) == ""


@pytest.mark.parametrize(
    "issued",
    [
        pytest.param(issue("a", key=ec.generate_private_key(ec.SECP224R1())), id="P-224"),
        pytest.param(issue("a", key=ec.generate_private_key(ec.SECP256K1())), id="secp256k1"),
        pytest.param(issue("a", key=rsa.generate_private_key(65537, 1024)), id="RSA of 1024 bits"),
        pytest.param(
            issue("a", extensions=[x509.TLSFeature([x509.TLSFeatureType.status_request])]),
            id="must-staple",
        ),
    ],
)
def test_envoy_refuses_what_is_refused_on_its_account(envoy_binary: Path, tmp_path: Path, issued: Issued) -> None:
    """It would reject the whole resource."""
    assert check.read("site.pem", issued.pair).material.reason
    assert validate(envoy_binary, tmp_path, [(issued.cert, issued.key)])
