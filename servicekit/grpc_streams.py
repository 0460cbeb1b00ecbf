"""The client's side of streams that carry the calls of a unary RPC (`stream_of` in its policy)."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from servicekit import telemetry
from servicekit.identity import SERVICE_TOKEN

LASTS_S = 20.0
"""How long a stream takes calls at most: it stays with one replica."""
_ENDED = "The stream ended before the call was answered."


@dataclass(slots=True)
class _Open:
    call: Any
    until: float
    token: str
    """Its caller's, by which each of its calls is let in."""


class CallStreams:
    """Called as a unary method is: each call goes over a stream that carries no other one now, or a new one.

    The request holds the call in `call`; what else it has is set here. A call that fails, or is given up,
    ends its stream. After 10 to 20 s another is opened, with which the next replica has its turn; so it is
    when the token is a new one.
    """

    def __init__(self, method: Any) -> None:
        """`method`: the channel's multi-callable of the streaming RPC."""
        self._method = method
        self._idle: deque[_Open] = deque()
        """The first has waited longest. It is taken first: so all come to their end where few are needed."""

    async def __call__(self, request: Any, *, timeout: float, metadata: Sequence[tuple[str, str]]) -> Any:
        """The response. `timeout`: seconds. Raises grpc.aio.AioRpcError only, as a unary call does."""
        known = dict(metadata)
        request.traceparent = known.get(telemetry.TRACEPARENT, "")
        request.request_id = known.get(telemetry.REQUEST_ID, "")
        request.timeout_ms = max(1, int(timeout * 1000))
        stream = self._take(known[SERVICE_TOKEN], metadata)
        answered = False
        try:
            async with asyncio.timeout(timeout):
                await _write(stream.call, request)
                response = await stream.call.read()
                answered = response is not grpc.aio.EOF
        except TimeoutError:
            raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from None
        finally:
            if not answered:
                stream.call.cancel()
        if not answered:
            raise _error(grpc.StatusCode.UNAVAILABLE, _ENDED)
        if asyncio.get_running_loop().time() < stream.until:
            self._idle.append(stream)
        else:
            stream.call.cancel()
        return response

    def _take(self, token: str, metadata: Sequence[tuple[str, str]]) -> _Open:
        now = asyncio.get_running_loop().time()
        while self._idle:
            stream = self._idle.popleft()
            if stream.call.done():
                continue
            if now < stream.until and token == stream.token:
                return stream
            # Carries nothing. To half-close it would be to wait, which may fail, and then fails a call.
            stream.call.cancel()
        # Not all at one time: that would be a moment in which all calls are dear.
        until = now + LASTS_S * random.uniform(0.5, 1)  # noqa: S311 - no secret
        return _Open(self._method(metadata=metadata), until, token)


async def _write(call: Any, request: Any) -> None:
    """A stream may end while it is written to: gRPC has two ways to say so, and neither is its status."""
    try:
        await call.write(request)
    except asyncio.InvalidStateError as error:
        raise _error(grpc.StatusCode.UNAVAILABLE, _ENDED) from error
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INTERNAL:
            raise _error(grpc.StatusCode.UNAVAILABLE, _ENDED) from error
        raise


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
