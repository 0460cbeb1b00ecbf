"""What the interceptors share: wrapping the handler of a unary call."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

Proceed = Callable[[], Awaitable[Any]]
"""Goes on to the next interceptor, and at last to the handler."""

# Probes ask for health without credentials, and reflection tells only what the contracts in the
# repository tell. Both stream, and neither takes part in anything below.
EXEMPT = ("/grpc.health.v1.", "/grpc.reflection.")


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call in work."""

    method: str
    """ "/package.Service/Method"."""
    request: Any
    """Outside of `DecodingInterceptor` its bytes."""
    context: grpc.aio.ServicerContext[Any, Any]

    def metadata(self, key: str) -> str | None:
        """The only value of a metadata key; None when it is absent, given twice or binary."""
        values = [value for name, value in self.context.invocation_metadata() or () if name == key]
        return values[0] if len(values) == 1 and isinstance(values[0], str) else None


class UnaryInterceptor(grpc.aio.ServerInterceptor):
    """Runs `around` in place of each handler, in the handler's own task: what it sets in a context variable
    is seen by the handler. Health and reflection pass by."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler of one call. TypeError for a streaming one."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        inner: Any = handler.unary_unary
        if inner is None:
            raise TypeError(f"{method} streams; this server takes unary calls only")

        async def outer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self.around(Call(method, request, context), lambda: inner(request, context))

        return grpc.unary_unary_rpc_method_handler(
            outer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    @abc.abstractmethod
    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles one call by way of `proceed`."""
