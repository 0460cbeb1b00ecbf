"""A server span a call, under the caller's, and one log line a failed call."""

from time import perf_counter
from typing import Any

import grpc
import structlog
from opentelemetry import trace

from servicekit import telemetry
from servicekit.errors import ChatError
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor

log = structlog.get_logger("servicekit.rpc")

# The caller's or the user's doing: expected, and not for an operator to act on.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class TelemetryInterceptor(UnaryInterceptor):
    """Continues the trace of `traceparent` and the request of `x-request-id`."""

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles the call inside a span named like the method."""
        telemetry.bind_request_id(call.metadata(telemetry.REQUEST_ID))
        name = call.method[1:]
        service, _, rpc = name.partition("/")
        started = perf_counter()
        with (
            telemetry.attach_traceparent(call.metadata(telemetry.TRACEPARENT)),
            telemetry.tracer().start_as_current_span(
                name,
                kind=trace.SpanKind.SERVER,
                attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            try:
                response = await proceed()
            except BaseException as error:
                code = _code(error, call.context)
                reason = error.__cause__.reason.value if isinstance(error.__cause__, ChatError) else None
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                if code not in _REFUSALS:
                    span.set_status(trace.StatusCode.ERROR, code.name)
                _log(code)(
                    "call failed",
                    rpc=name,
                    code=code.name,
                    reason=reason,
                    ms=round((perf_counter() - started) * 1000, 1),
                )
                raise
            span.set_attribute("rpc.grpc.status_code", 0)
            return response


def _code(error: BaseException, context: grpc.aio.ServicerContext[Any, Any]) -> grpc.StatusCode:
    if isinstance(error, grpc.aio.AbortError):
        return _as_code(context.code())
    # Cancelled by the client or by its deadline; nothing else gets past the errors interceptor.
    return grpc.StatusCode.CANCELLED


def _as_code(value: object) -> grpc.StatusCode:
    for code in grpc.StatusCode:
        if value is code or value == code.value[0]:
            return code
    return grpc.StatusCode.UNKNOWN


def _log(code: grpc.StatusCode) -> Any:
    if code in _REFUSALS or code is grpc.StatusCode.CANCELLED:
        return log.info
    return log.error if code is grpc.StatusCode.INTERNAL else log.warning
