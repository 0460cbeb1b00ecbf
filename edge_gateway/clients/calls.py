"""A call to a service behind the edge: within the time that is left, and with errors that can be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import structlog
from opentelemetry import trace

from servicekit.errors import ChatError, Reason
from servicekit.grpc_client import RequestT, ResponseT, ServiceClient, StubT
from servicekit.identity import ActingUser

if TYPE_CHECKING:
    from servicekit.grpc_client import Method

_ANSWER_S = 0.1
"""What a call leaves of the budget, to answer with. Not a setting: the edge's own work takes less."""
_deadline: ContextVar[float | None] = ContextVar("edge_deadline", default=None)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds, each cut to what is left of the budget."""

    call_s: float
    """For one call."""
    redact_s: float
    """For a redaction: it is answered once no copy of the text is on its way, some seconds after it was
    written."""


class budget:  # noqa: N801 - used as the function that it is to its callers
    """All calls made inside share this time."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(asyncio.get_running_loop().time() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


class Service(Generic[StubT]):
    """Calls to one service. `timeout_s`: for each of which nothing else is said."""

    def __init__(self, client: ServiceClient[StubT], timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self.stub = client.stub

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.close()

    async def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        acting: ActingUser | None,
        *,
        timeout: float | None = None,
        serves: Sequence[trace.Span] = (),
    ) -> ResponseT:
        """One call. All of ours may be repeated: reads, and changes that are the same when done twice.

        Raises ChatError only.
        """
        left = time_left(self._timeout_s if timeout is None else timeout)
        try:
            return await self._client.call(
                method, request, timeout=left, acting=acting, idempotent=True, serves=serves
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
