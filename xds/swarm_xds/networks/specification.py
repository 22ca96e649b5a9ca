"""Services as the engine is to run them: relays, and fleets' own services after a change. Pure.

In: a ``RelaySpec``; a specification and a ``FleetChange``. Out: the arguments of the engine's API (1.41). It must not
know why.
"""

from collections.abc import Mapping
from typing import Any

from swarm_xds.networks.decision import FleetChange
from swarm_xds.networks.wanted import RelaySpec, SecretFile
from swarm_xds.swarm.marks import (
    ATTACHED,
    FINGERPRINT_LABEL,
    READER_LABEL,
    RELAY_FLEET_LABEL,
    RELAY_LABEL,
    STACK_LABEL,
)

_CONFIGURATION = "/etc/envoy/relay.yaml"
_COMMAND = ("envoy", "--config-path", _CONFIGURATION, "--disable-hot-restart", "--log-level", "warning")
_SECOND = 10**9
_STOP_GRACE = 5 * _SECOND
_RESTART_DELAY = 1 * _SECOND
#: Room for what a library may want to write; the rest of the file system is read-only.
_TMP_BYTES = 8 * 1024 * 1024
#: Envoy's own user in its images, so that nobody else in the container reads keys; without capabilities, root cannot.
_USER = "101"


def owner_labels(spec: RelaySpec) -> dict[str, str]:
    """Return the labels by which a relay's service and config are found, and that ``docker stack rm`` goes by."""
    labels = {RELAY_LABEL: spec.mark, RELAY_FLEET_LABEL: spec.fleet}
    return labels | ({STACK_LABEL: spec.stack} if spec.stack else {})


def seed(spec: RelaySpec) -> dict[str, Any]:
    """Return the keywords of the SDK's ``create_service`` for a relay that is in nobody's way yet.

    It runs no task, stands on the fleet's network alone and has neither config nor secrets: while it is like that, a
    ``docker stack rm`` that does not know of it yet removes everything that it has listed (docs/adr/007).
    """
    body = service(spec, "")
    container = body["task_template"]["ContainerSpec"]
    body["labels"] = owner_labels(spec)
    del container["Configs"]
    container.pop("Secrets", None)
    body["task_template"]["Networks"] = [{"Target": spec.fleet_network_id}]
    body["mode"] = {"Replicated": {"Replicas": 0}}
    return body


def service(spec: RelaySpec, config_id: str) -> dict[str, Any]:
    """Return the keywords of the SDK's ``update_service``."""
    return {
        "name": spec.name,
        "labels": owner_labels(spec) | {FINGERPRINT_LABEL: spec.fingerprint} | _reader_label(spec),
        "task_template": {
            "ContainerSpec": _container(spec, config_id),
            "Resources": {"Limits": {"MemoryBytes": spec.memory}},
            "RestartPolicy": {"Condition": "any", "Delay": _RESTART_DELAY},
            "Placement": {
                "Constraints": list(spec.constraints),
                # Not a limit of one for each node: two on one node are better than one that cannot be placed.
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.id"}}],
            },
            "Networks": [{"Target": network_id} for network_id in network_ids(spec)],
        },
        "mode": {"Replicated": {"Replicas": spec.replicas}},
        # A new relay that does not come up stops the update, and the old ones go on.
        "update_config": {"Parallelism": 1, "Order": "start-first", "FailureAction": "pause"},
        "endpoint_spec": {"Mode": "dnsrr"},
    }


def changed_fleet(spec: Mapping[str, Any], change: FleetChange) -> dict[str, Any]:
    """Return the keywords of the SDK's ``update_service`` for a fleet's service, from its specification as it is.

    All that is not named in the change stays, what a later engine may add included.
    """
    labels = {key: value for key, value in spec["Labels"].items() if key.removeprefix(ATTACHED) not in change.forget}
    labels |= {f"{ATTACHED}{network}": name for network, name in change.attach}
    template = dict(spec["TaskTemplate"])
    if change.attach or change.detach:
        attached = [each for each in template.get("Networks") or () if each["Target"] not in change.detach]
        template["Networks"] = [*attached, *({"Target": network} for network, _ in change.attach)]
    body = {
        "name": spec["Name"],
        "labels": labels,
        "task_template": template,
        "mode": spec.get("Mode"),
        "update_config": spec.get("UpdateConfig"),
        "rollback_config": spec.get("RollbackConfig"),
        "endpoint_spec": spec.get("EndpointSpec"),
    }
    if change.order:
        body["update_config"] = {
            **(spec.get("UpdateConfig") or {}),
            "Order": change.order,
            "Parallelism": change.parallelism,
        }
    return body


def network_ids(spec: RelaySpec) -> tuple[str, ...]:
    """Return the networks that a relay stands on, sorted."""
    return tuple(sorted({spec.network_id, spec.fleet_network_id} - {""}))


def _reader_label(spec: RelaySpec) -> dict[str, str]:
    """Return the label by which control planes know what they may ask a reader for."""
    return {READER_LABEL: ",".join(each.id for each in spec.secrets)} if spec.reads else {}


def _secret(secret: SecretFile) -> dict[str, Any]:
    file = {"Name": secret.file, "UID": _USER, "GID": _USER, "Mode": 0o400}
    return {"SecretID": secret.id, "SecretName": secret.name, "File": file}


def _container(spec: RelaySpec, config_id: str) -> dict[str, Any]:
    own: dict[str, Any] = {}
    if spec.reads:
        own = {"User": f"{_USER}:{_USER}", "Secrets": [_secret(each) for each in (*spec.identity, *spec.secrets)]}
    return {
        **own,
        "Image": spec.image,
        "Command": list(_COMMAND),
        "Init": False,
        "StopGracePeriod": _STOP_GRACE,
        # The image's own asks an Envoy that is a fleet's.
        "Healthcheck": {"Test": ["NONE"]},
        "CapabilityDrop": ["ALL"],
        "ReadOnly": True,
        "Mounts": [{"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": _TMP_BYTES}}],  # noqa: S108
        "Configs": [
            {
                "ConfigID": config_id,
                "ConfigName": spec.config_name,
                "File": {"Name": _CONFIGURATION, "UID": "0", "GID": "0", "Mode": 0o444},
            }
        ],
    }
