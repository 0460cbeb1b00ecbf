"""Gates as conversation_svc would push them, for tests of message_svc."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from splits.chat.message.v1 import message_pb2 as pb


def new_conversation_id() -> str:
    """A fresh conversation id."""
    return str(uuid.uuid4())


def new_people(count: int) -> list[str]:
    """Fresh user ids, so that tests sharing a Redis stay apart."""
    mark = uuid.uuid4().hex[:8]
    return [f"user_{mark}_{number}" for number in range(count)]


def member(user_id: str, **changes: object) -> pb.Member:
    """A member who may write, in an active conversation; `changes` are fields of `Member`."""
    fields: dict[str, object] = {
        "user_id": user_id,
        "can_send": True,
        "refusal": pb.REFUSAL_REASON_UNDELIVERABLE,
        "links_clickable": True,
        "attachments_allowed": True,
        "folder": pb.FOLDER_INBOX,
        "shares_receipts": True,
        "state": pb.CONVERSATION_STATE_ACTIVE,
        "version": 1,
    }
    return pb.Member(**{**fields, **changes})  # type: ignore[arg-type]


def active_gate(conversation_id: str, version: int, members: Iterable[str | pb.Member]) -> pb.Gate:
    """An active conversation in which everybody named may write."""
    return pb.Gate(
        conversation_id=conversation_id,
        gate_version=version,
        state=pb.CONVERSATION_STATE_ACTIVE,
        members=[member(one) if isinstance(one, str) else one for one in members],
    )


def request_gate(conversation_id: str, version: int, initiator: str, recipient: str) -> pb.Gate:
    """A pending request: one message of the initiator, the recipient has to accept."""
    state = pb.CONVERSATION_STATE_REQUEST
    hidden = {"state": state, "shares_receipts": False, "links_clickable": False}
    return pb.Gate(
        conversation_id=conversation_id,
        gate_version=version,
        state=state,
        members=[
            member(initiator, message_limit=1, folder=pb.FOLDER_SENT, **hidden),
            member(
                recipient,
                can_send=False,
                refusal=pb.REFUSAL_REASON_ACCEPT_REQUIRED,
                folder=pb.FOLDER_REQUESTS,
                **hidden,
            ),
        ],
    )
