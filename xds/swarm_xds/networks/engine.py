"""The writes to the swarm, each of which may be done twice, or by two at once, and leads to the same.

In: a connected ``Engine``, and what is to be. Out: what stands in the swarm of our own, or an ``EngineError``. It must
not know why something is written. This and ``manager`` are all that writes to a swarm.
"""

import base64
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from swarm_xds.networks import specification
from swarm_xds.networks.decision import FleetChange
from swarm_xds.networks.observed import LeftNetwork, Observed, UnreadableError, is_ours, observed
from swarm_xds.networks.wanted import RelaySpec
from swarm_xds.sources.docker.api import Engine, EngineError, Json, NotFoundError
from swarm_xds.swarm.marks import FLEET_LABEL, RELAY_FLEET_LABEL, RELAY_LABEL, STACK_LABEL

Work: TypeAlias = Callable[[Any], Json]

_CONFLICT = 409
#: What is in a config that ``docker stack rm`` is to find and remove, for whoever wonders about it.
_PAUSE = b"""Nobody mounts this. docker stack rm removes configs after services and before networks, and the moment
that this takes lets the swarm end the tasks that still hold the networks (swarm-xds, setting relay_pauses).
"""
_OURS = {"label": [RELAY_LABEL, RELAY_FLEET_LABEL]}


class OvertakenError(Exception):
    """Somebody else was there first: what was read is out of date."""


