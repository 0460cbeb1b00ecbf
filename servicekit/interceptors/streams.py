"""Streams that carry the calls of a unary RPC, one after the other (`stream_of` in its policy).

Beginning and ending a call costs gRPC on both sides more than a small message does, so who calls all the time
keeps a stream. Each call that it carries is handled as one of its own: in a task and a context of its own, by
all interceptors, with what its request says in place of metadata.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from servicekit import telemetry
from servicekit.errors import ChatError, Reason, to_status
from servicekit.identity import SERVICE_TOKEN
from servicekit.interceptors.admission import overloaded
from servicekit.interceptors.base import Call, Step

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Carried:
    """What a streaming RPC carries."""

    method: str
    unary: str
    """The method whose calls they are."""
    open: Step
    """Lets the stream in, or fails."""
    step: Step
    """Does one call."""
    response: Callable[..., Any]
    """The stream's response, made of its `answer`."""


class Streams:
    """Serves such RPCs, at most `limit` of them at once: for another one ends that has carried no call for
    the longest time. Once `end` was called, a stream ends as soon as it carries no call.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._waiting: dict[asyncio.Task[Any], None] = {}
        """Those of streams that carry no call now, and are not told to end; who waits longest is first."""
        self._ending = False

    async def admit(self, _call: Call) -> None:
        """Makes room for the stream that is being opened; UNAVAILABLE when all others carry calls."""
        if self._open <= self._limit:
            return
        if not self._waiting:
            raise overloaded()
        self._end_one()

    def end(self) -> None:
        """Ends all streams, each once the call that it carries is answered."""
        self._ending = True
        while self._waiting:
            self._end_one()

    def handler(self, stream: Handler, carried: Carried) -> Handler:
        """Of a streaming RPC whose generated handler is `stream`."""
        decode: Any = stream.request_deserializer

        async def serve(_requests: object, context: _Context) -> None:
            self._open += 1
            try:
                await self._serve(decode, carried, context)
            finally:
                self._open -= 1

        return grpc.stream_stream_rpc_method_handler(
            serve, request_deserializer=None, response_serializer=stream.response_serializer
        )

    async def _serve(self, decode: Callable[[bytes], Any], carried: Carried, context: _Context) -> None:
        clean = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        opened = Call(carried.method, b"", context)
        await loop.create_task(carried.open(opened), context=clean.copy())
        token = opened.metadata(SERVICE_TOKEN)
        while (raw := await self._next(context)) is not grpc.aio.EOF:
            try:
                call = _call(decode(raw), carried.unary, context, token)
            except DecodeError:
                error = ChatError(Reason.VALIDATION_FAILED, "The request cannot be read.")
                await context.abort_with_status(to_status(error))
            answer = await loop.create_task(carried.step(call), context=clean.copy())
            await context.write(carried.response(answer=answer))

    def _end_one(self) -> None:
        task = next(iter(self._waiting))
        del self._waiting[task]
        task.cancel()

    async def _next(self, context: _Context) -> Any:
        """The next request's bytes; EOF when there comes no more, or none is taken any more."""
        task = asyncio.current_task()
        if self._ending or task is None:
            return grpc.aio.EOF
        self._waiting[task] = None
        try:
            return await context.read()
        except asyncio.CancelledError:
            if task in self._waiting:  # its caller is gone
                raise
            # What came in this moment was not looked at: whoever sent it hears that the stream has ended.
            task.uncancel()
            return grpc.aio.EOF
        finally:
            self._waiting.pop(task, None)


def _call(request: Any, method: str, context: _Context, token: str | None) -> Call:
    metadata = {
        SERVICE_TOKEN: token,
        telemetry.TRACEPARENT: request.traceparent or None,
        telemetry.REQUEST_ID: request.request_id or None,
    }
    seconds = request.timeout_ms / 1000 if request.timeout_ms else None
    return Call(method, request.call, context, carried=metadata, seconds=seconds)
