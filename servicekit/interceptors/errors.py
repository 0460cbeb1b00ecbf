"""Turns what a handler raises into a status: typed errors intact, faults of backing services as UNAVAILABLE,
and anything else as INTERNAL without a word of its text."""

from typing import Any

import grpc
import structlog

from servicekit.errors import ChatError, Reason, to_status
from servicekit.faults import as_unavailable
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor
from servicekit.telemetry import safe_traceback

log = structlog.get_logger("servicekit.rpc")


class ErrorsInterceptor(UnaryInterceptor):
    """Aborts the call with the status of the error; `AbortError.__cause__` is then the ChatError."""

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles the call; whatever fails becomes an abort."""
        try:
            return await proceed()
        except grpc.aio.AbortError:
            raise
        except NotImplementedError:
            # A generated servicer base raises it for an RPC that this release does not have.
            await call.context.abort(grpc.StatusCode.UNIMPLEMENTED, "Not implemented.")
        except Exception as error:  # noqa: BLE001 - nothing else stands between a handler and the client
            typed = _typed(error, call.method)
        try:
            await call.context.abort_with_status(to_status(typed))
        except grpc.aio.AbortError as abort:
            raise abort from typed


def _typed(error: Exception, method: str) -> ChatError:
    if isinstance(error, ChatError):
        return error
    unavailable = as_unavailable(error)
    if unavailable is not None:
        log.warning("backing service failed", rpc=method[1:], exception=safe_traceback(error))
        return unavailable
    log.error("handler failed", rpc=method[1:], exception=safe_traceback(error))
    return ChatError(Reason.INTERNAL, "Something went wrong on our side.")
