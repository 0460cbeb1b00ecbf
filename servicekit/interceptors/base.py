"""What the interceptors share: a call, and the chain of what is done around its handler."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

Proceed = Callable[[], Awaitable[Any]]
"""Goes on to the next interceptor, and at last to the handler."""
_Step = Callable[["Call"], Awaitable[Any]]

# Probes ask for health without credentials, and reflection tells only what the contracts in the
# repository tell. Both stream, and neither takes part in anything below.
EXEMPT = ("/grpc.health.v1.", "/grpc.reflection.")


@dataclass(slots=True)
class Call:
    """One unary call in work."""

    method: str
    """ "/package.Service/Method"."""
    request: Any
    """Outside of `DecodingInterceptor` its bytes."""
    context: grpc.aio.ServicerContext[Any, Any]
    decode: Callable[[bytes], Any] | None = None
    """Makes the request of its bytes."""
    _metadata: dict[str, str | None] | None = field(default=None, init=False)

    def metadata(self, key: str) -> str | None:
        """The only value of a metadata key; None when it is absent, given twice or binary."""
        if self._metadata is None:  # gRPC makes all of it anew each time it is asked
            self._metadata = {}
            for name, value in self.context.invocation_metadata() or ():
                alone = isinstance(value, str) and name not in self._metadata
                self._metadata[name] = value if alone else None  # type: ignore[assignment]  # is str then
        return self._metadata.get(key)


class UnaryInterceptor(abc.ABC):
    """One concern of every unary call."""

    @abc.abstractmethod
    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles one call by way of `proceed`."""


class Chain(grpc.aio.ServerInterceptor):
    """Runs interceptors around each handler, the first outermost, in the handler's own task: what they set in
    a context variable is seen by the handler. Health and reflection pass by.

    One interceptor of gRPC's for all of ours: each of its own would wrap the handler anew with every call.
    """

    def __init__(self, interceptors: Sequence[UnaryInterceptor]) -> None:
        self._interceptors = tuple(interceptors)
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        """As wrapped, by method."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler, wrapped; None for a method that nobody serves. TypeError for a streaming one."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is not None:
                handler = self._handlers[method] = self._wrapped(method, handler)
        return handler

    def _wrapped(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        if method.startswith(EXEMPT):
            return handler
        inner: Any = handler.unary_unary
        if inner is None:
            raise TypeError(f"{method} streams; this server takes unary calls only")
        decode: Any = handler.request_deserializer
        step: _Step = lambda call: inner(call.request, call.context)  # noqa: E731 - one of a chain of them
        for interceptor in reversed(self._interceptors):
            step = _around(interceptor, step)

        async def outer(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await step(Call(method, raw, context, decode))

        return grpc.unary_unary_rpc_method_handler(
            outer, request_deserializer=None, response_serializer=handler.response_serializer
        )


def _around(interceptor: UnaryInterceptor, inner: _Step) -> _Step:
    return lambda call: interceptor.around(call, lambda: inner(call))