class RelayEngine:
    """One connected engine. Every method raises ``EngineError`` for a failure of any kind."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def observe(self) -> Observed:
        """Read what carries our labels: ``GET /services`` and ``GET /configs``.

        And where a fleet was detached from a network, whether that is all that is left of its stack.
        """
        services = await self._engine.call(lambda client: client.services(filters=_OURS))
        fleets = await self._engine.call(lambda client: client.services(filters={"label": FLEET_LABEL}))
        configs = await self._engine.call(lambda client: client.configs(filters=_OURS))
        try:
            found = observed(services, configs, fleets)
        except UnreadableError as error:
            raise EngineError(self._engine.endpoint, str(error)) from error
        detached = {each: fleet.attached[each] for fleet in found.fleets for each in fleet.detached}
        left = [await self._left(each, name, detached.keys()) for each, name in sorted(detached.items())]
        return replace(found, left=tuple(left))

    async def _left(self, network_id: str, name: str, detached: Collection[str]) -> LeftNetwork:
        """Read what there is of a network's stack beside networks that fleets were detached from."""
        try:
            network = await self._engine.network(network_id)
        except NotFoundError:
            return LeftNetwork(id=network_id, name=name, gone=True)
        with self._reading(f"network {name}"):
            stack = str((network.get("Labels") or {}).get(STACK_LABEL, ""))
        if not stack:
            return LeftNetwork(id=network_id, name=name)
        of_stack = {"label": [f"{STACK_LABEL}={stack}"]}
        others: list[Json] = []
        with self._reading(f"what is left of stack {stack}"):
            others += await self._engine.call(lambda client: client.services(filters=of_stack))
            others += await self._engine.call(lambda client: client.secrets(filters=of_stack))
            others += await self._engine.call(lambda client: client.configs(filters=of_stack))
            networks = await self._engine.call(lambda client: client.networks(filters=of_stack))
            others += [each for each in networks if each.get("Id") not in detached]
        return LeftNetwork(id=network_id, name=name, stack=stack, alive=bool(others))

    async def members(self, stack: str) -> frozenset[str]:
        """Read the ids of a stack's services: ``GET /services``."""
        of_stack = {"label": f"{STACK_LABEL}={stack}"}
        services = await self._engine.call(lambda client: client.services(filters=of_stack))
        with self._reading(f"the services of stack {stack}"):
            return frozenset(str(service["ID"]) for service in services)

    async def create_config(self, spec: RelaySpec) -> str:
        """Create a relay's config, unless it is there, and return its id: ``POST /configs/create``."""
        return await self._create_config(spec, spec.config_name, spec.configuration.encode())

    async def create_pause(self, spec: RelaySpec, name: str) -> None:
        """Create a config that does nothing, unless it is there: ``POST /configs/create``."""
        await self._create_config(spec, name, _PAUSE)

    async def _create_config(self, spec: RelaySpec, name: str, data: bytes) -> str:
        labels = specification.owner_labels(spec)
        try:
            with self._reading(f"config {name}"):
                made = await self._engine.call(lambda client: client.create_config(name, data, labels=labels))
                return str(made["ID"])
        except EngineError as error:
            if error.status != _CONFLICT:
                raise
        found = await self._named("config", lambda client: client.inspect_config(name), name, spec)
        with self._reading(f"config {name}"):
            if base64.b64decode(found["Spec"].get("Data") or "") != data:
                raise self._foreign("config", name)
            return str(found["ID"])

    async def create_service(self, spec: RelaySpec) -> bool:
        """Begin a relay, unless one is there, and return whether it was made now: ``POST /services/create``."""
        body = specification.seed(spec)
        try:
            await self._engine.call(lambda client: client.create_service(**body))
        except EngineError as error:
            if error.status != _CONFLICT:
                raise
        else:
            return True
        await self._named("service", lambda client: client.inspect_service(spec.name), spec.name, spec)
        return False

    async def update_service(self, spec: RelaySpec, service_id: str, version: int, config_id: str) -> None:
        """Make a relay what it is to be: ``POST /services/{id}/update``.

        Raises:
            OvertakenError: It is not as it was read, or gone.
        """
        await self._update(service_id, version, specification.service(spec, config_id))

    async def _update(self, service_id: str, version: int, body: dict[str, Any]) -> None:
        try:
            await self._engine.call(lambda client: client.update_service(service_id, version, **body))
        except NotFoundError as error:
            if service_id in error.reason:
                raise OvertakenError(error.reason) from error
            raise
        except EngineError as error:
            if "out of sequence" in error.reason:
                raise OvertakenError(error.reason) from error
            raise

    async def remove_service(self, service_id: str) -> bool:
        """Remove a relay, and return whether it was there: ``DELETE /services/{id}``."""
        return await self._remove(service_id, lambda client: client.remove_service(service_id))

    async def remove_config(self, config_id: str) -> bool:
        """Remove a config, and return whether it was there: ``DELETE /configs/{id}``."""
        return await self._remove(config_id, lambda client: client.remove_config(config_id))

    async def update_fleet(self, service_id: str, version: int, change: FleetChange) -> None:
        """Change a fleet's own service: ``POST /services/{id}/update``.

        Raises:
            OvertakenError: It is not as it was read, or gone.
        """
        try:
            raw = await self._engine.service(service_id)
        except NotFoundError as error:
            raise OvertakenError(error.reason) from error
        with self._reading(f"service {service_id}"):
            if raw["Version"]["Index"] != version:
                raise OvertakenError(f"service {service_id} was changed by somebody else")
            body = specification.changed_fleet(raw["Spec"], change)
        await self._update(service_id, version, body)

    async def remove_network(self, network_id: str) -> bool:
        """Remove a network, and return whether it was there: ``DELETE /networks/{id}``.

        Raises:
            OvertakenError: Somebody uses it, or a task on it has not ended yet.
        """
        try:
            return await self._remove(network_id, lambda client: client.remove_network(network_id))
        except EngineError as error:
            if "in use" in error.reason:
                raise OvertakenError(error.reason) from error
            raise

    async def _named(self, what: str, inspect: Work, name: str, spec: RelaySpec) -> Json:
        """Return what has the name that we wanted to give, if it is ours."""
        try:
            found = await self._engine.call(inspect)
        except NotFoundError as error:
            raise OvertakenError(f"{what} {name} was there and is gone") from error
        with self._reading(f"{what} {name}"):
            if found["Spec"]["Name"] == name and is_ours(found, spec.fleet, spec.mark):
                return found
        raise self._foreign(what, name)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn what an answer of another shape than the API's raises into an ``EngineError``."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = f"the engine's answer for {what} cannot be read: {type(error).__name__}: {error}"
            raise EngineError(self._engine.endpoint, reason) from error

    def _foreign(self, what: str, name: str) -> EngineError:
        reason = f"there is another {what} named {name}, which swarm-xds has not made: remove it"
        return EngineError(self._engine.endpoint, reason, _CONFLICT)

    async def _remove(self, identifier: str, remove: Work) -> bool:
        try:
            await self._engine.call(remove)
        except NotFoundError as error:
            if identifier in error.reason:
                return False
            raise
        return True
