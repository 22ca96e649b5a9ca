"""The fake engine's secrets: written, listed without their content, removed unless a service uses them."""

import base64
import json
from collections.abc import Callable
from typing import Any

from support.engine_writes import Answer, WritableSwarm, absent, carried, refused


class SwarmWithSecrets(WritableSwarm):
    """A swarm that keeps secrets.

    Attributes:
        secrets: By id, as the API has them, with their content.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        super().__init__()

    def secret(self, name: str) -> bytes:
        """Return a secret's content, which no API call does."""
        return next(
            base64.b64decode(raw["Spec"]["Data"]) for raw in self.secrets.values() if raw["Spec"]["Name"] == name
        )

    def secret_names(self) -> list[str]:
        """Return the names of all secrets, in order."""
        return sorted(raw["Spec"]["Name"] for raw in self.secrets.values())

    def listed_secrets(self, wanted: list[str]) -> bytes:
        """``GET /secrets``."""
        found = [raw for raw in self.secrets.values() if set(wanted) <= carried(raw["Spec"].get("Labels") or {})]
        return json.dumps(
            [raw | {"Spec": {key: value for key, value in raw["Spec"].items() if key != "Data"}} for raw in found]
        ).encode()

    def write_secret(self, spec: dict[str, Any]) -> Answer:
        """``POST /secrets/create``."""
        if spec["Name"] in self.secret_names():
            return refused(409, f"rpc error: code = AlreadyExists desc = secret {spec['Name']} already exists")
        with self._lock:
            identifier = self._new_id("sec")
            self.secrets[identifier] = {"ID": identifier, "Version": {"Index": self._count}, "Spec": spec}
            self._tell("secret", "create", identifier, spec["Name"])
            self.written.append(f"create secret {spec['Name']}")
        return 201, json.dumps({"ID": identifier}).encode()

    def erase_secret(self, identifier: str) -> Answer:
        """``DELETE /secrets/{id}``."""
        raw = self.secrets.get(identifier)
        if raw is None:
            return absent("secret", identifier)
        name = raw["Spec"]["Name"]
        for service in self._services.values():
            container = service["Spec"].get("TaskTemplate", {}).get("ContainerSpec") or {}
            if identifier in [each["SecretID"] for each in container.get("Secrets") or ()]:
                reason = f"secret '{name}' is in use by the following service: {service['Spec']['Name']}"
                return refused(400, f"rpc error: code = InvalidArgument desc = {reason}")
        with self._lock:
            del self.secrets[identifier]
            self._tell("secret", "remove", identifier, name)
            self.written.append(f"remove secret {name}")
        return 204, b""

    def use_secret(self, name: str, service_id: str) -> None:
        """Have a service use a secret."""
        identifier = next(i for i, raw in self.secrets.items() if raw["Spec"]["Name"] == name)
        with self._lock:
            container = (
                self._services[service_id]["Spec"].setdefault("TaskTemplate", {}).setdefault("ContainerSpec", {})
            )
            container.setdefault("Secrets", []).append({"SecretID": identifier, "SecretName": name})

    def _removed(self) -> list[tuple[Callable[[str], Answer], dict[str, dict[str, Any]]]]:
        services, *rest = super()._removed()
        return [services, (self.erase_secret, self.secrets), *rest]

    def _refusal(self, spec: dict[str, Any]) -> Answer | None:
        for each in spec["TaskTemplate"]["ContainerSpec"].get("Secrets") or ():
            if each["SecretID"] not in self.secrets:
                return refused(400, f"rpc error: code = InvalidArgument desc = secret {each['SecretID']} not found")
        return super()._refusal(spec)
