"""Wraps each method's handler once rather than with every call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc


class OnceInterceptor(grpc.aio.ServerInterceptor):
    """Remembers what the interceptors inside of it made of a handler: that depends on the method alone."""

    def __init__(self) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler, wrapped; None for a method that nobody serves, which is not remembered."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is not None:
                self._handlers[handler_call_details.method] = handler
        return handler
