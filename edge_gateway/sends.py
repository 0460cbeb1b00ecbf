"""Sending a message: one hop to message_svc; a recipient's first message into a request accepts it first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from splits.chat.message.v1 import message_pb2 as message_pb

from edge_gateway import problems
from edge_gateway.clients import Backends
from edge_gateway.problems import ProblemError
from servicekit.errors import Reason
from servicekit.identity import ActingUser

_REFUSALS: Mapping[int, Reason] = {
    message_pb.REFUSAL_REASON_NOT_FOUND: Reason.NOT_FOUND,
    message_pb.REFUSAL_REASON_REQUEST_PENDING: Reason.REQUEST_PENDING,
    message_pb.REFUSAL_REASON_REQUEST_CLOSED: Reason.REQUEST_CLOSED,
    message_pb.REFUSAL_REASON_UNDELIVERABLE: Reason.UNDELIVERABLE,
    message_pb.REFUSAL_REASON_IDEMPOTENCY_CONFLICT: Reason.IDEMPOTENCY_CONFLICT,
    message_pb.REFUSAL_REASON_FORBIDDEN: Reason.FORBIDDEN,
    message_pb.REFUSAL_REASON_EDIT_CLOSED: Reason.FORBIDDEN,
    # Accepted a moment ago and not yet held everywhere: the same request goes through shortly.
    message_pb.REFUSAL_REASON_ACCEPT_REQUIRED: Reason.UNAVAILABLE,
}


@dataclass(slots=True)
class Sent:
    """A message that stands; `now` is false when it stood before."""

    message: message_pb.Message
    now: bool


def refused(refusal: message_pb.Refusal, *, at: str = "") -> ProblemError:
    """A refusal as the problem it is for the caller. `at`: pointer to the message in the body."""
    if refusal.reason == message_pb.REFUSAL_REASON_REPLY_NOT_FOUND:
        return problems.invalid(f"{at}/replyToId", "unknown", "is no message of this conversation")
    return problems.failure(_REFUSALS.get(refusal.reason, Reason.INTERNAL))


async def send(
    backends: Backends,
    user: ActingUser,
    conversation_id: str,
    message: message_pb.NewMessage,
    *,
    at: str = "",
) -> Sent:
    """Stores the message, or finds it stored. Raises ProblemError or ChatError.

    `at`: pointer to the message in the body.
    """
    outcome = await backends.send_message(user, conversation_id, message)
    if outcome.refused.reason == message_pb.REFUSAL_REASON_ACCEPT_REQUIRED:
        accepted = await backends.accept_request(user, conversation_id)
        if accepted.HasField("refused"):
            raise refused(accepted.refused)
        outcome = await backends.send_message(user, conversation_id, message)
    match outcome.WhichOneof("outcome"):
        case "stored":
            return Sent(outcome.stored, now=True)
        case "repeated":
            return Sent(outcome.repeated, now=False)
        case "refused":
            raise refused(outcome.refused, at=at)
        case _:
            raise problems.failure(_fault_code(outcome.fault.code))


def _fault_code(code: str) -> Reason:
    # `unauthenticated` would be the edge's own assertion: a fault of ours that passes, not the person's.
    return Reason.VALIDATION_FAILED if code == Reason.VALIDATION_FAILED else Reason.UNAVAILABLE
