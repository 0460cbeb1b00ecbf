"""A call to a service behind the edge: within the time that is left, and with errors that can be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import grpc
import structlog
from opentelemetry import trace

from servicekit.errors import ChatError, Reason
from servicekit.grpc_client import RequestT, ResponseT, ServiceClient, StubT
from servicekit.identity import ActingUser

CALL_S = 3.0
_ANSWER_S = 0.1
"""What a call leaves of the budget, to answer with."""
_deadline: ContextVar[float | None] = ContextVar("edge_deadline", default=None)
_log = structlog.get_logger(__name__)


class budget:  # noqa: N801 - used as the function that it is to its callers
    """All calls made inside share this time."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(asyncio.get_running_loop().time() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


async def call(
    client: ServiceClient[StubT],
    method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
    request: RequestT,
    acting: ActingUser | None,
    *,
    timeout: float = CALL_S,
    serves: Sequence[trace.Span] = (),
) -> ResponseT:
    """One call. All of ours may be repeated: reads, and changes that are the same when done twice.

    Raises ChatError only.
    """
    try:
        return await client.call(
            method, request, timeout=time_left(timeout), acting=acting, idempotent=True, serves=serves
        )
    except ChatError as error:
        if error.reason is Reason.UNAUTHENTICATED:
            # The service does not believe this edge: nothing that the person could mend by signing in.
            _log.error("service_refused_the_edge")
            raise ChatError(Reason.UNAVAILABLE, "The service is not available; try again.") from error
        raise


def time_left(timeout: float) -> float:
    """`timeout`, cut to what is left of the budget; may be negative."""
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    return min(timeout, deadline - _ANSWER_S - asyncio.get_running_loop().time())
