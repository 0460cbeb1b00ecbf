"""The typed error and what becomes of anything else."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from servicekit.errors import ChatError, DeadlineError, Reason, from_rpc_error, to_status

DETAILS = "grpc-status-details-bin"
Code = grpc.StatusCode


def rpc_error(
    code: grpc.StatusCode, details: str = "", trailing: bytes | None = None
) -> grpc.aio.AioRpcError:
    pairs = [(DETAILS, trailing)] if trailing is not None else []
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*pairs), details)


def status_with(reason: str, domain: str) -> bytes:
    packed = any_pb2.Any()
    packed.Pack(ErrorInfo(reason=reason, domain=domain))
    return Status(code=5, message="text", details=[packed]).SerializeToString()


@pytest.mark.parametrize("reason", Reason)
def test_only_unavailable_and_rate_limited_are_worth_another_try(reason: Reason) -> None:
    assert ChatError(reason, "").retryable == (reason in {Reason.UNAVAILABLE, Reason.RATE_LIMITED})


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_status_that_is_an_error(reason: Reason) -> None:
    status = to_status(ChatError(reason, "text"))
    assert status.code is not Code.OK
    assert status.details == "text"


def test_a_deadline_is_unavailable_to_clients_and_deadline_exceeded_on_the_wire() -> None:
    assert to_status(DeadlineError()).code is Code.DEADLINE_EXCEEDED
    assert DeadlineError().reason is Reason.UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Code.UNAVAILABLE, Reason.UNAVAILABLE),
        (Code.DEADLINE_EXCEEDED, Reason.UNAVAILABLE),
        (Code.CANCELLED, Reason.UNAVAILABLE),
        (Code.RESOURCE_EXHAUSTED, Reason.UNAVAILABLE),
        (Code.UNIMPLEMENTED, Reason.UNAVAILABLE),
        (Code.UNAUTHENTICATED, Reason.UNAUTHENTICATED),
        (Code.PERMISSION_DENIED, Reason.FORBIDDEN),
        (Code.NOT_FOUND, Reason.NOT_FOUND),
        (Code.INTERNAL, Reason.INTERNAL),
        (Code.UNKNOWN, Reason.INTERNAL),
        (Code.DATA_LOSS, Reason.INTERNAL),
    ],
)
def test_a_status_of_grpc_itself_has_a_reason_and_its_text_does_not_pass(
    code: grpc.StatusCode, reason: Reason
) -> None:
    error = from_rpc_error(rpc_error(code, "ipv4:10.0.0.7:50051: connect failed"))
    assert error.reason is reason
    assert "10.0.0.7" not in error.message


@pytest.mark.parametrize(
    "trailing",
    [
        b"\xff\xff\xff",
        b"",
        status_with("a_reason_of_next_year", "chat.splits.network"),
        status_with("internal", "somebody.else"),
    ],
    ids=["malformed", "empty", "unknown reason", "foreign domain"],
)
def test_details_that_are_not_ours_leave_the_code_to_speak(trailing: bytes) -> None:
    assert from_rpc_error(rpc_error(Code.NOT_FOUND, "x", trailing)).reason is Reason.NOT_FOUND


def test_an_error_without_anything_is_internal() -> None:
    assert from_rpc_error(grpc.RpcError()).reason is Reason.INTERNAL


def test_its_representation_names_the_reason() -> None:
    assert repr(ChatError(Reason.NOT_FOUND, "no")) == "ChatError(not_found, 'no')"
