"""The chain of what is done around each handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from servicekit.interceptors.base import Call, Step, UnaryInterceptor
from servicekit.interceptors.streams import Carried, Handler, Streams

# Probes ask for health without credentials, and reflection tells only what the contracts in the
# repository tell. Both stream, and neither takes part in anything below.
EXEMPT = ("/grpc.health.v1.", "/grpc.reflection.")


class Chain(grpc.aio.ServerInterceptor):
    """Runs interceptors around each handler, the first outermost, in the handler's own task: what they set in
    a context variable is seen by the handler. Health and reflection pass by. What a stream carries are calls
    like any other.

    One interceptor of gRPC's for all of ours: each of its own would wrap the handler anew with every call.
    """

    def __init__(
        self,
        interceptors: Sequence[UnaryInterceptor],
        *,
        opening: Sequence[UnaryInterceptor],
        max_streams: int,
    ) -> None:
        """`opening`: those around the opening of a stream, before anything that it carries is looked at."""
        self._interceptors = tuple(interceptors)
        self._streams = Streams(max_streams)
        self._open = _chained(opening, self._streams.admit)
        self._handlers: dict[str, Handler] = {}
        """As wrapped, by method."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler, wrapped; None for a method that nobody serves. TypeError for other streams."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is not None:
                handler = self._handlers[method] = self._wrapped(method, handler)
        return handler

    def carry(self, method: str, stream: Handler, unary: str, handler: Handler, response: type[Any]) -> None:
        """Serves the streaming RPC `method` by the calls that it carries, those of the RPC `unary`.

        `stream` and `handler` are the two as they are generated, `response` is the stream's message.
        """
        carried = Carried(method, unary, self._open, self._around(handler), response)
        self._handlers[method] = self._streams.handler(stream, carried)

    def end_streams(self) -> None:
        """Streams end once the call that they carry is answered; those opened from now on at once."""
        self._streams.end()

    def _wrapped(self, method: str, handler: Handler) -> Handler:
        if method.startswith(EXEMPT):
            return handler
        if handler.unary_unary is None:
            raise TypeError(f"{method} streams, and carries no calls of a unary RPC")
        decode: Any = handler.request_deserializer
        step = self._around(handler)

        async def outer(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await step(Call(method, raw, context, decode))

        return grpc.unary_unary_rpc_method_handler(
            outer, request_deserializer=None, response_serializer=handler.response_serializer
        )

    def _around(self, handler: Handler) -> Step:
        inner: Any = handler.unary_unary
        return _chained(self._interceptors, lambda call: inner(call.request, call.context))


def _chained(interceptors: Sequence[UnaryInterceptor], inner: Step) -> Step:
    step = inner
    for interceptor in reversed(interceptors):
        step = _around(interceptor, step)
    return step


def _around(interceptor: UnaryInterceptor, inner: Step) -> Step:
    return lambda call: interceptor.around(call, lambda: inner(call))
