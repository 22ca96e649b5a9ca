"""What may be written to the fake engine over its API, with the checks and the words of a real one (20.10).

Each method returns the status and the answer. A service's tasks run as soon as it is created or updated.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from support.engine_swarm import CREATED, FakeSwarm

STACK = "com.docker.stack.namespace"
Answer = tuple[int, bytes]


class WritableSwarm(FakeSwarm):
    """A swarm that can be written to as the API has it.

    Attributes:
        written: Each write that was done: ``create service web``.
    """

    def __init__(self) -> None:
        self.written: list[str] = []
        super().__init__()

    def named(self, kind: str, identifier: str) -> dict[str, Any] | None:
        """Return a service or config by its id or its name."""
        known = self._services if kind == "service" else self._configs
        found = known.get(identifier)
        return found or next((raw for raw in known.values() if raw["Spec"]["Name"] == identifier), None)

    def specs(self, kind: str) -> list[dict[str, Any]]:
        """Return a copy of what is there with any label of ours for relays, by name."""
        with self._lock:
            known = self._services if kind == "service" else self._configs
            raws = [raw for raw in known.values() if "swarm-xds.relay" in (raw["Spec"]["Labels"] or {})]
            return list(json.loads(json.dumps(sorted(raws, key=lambda raw: str(raw["Spec"]["Name"])))))

    def spec(self, identifier: str) -> dict[str, Any]:
        """Return a copy of a service's specification."""
        with self._lock:
            return dict(json.loads(json.dumps(self._services[identifier]["Spec"])))

    def names(self, kind: str) -> set[str]:
        """Return the names of all services or configs."""
        with self._lock:
            known = self._services if kind == "service" else self._configs
            return {raw["Spec"]["Name"] for raw in known.values()}

    def listed(self, kind: str, wanted: list[str]) -> bytes:
        """Return the services or configs that carry all these labels, each ``key`` or ``key=value``."""
        known = self._services if kind == "service" else self._configs
        found = (i for i, raw in known.items() if set(wanted) <= carried(raw["Spec"]["Labels"] or {}))
        return b"[" + b",".join(self._bytes[kind, i] for i in found) + b"]"

    def write_service(self, spec: dict[str, Any]) -> Answer:
        """``POST /services/create``."""
        if self.named("service", spec["Name"]):
            reason = f"name conflicts with an existing object: service {spec['Name']} already exists"
            return refused(409, f"rpc error: code = AlreadyExists desc = {reason}")
        if refusal := self._refusal(spec):
            return refusal
        with self._lock:
            identifier = self._new_id("svc")
            raw = {"ID": identifier, "Spec": spec, "Version": {"Index": self._count}, "CreatedAt": CREATED}
            self._services[identifier] = raw | {"Endpoint": {}}
            self._run(identifier)
            self._put("service", identifier, self._services[identifier], "create", spec["Name"])
            self.written.append(f"create service {spec['Name']}")
        return 201, json.dumps({"ID": identifier}).encode()

    def rewrite_service(self, identifier: str, version: int, spec: dict[str, Any]) -> Answer:
        """``POST /services/{id}/update``."""
        raw = self.named("service", identifier)
        if raw is None:
            return absent("service", identifier)
        if raw["Version"]["Index"] != version:
            return refused(500, "rpc error: code = Unknown desc = update out of sequence")
        if refusal := self._refusal(spec):
            return refusal
        with self._lock:
            self._count += 1
            raw.update(PreviousSpec=raw["Spec"], Spec=spec, Version={"Index": self._count})
            self._run(raw["ID"])
            self._put("service", raw["ID"], raw, "update", spec["Name"])
            self.written.append(f"update service {spec['Name']}")
        return 200, b'{"Warnings": null}'

    def erase_service(self, identifier: str) -> Answer:
        """``DELETE /services/{id}``."""
        raw = self.named("service", identifier)
        if raw is None:
            return absent("service", identifier)
        self.remove_service(raw["ID"])
        self.written.append(f"remove service {raw['Spec']['Name']}")
        return 200, b""

    def write_config(self, spec: dict[str, Any]) -> Answer:
        """``POST /configs/create``."""
        if self.named("config", spec["Name"]):
            return refused(409, f"rpc error: code = AlreadyExists desc = config {spec['Name']} already exists")
        with self._lock:
            identifier = self._new_id("cfg")
            self._configs[identifier] = {"ID": identifier, "Version": {"Index": self._count}, "Spec": spec}
            self._put("config", identifier, self._configs[identifier], "", spec["Name"])
            self.written.append(f"create config {spec['Name']}")
        return 201, json.dumps({"ID": identifier}).encode()

    def erase_config(self, identifier: str) -> Answer:
        """``DELETE /configs/{id}``."""
        raw = self.named("config", identifier)
        if raw is None:
            return absent("config", identifier)
        name = raw["Spec"]["Name"]
        for service in self._services.values():
            if raw["ID"] in _config_ids(service["Spec"]):
                reason = f"config '{name}' is in use by the following service: {service['Spec']['Name']}"
                return refused(400, f"rpc error: code = InvalidArgument desc = {reason}")
        with self._lock:
            del self._configs[raw["ID"]]
            self._drop("config", raw["ID"], name, tell=False)
            self.written.append(f"remove config {name}")
        return 204, b""

    def erase_network(self, identifier: str) -> Answer:
        """``DELETE /networks/{id}``."""
        if identifier not in self._networks:
            return absent("network", identifier)
        for service in self._services.values():
            if identifier in _network_ids(service["Spec"]):
                return refused(400, _in_use(identifier, "service", service["ID"]))
        for task in (task for tasks in self._tasks.values() for task in tasks):
            if identifier in {each["Network"]["ID"] for each in task["NetworksAttachments"]}:
                return refused(400, _in_use(identifier, "task", task["ID"]))
        self.written.append(f"remove network {self._networks[identifier]['Name']}")
        self.remove_network(identifier)
        return 204, b""

    def remove_stack(self, stack: str) -> Iterator[str]:
        """Do what ``docker stack rm`` does: list, then remove in order; yield after each what it says, if anything.

        The list is made when this is called.
        """
        found = [
            (erase, sorted((i for i, raw in known.items() if _stack(raw) == stack), key=lambda i: _name(known[i])))
            for erase, known in self._removed()
        ]
        answers = (erase(identifier) for erase, identifiers in found for identifier in identifiers)
        return ("" if status < 300 else json.loads(body)["message"] for status, body in answers)

    def _removed(self) -> list[tuple[Callable[[str], Answer], dict[str, dict[str, Any]]]]:
        """Return what a stack's removal goes through, in its order."""
        return [
            (self.erase_service, self._services),
            (self.erase_config, self._configs),
            (self.erase_network, self._networks),
        ]

    def _refusal(self, spec: dict[str, Any]) -> Answer | None:
        if not spec["TaskTemplate"]["ContainerSpec"].get("Image"):
            return refused(
                400, "rpc error: code = InvalidArgument desc = ContainerSpec: image reference must be provided"
            )
        for network in _network_ids(spec):
            if network not in self._networks:
                return absent("network", network)
        for config in _config_ids(spec):
            if config not in self._configs:
                return refused(400, f"rpc error: code = InvalidArgument desc = config {config} not found")
        return None

    def _run(self, identifier: str) -> None:
        replicas = self._services[identifier]["Spec"]["Mode"]["Replicated"]["Replicas"]
        self.set_tasks(identifier, [self.task(identifier) for _ in range(replicas)])


def carried(labels: dict[str, str]) -> set[str]:
    """Return what a filter by label finds: each key, and each ``key=value``."""
    return {*labels, *(f"{key}={value}" for key, value in labels.items())}


def _in_use(network: str, kind: str, identifier: str) -> str:
    return f"rpc error: code = FailedPrecondition desc = network {network} is in use by {kind} {identifier}"


def refused(status: int, message: str) -> Answer:
    """Return an answer that says why not."""
    return status, json.dumps({"message": message}).encode()


def absent(kind: str, identifier: str) -> Answer:
    """Return the answer for what is not there."""
    return refused(404, f"{kind} {identifier} not found")


def _stack(raw: dict[str, Any]) -> str:
    return str((raw.get("Spec", raw)["Labels"] or {}).get(STACK, ""))


def _name(raw: dict[str, Any]) -> str:
    return str(raw.get("Spec", raw)["Name"])


def _network_ids(spec: dict[str, Any]) -> list[str]:
    return [each["Target"] for each in spec["TaskTemplate"].get("Networks") or ()]


def _config_ids(spec: dict[str, Any]) -> list[str]:
    container = spec["TaskTemplate"].get("ContainerSpec") or {}
    return [each["ConfigID"] for each in container.get("Configs") or ()]
