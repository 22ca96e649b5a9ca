"""Envoy's own client status discovery service (CSDS), so that existing tools read what each proxy has.

In: the ``Record``. Out: one ``ClientConfig`` a proxy, each resource with how the proxy stands to it, secrets redacted.
See https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/status/v3/csds.proto.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from typing import Any

import grpc
from envoy.admin.v3 import config_dump_shared_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

from swarm_xds.debug.redact import redacted
from swarm_xds.debug.views import timestamp
from swarm_xds.observe import Member, Record, Standing, TypeState
from swarm_xds.snapshot import Snapshots

NAME = csds_pb2.DESCRIPTOR.services_by_name["ClientStatusDiscoveryService"].full_name

#: Of more proxies the contents are left out, unless the request names few enough: they would be gigabytes.
_WITH_CONTENTS = 16

_CONFIG = {
    Standing.CURRENT: csds_pb2.SYNCED,
    Standing.WAITING: csds_pb2.STALE,
    Standing.REFUSED: csds_pb2.ERROR,
}
_CLIENT = {
    Standing.CURRENT: config_dump_shared_pb2.ACKED,
    Standing.WAITING: config_dump_shared_pb2.REQUESTED,
    Standing.REFUSED: config_dump_shared_pb2.NACKED,
}


class ClientStatus(csds_pb2_grpc.ClientStatusDiscoveryServiceServicer):  # type: ignore[misc] # generated
    """The service."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def FetchClientStatus(
        self, request: csds_pb2.ClientStatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> csds_pb2.ClientStatusResponse:
        """Return all proxies that match one of the request's node matchers; without any, all proxies."""
        return await self._response(request, context)

    async def StreamClientStatus(
        self, requests: AsyncIterator[csds_pb2.ClientStatusRequest], context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[csds_pb2.ClientStatusResponse]:
        """Answer each request."""
        async for request in requests:
            yield await self._response(request, context)

    async def _response(
        self, request: csds_pb2.ClientStatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> csds_pb2.ClientStatusResponse:
        ids = [matcher.node_id.exact for matcher in request.node_matchers]
        if not all(ids) or any(matcher.node_metadatas for matcher in request.node_matchers):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "proxies are matched by an exact node id only")
        members = [
            each
            for each in self._record.members
            if each.standing is not Standing.GONE and (not ids or each.node in ids)
        ]
        situation = self._record.situation
        if situation is None:
            return csds_pb2.ClientStatusResponse()
        contents = not request.exclude_resource_contents and len(members) <= _WITH_CONTENTS
        # Redaction takes every resource apart.
        return await asyncio.to_thread(_Report(situation.build.snapshots, contents=contents).response, members)


class _Report:
    """One answer, in which each resource is redacted once, however many proxies have it."""

    def __init__(self, snapshots: Snapshots, *, contents: bool) -> None:
        self._snapshots = snapshots
        self._contents = contents
        self._redacted = cache(redacted)

    def response(self, members: Iterable[Member]) -> csds_pb2.ClientStatusResponse:
        response = csds_pb2.ClientStatusResponse()
        for member in members:
            config = response.config.add()
            config.node.id, config.node.cluster = member.node, member.fleet
            for state in member.types:
                for fields in self._resources(member.fleet, state):
                    config.generic_xds_configs.add(**fields)
        return response

    def _resources(self, fleet: str, state: TypeState) -> Iterator[dict[str, Any]]:
        for resource in self._snapshots.of(fleet).of(state.type_url).values():
            standing = state.standing
            refusal = state.refusal if state.refusal and resource.name in state.refusal.names else None
            if standing is Standing.REFUSED and refusal is None:
                standing = Standing.CURRENT if state.acknowledged == state.intended else Standing.WAITING
            fields: dict[str, Any] = {
                "type_url": state.type_url,
                "name": resource.name,
                "version_info": resource.version,
                "config_status": _CONFIG[standing],
                "client_status": _CLIENT[standing],
                "last_updated": timestamp(state.since),
            }
            if self._contents:
                fields["xds_config"] = self._redacted(state.type_url, resource.value)
            if refusal is not None:
                fields["error_state"] = config_dump_shared_pb2.UpdateFailureState(
                    details=refusal.message,
                    version_info=refusal.version,
                    last_update_attempt=timestamp(refusal.at),
                )
            yield fields
