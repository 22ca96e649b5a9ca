"""Envoy's own client status discovery service (CSDS), so that existing tools read what each proxy has.

In: the ``Record``. Out: one ``ClientConfig`` a proxy, each resource with how the proxy stands to it, secrets redacted.
See https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/status/v3/csds.proto.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from envoy.admin.v3 import config_dump_shared_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

from swarm_xds.debug.redact import redacted
from swarm_xds.debug.views import timestamp
from swarm_xds.observe import Member, Record, Standing, TypeState

NAME = csds_pb2.DESCRIPTOR.services_by_name["ClientStatusDiscoveryService"].full_name

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
        response = csds_pb2.ClientStatusResponse()
        for member in self._record.members:
            if member.standing is not Standing.GONE and (not ids or member.node in ids):
                self._add(response.config.add(), member, contents=not request.exclude_resource_contents)
        return response

    def _add(self, config: csds_pb2.ClientConfig, member: Member, *, contents: bool) -> None:
        config.node.id, config.node.cluster = member.node, member.fleet
        for state in member.types:
            for fields in self._resources(member.fleet, state, contents=contents):
                config.generic_xds_configs.add(**fields)

    def _resources(self, fleet: str, state: TypeState, *, contents: bool) -> Iterator[dict[str, Any]]:
        situation = self._record.situation
        if situation is None:
            return
        for resource in situation.build.snapshots.of(fleet).of(state.type_url).values():
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
            if contents:
                fields["xds_config"] = redacted(state.type_url, resource.value)
            if refusal is not None:
                fields["error_state"] = config_dump_shared_pb2.UpdateFailureState(
                    details=refusal.message,
                    version_info=refusal.version,
                    last_update_attempt=timestamp(refusal.at),
                )
            yield fields
