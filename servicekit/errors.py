"""One typed error that crosses gRPC intact; only the edge renders it as HTTP.

Wire format: a `google.rpc.Status` in the trailing metadata, with `ErrorInfo(reason, domain)` always,
`BadRequest` when fields are at fault and `RetryInfo` when the server says how long to wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

DOMAIN = "chat.splits.network"
"""`ErrorInfo.domain` of every error of this system."""

UNAUTHENTICATED_MESSAGE = "The call is not authenticated."
"""The one text for every cause, so that a refusal teaches a forger nothing."""

# Trailing metadata is bounded by gRPC (8 KiB by default, message and details together): violations beyond
# this many bytes are left out.
_MAX_VIOLATION_BYTES = 4096
_MAX_TEXT = 500


class Reason(StrEnum):
    """Why something was refused or failed. The values are the codes of the public contract."""

    VALIDATION_FAILED = "validation_failed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNDELIVERABLE = "undeliverable"
    MESSAGING_SUSPENDED = "messaging_suspended"
    ACCOUNT_BANNED = "account_banned"
    NOT_FOUND = "not_found"
    REQUEST_PENDING = "request_pending"
    REQUEST_CLOSED = "request_closed"
    ATTACHMENT_UNAVAILABLE = "attachment_unavailable"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    CURSOR_EXPIRED = "cursor_expired"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


_CODES: dict[Reason, grpc.StatusCode] = {
    Reason.VALIDATION_FAILED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Reason.UNDELIVERABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.MESSAGING_SUSPENDED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ACCOUNT_BANNED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.REQUEST_PENDING: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REQUEST_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ATTACHMENT_UNAVAILABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.IDEMPOTENCY_CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.CURSOR_EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.PAYLOAD_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.UNSUPPORTED_MEDIA_TYPE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
}

# What a status means that carries no ErrorInfo of ours: it comes from gRPC itself or from something between.
_TRANSPORT: dict[grpc.StatusCode, Reason] = {
    grpc.StatusCode.INVALID_ARGUMENT: Reason.VALIDATION_FAILED,
    grpc.StatusCode.UNAUTHENTICATED: Reason.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED: Reason.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: Reason.NOT_FOUND,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.UNAVAILABLE,
    grpc.StatusCode.UNAVAILABLE: Reason.UNAVAILABLE,
    grpc.StatusCode.CANCELLED: Reason.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.UNAVAILABLE,
}

_TRANSPORT_MESSAGES: dict[Reason, str] = {
    Reason.UNAVAILABLE: "The service is not available; try again.",
    Reason.UNAUTHENTICATED: UNAUTHENTICATED_MESSAGE,
    Reason.PAYLOAD_TOO_LARGE: "The request is too large.",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault."""

    pointer: str
    """RFC 6901 JSON pointer over the request's camelCase JSON names; "" is the whole request."""
    code: str
    """Machine-readable rule, such as `string.min_len`."""
    message: str
    """For people."""


class ChatError(Exception):
    """The one error of the system: a reason to branch on and a text for people.

    The text reaches clients: it never holds a message's body, a token or what a driver said.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_after_ms = retry_after_ms

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later, unchanged."""
        return self.reason in (Reason.UNAVAILABLE, Reason.RATE_LIMITED)

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status that carries it."""
        return _CODES[self.reason]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason.value}, {self.message!r})"


class DeadlineError(ChatError):
    """The call's time is over: UNAVAILABLE to a client, DEADLINE_EXCEEDED on the wire."""

    def __init__(self) -> None:
        super().__init__(Reason.UNAVAILABLE, "The call took too long.")

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status that carries it."""
        return grpc.StatusCode.DEADLINE_EXCEEDED


class OlderReleaseError(ChatError):
    """The peer runs a release that does not have the RPC yet: UNAVAILABLE, unless there is another way."""

    def __init__(self) -> None:
        super().__init__(Reason.UNAVAILABLE, _TRANSPORT_MESSAGES[Reason.UNAVAILABLE])


def unauthenticated() -> ChatError:
    """The refusal of a caller or an acting user: the same for every cause."""
    return ChatError(Reason.UNAUTHENTICATED, UNAUTHENTICATED_MESSAGE)


def to_status(error: ChatError) -> grpc.Status:
    """The status to abort a call with (`context.abort_with_status`)."""
    message = error.message[:_MAX_TEXT]
    status = Status(code=error.code.value[0], message=message)
    _add(status, ErrorInfo(reason=error.reason.value, domain=DOMAIN))
    if error.violations:
        bad = BadRequest()
        for violation in error.violations:
            bad.field_violations.add(
                field=violation.pointer[:_MAX_TEXT],
                reason=violation.code,
                description=violation.message[:_MAX_TEXT],
            )
            if bad.ByteSize() > _MAX_VIOLATION_BYTES:
                del bad.field_violations[-1]
                break
        _add(status, bad)
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        _add(status, RetryInfo(retry_delay=delay))
    return rpc_status.to_status(status)


def from_rpc_error(error: grpc.RpcError) -> ChatError:
    """The ChatError that a failed call carries; never raises.

    A status of gRPC itself (nobody listens, out of time, cut off, overloaded) is UNAVAILABLE.
    """
    code = _code_of(error)
    status = _status_of(error)
    if status is not None:
        typed = _typed(status)
        if typed is not None:
            return typed
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return OlderReleaseError()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (_details_of(error) or ""):
        reason = Reason.PAYLOAD_TOO_LARGE
    else:
        reason = _TRANSPORT.get(code, Reason.INTERNAL) if code is not None else Reason.INTERNAL
    return ChatError(reason, _TRANSPORT_MESSAGES.get(reason, "The call failed."))


def _add(
    status: Status,
    detail: ErrorInfo | BadRequest | RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _typed(status: Status) -> ChatError | None:
    reason: Reason | None = None
    violations: list[Violation] = []
    retry_after_ms: int | None = None
    info, bad, retry = (
        ErrorInfo(),
        BadRequest(),
        RetryInfo(),
    )
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            try:
                reason = Reason(info.reason)
            except ValueError:
                # A newer peer's reason: the status code still says what kind it is.
                return None
        elif detail.Unpack(bad):
            violations = [Violation(v.field, v.reason, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
    if reason is None:
        return None
    return ChatError(reason, status.message, violations=violations, retry_after_ms=retry_after_ms)


def _code_of(error: grpc.RpcError) -> grpc.StatusCode | None:
    code = getattr(error, "code", None)
    value = code() if callable(code) else None
    return value if isinstance(value, grpc.StatusCode) else None


def _details_of(error: grpc.RpcError) -> str | None:
    details = getattr(error, "details", None)
    value = details() if callable(details) else None
    return value if isinstance(value, str) else None


def _status_of(error: grpc.RpcError) -> Status | None:
    metadata = getattr(error, "trailing_metadata", None)
    pairs = metadata() if callable(metadata) else None
    for key, value in pairs or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except Exception:  # noqa: BLE001 - what a broken proxy left there is no reason to fail in another way
                return None
    return None
