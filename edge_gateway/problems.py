"""Errors as browsers get them: `application/problem+json` (RFC 9457), as the public contract lists them.

Titles and details are fixed per code: what a service says about an error is for logs, never for a client, so
that two causes which must look alike are the same bytes. What differs by cause stands in `errors`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from servicekit.errors import ChatError, Reason, Violation

CONTENT_TYPE = "application/problem+json"
METHOD_NOT_ALLOWED = "method_not_allowed"
RETRY_AFTER_MS = 1000
"""Told when a fault gives no better hint. Not a setting: clients spread their own tries (asyncapi.yaml)."""

TEXTS: dict[str, tuple[int, str, str]] = {
    Reason.VALIDATION_FAILED: (400, "Validation failed", "The request is not valid."),
    Reason.UNAUTHENTICATED: (401, "Unauthenticated", "A valid access token is required."),
    Reason.FORBIDDEN: (403, "Forbidden", "You may not do this."),
    Reason.UNDELIVERABLE: (403, "Undeliverable", "Message could not be delivered."),
    Reason.MESSAGING_SUSPENDED: (403, "Messaging suspended", "Your messaging is suspended."),
    Reason.ACCOUNT_BANNED: (403, "Account banned", "Your account is banned."),
    Reason.NOT_FOUND: (404, "Not found", "There is nothing here for you."),
    Reason.REQUEST_PENDING: (409, "Request pending", "Your request waits for an answer."),
    Reason.REQUEST_CLOSED: (409, "Request closed", "This request is closed."),
    Reason.ATTACHMENT_UNAVAILABLE: (409, "Attachment unavailable", "The attachment cannot be used."),
    Reason.IDEMPOTENCY_CONFLICT: (422, "Idempotency conflict", "This key was used before with another body."),
    Reason.CURSOR_EXPIRED: (410, "Cursor expired", "The position is no longer kept; start again."),
    Reason.PAYLOAD_TOO_LARGE: (413, "Payload too large", "The request body is too large."),
    Reason.UNSUPPORTED_MEDIA_TYPE: (415, "Unsupported media type", "Send plain, uncompressed JSON."),
    Reason.RATE_LIMITED: (429, "Rate limited", "Too many requests; slow down."),
    Reason.UNAVAILABLE: (503, "Unavailable", "Not possible right now; try again."),
    Reason.INTERNAL: (500, "Internal error", "Something went wrong on our side."),
    METHOD_NOT_ALLOWED: (405, "Method not allowed", "This address does not know that method."),
}
_RETRYABLE = frozenset({Reason.UNAVAILABLE, Reason.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is an error; `instance` and `requestId` are added when it is rendered."""

    code: str
    status: int
    title: str
    detail: str
    retry_after_ms: int | None = None
    violations: tuple[Violation, ...] = ()

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in _RETRYABLE

    @property
    def retry_after_s(self) -> int | None:
        """The `Retry-After` header, whole seconds, at least 1."""
        return None if self.retry_after_ms is None else max(1, math.ceil(self.retry_after_ms / 1000))

    def document(self, *, instance: str, request_id: str) -> dict[str, object]:
        """The JSON object; keys always in this order."""
        document: dict[str, object] = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "requestId": request_id,
            "retryable": self.retryable,
        }
        if self.retry_after_ms is not None:
            document["retryAfterMs"] = self.retry_after_ms
        if self.violations:
            document["errors"] = [
                {"pointer": each.pointer, "code": each.code, "message": each.message}
                for each in self.violations
            ]
        return document

    def body(self, *, instance: str, request_id: str) -> bytes:
        """The JSON text."""
        return orjson.dumps(self.document(instance=instance, request_id=request_id))


class ProblemError(Exception):
    """Raised anywhere in the edge to answer with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def problem(
    code: str,
    *,
    detail: str | None = None,
    violations: Sequence[Violation] = (),
    retry_after_ms: int | None = None,
) -> Problem:
    """A problem of the catalogue."""
    status, title, standard = TEXTS[code]
    if retry_after_ms is None and code in _RETRYABLE:
        retry_after_ms = RETRY_AFTER_MS
    return Problem(
        code=str(code),
        status=status,
        title=title,
        detail=detail or standard,
        retry_after_ms=retry_after_ms if code in _RETRYABLE else None,
        violations=tuple(violations),
    )


def of(error: ChatError) -> Problem:
    """What a browser is told of a typed error; its message stays inside."""
    return problem(error.reason, violations=error.violations, retry_after_ms=error.retry_after_ms)


def failure(code: str, *, detail: str | None = None, violations: Sequence[Violation] = ()) -> ProblemError:
    """The exception that answers with `code`."""
    return ProblemError(problem(code, detail=detail, violations=violations))


def invalid(pointer: str, code: str, message: str) -> ProblemError:
    """One field (or query parameter, as `/name`) is not as it must be."""
    return failure(Reason.VALIDATION_FAILED, violations=[Violation(pointer, code, message)])


def not_found() -> ProblemError:
    """Does not exist, or not for the caller: the same for both."""
    return failure(Reason.NOT_FOUND)
