"""Who may ask: on an encrypted listener only operators, whichever method of whichever service it is.

In: gRPC calls. Out: the same calls, or PERMISSION_DENIED. It knows certificates by what gRPC says of them, and must not
know what is asked.
"""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc

from swarm_xds.server.certificates import OPERATOR_URI, certified_operator, certified_uris

Context = Any  # grpc.aio.ServicerContext, whose type parameters differ in each method
Handler = Any  # grpc.RpcMethodHandler, whose stubs lack the fields that say what it is
Message = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody who may not ask, and has.

    Attributes:
        names: The URIs of the certificate, as the client wrote them.
        method: ``/package.Service/Method``.
        address: As gRPC gives it.
    """

    names: tuple[str, ...]
    method: str
    address: str


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in its stubs only
    """Lets operators through.

    Args:
        refused: Is told of each call of somebody else.
    """

    def __init__(self, refused: Callable[[Stranger], None]) -> None:
        self._refused = refused

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Put the question who asks before a method; gRPC calls it for every call of the listener."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # there is no such method, which tells nobody anything
        method: str = handler_call_details.method

        async def admitted(context: Context) -> None:
            authentication = context.auth_context()
            if certified_operator(authentication) is None:
                names = certified_uris(authentication)
                self._refused(Stranger(names=names, method=method, address=str(context.peer())))
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, _reason(names))

        return _guarded(handler, admitted)


def _reason(names: tuple[str, ...]) -> str:
    shown = " and ".join(names) or "nobody of ours"
    return f"the certificate names {shown}, and only operators may ask, each by one name {OPERATOR_URI}<name>"


def _guarded(handler: Handler, admitted: Callable[[Context], Awaitable[None]]) -> Handler:
    """Return a handler of the same kind that asks first."""
    kind = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    behavior = getattr(handler, kind)

    async def one(request: Message, context: Context) -> Message:
        await admitted(context)
        return await behavior(request, context)

    async def many(request: Message, context: Context) -> None:
        await admitted(context)
        answers = behavior(request, context)
        if inspect.isawaitable(answers):  # it writes by itself, as health does
            await answers
            return
        async with aclosing(answers):
            async for answer in answers:
                await context.write(answer)

    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        many if handler.response_streaming else one,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
