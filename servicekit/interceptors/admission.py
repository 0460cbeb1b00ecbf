"""Bounds the calls in work: those beyond are told to come back, before any work is done for them."""

from typing import Any

from servicekit.errors import ChatError, Reason
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor

_RETRY_AFTER_MS = 1000


class AdmissionInterceptor(UnaryInterceptor):
    """Refuses calls with UNAVAILABLE while `limit` are in work.

    gRPC's own `maximum_concurrent_rpcs` counts health probes too: an overloaded service would be restarted.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_work = 0

    async def around(self, call: Call, proceed: Proceed) -> Any:  # noqa: ARG002 - one call is like another
        """Handles the call when there is room for it."""
        if self._in_work >= self._limit:
            raise overloaded()
        self._in_work += 1
        try:
            return await proceed()
        finally:
            self._in_work -= 1


def overloaded() -> ChatError:
    """Says that there is no room for it now."""
    return ChatError(Reason.UNAVAILABLE, "The service is overloaded.", retry_after_ms=_RETRY_AFTER_MS)
