"""Decodes requests after their callers are known: gRPC itself would do it before everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from servicekit.errors import ChatError, Reason
from servicekit.interceptors.base import EXEMPT


class DecodingInterceptor(grpc.aio.ServerInterceptor):
    """Gives the bytes to the interceptors outside of it and the message to those inside.

    Bytes that are no message are VALIDATION_FAILED. From gRPC's own decoding a stranger would get the text of
    the exception, and the log a traceback.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Takes the decoding of one call over."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(EXEMPT):
            return handler
        decode: Any = handler.request_deserializer
        inner: Any = handler.unary_unary

        async def decoded(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                request = decode(raw)
            except DecodeError:
                raise ChatError(Reason.VALIDATION_FAILED, "The request cannot be read.") from None
            return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            decoded, request_deserializer=None, response_serializer=handler.response_serializer
        )
