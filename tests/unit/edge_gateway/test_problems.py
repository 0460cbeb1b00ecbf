"""Errors: what of them reaches a client."""

from __future__ import annotations

import orjson
import pytest

from edge_gateway import problems
from servicekit.errors import ChatError, Reason, Violation
from tests.support import contract

STATUS = {
    "validation_failed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "undeliverable": 403,
    "messaging_suspended": 403,
    "account_banned": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_pending": 409,
    "request_closed": 409,
    "attachment_unavailable": 409,
    "cursor_expired": 410,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_conflict": 422,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}


def test_every_code_of_the_contract_is_known_and_no_other() -> None:
    assert {str(code): text[0] for code, text in problems.TEXTS.items()} == STATUS
    in_document = contract.document("openapi.yaml")["components"]["schemas"]["Problem"]["properties"]["code"]
    assert set(in_document["enum"]) == set(STATUS)


@pytest.mark.parametrize("reason", Reason)
def test_a_typed_error_becomes_its_problem_and_its_text_stays_inside(reason: Reason) -> None:
    problem = problems.of(ChatError(reason, "row 7 of gate has lock 12"))
    body = problem.body(instance="/v1/me", request_id="r-1")
    contract.check_problem(orjson.loads(body))
    assert b"row 7" not in body
    assert problem.status == STATUS[reason]
    assert problem.retryable is (reason in (Reason.UNAVAILABLE, Reason.RATE_LIMITED))
    assert (problem.retry_after_ms is not None) is problem.retryable


def test_how_long_to_wait_is_told_in_both_ways() -> None:
    problem = problems.of(ChatError(Reason.UNAVAILABLE, "", retry_after_ms=1200))
    assert (problem.retry_after_ms, problem.retry_after_s) == (1200, 2)
    assert problems.of(ChatError(Reason.NOT_FOUND, "", retry_after_ms=1200)).retry_after_ms is None


def test_fields_at_fault_are_named() -> None:
    error = ChatError(Reason.VALIDATION_FAILED, "", violations=[Violation("/text", "length", "too long")])
    document = problems.of(error).document(instance="/", request_id="r")
    assert document["errors"] == [{"pointer": "/text", "code": "length", "message": "too long"}]
