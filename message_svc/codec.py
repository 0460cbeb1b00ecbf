"""Between protobuf messages and domain types. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import message_pb2 as pb

from message_svc.domain import Folder, GateSnapshot, Refused, Rights, State, StoredMessage
from servicekit.errors import ChatError, Reason

_STATES = {
    pb.CONVERSATION_STATE_REQUEST: State.REQUEST,
    pb.CONVERSATION_STATE_ACTIVE: State.ACTIVE,
    pb.CONVERSATION_STATE_DECLINED: State.DECLINED,
    pb.CONVERSATION_STATE_WITHDRAWN: State.WITHDRAWN,
    pb.CONVERSATION_STATE_EXPIRED: State.EXPIRED,
}
_STATES_OUT = {state: value for value, state in _STATES.items()}
_FOLDERS = {
    pb.FOLDER_INBOX: Folder.INBOX,
    pb.FOLDER_REQUESTS: Folder.REQUESTS,
    pb.FOLDER_SENT: Folder.SENT,
}
_FOLDERS_OUT = {folder: value for value, folder in _FOLDERS.items()}
_REFUSALS = {
    pb.REFUSAL_REASON_NOT_FOUND: Refused.NOT_FOUND,
    pb.REFUSAL_REASON_REQUEST_PENDING: Refused.REQUEST_PENDING,
    pb.REFUSAL_REASON_REQUEST_CLOSED: Refused.REQUEST_CLOSED,
    pb.REFUSAL_REASON_UNDELIVERABLE: Refused.UNDELIVERABLE,
    pb.REFUSAL_REASON_IDEMPOTENCY_CONFLICT: Refused.IDEMPOTENCY_CONFLICT,
    pb.REFUSAL_REASON_ACCEPT_REQUIRED: Refused.ACCEPT_REQUIRED,
    pb.REFUSAL_REASON_FORBIDDEN: Refused.FORBIDDEN,
    pb.REFUSAL_REASON_REPLY_NOT_FOUND: Refused.REPLY_NOT_FOUND,
    pb.REFUSAL_REASON_EDIT_CLOSED: Refused.EDIT_CLOSED,
}
_REFUSALS_OUT = {refusal: value for value, refusal in _REFUSALS.items()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Decoded gates, of 1 KB between two people and 30 KB among a hundred.
_GATES_REMEMBERED = 2048
_KINDS_OUT = {"text": pb.MESSAGE_KIND_TEXT, "system": pb.MESSAGE_KIND_SYSTEM}


def gate_from_proto(gate: pb.Gate) -> GateSnapshot:
    """A pushed gate. Its bytes are kept whole: fields that this release does not know survive.

    Raises:
        ChatError: VALIDATION_FAILED when it, or a member, has no state.
    """
    if gate.state not in _STATES or any(member.state not in _STATES for member in gate.members):
        raise ChatError(Reason.VALIDATION_FAILED, "A gate and its members need a state.")
    rights = {member.user_id: _rights(member) for member in gate.members}
    return GateSnapshot(
        conversation_id=UUID(gate.conversation_id),
        gate_version=gate.gate_version,
        state=_STATES[gate.state],
        rights=rights,
        raw=gate.SerializeToString(deterministic=True),
    )


@lru_cache(maxsize=_GATES_REMEMBERED)
def gate_from_bytes(raw: bytes) -> GateSnapshot:
    """A stored gate. Remembered by its bytes: it is read with each send and changes seldom.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no gate.
    """
    gate = pb.Gate.FromString(raw)
    rights = {member.user_id: _rights(member) for member in gate.members}
    return GateSnapshot(UUID(gate.conversation_id), gate.gate_version, _STATES[gate.state], rights, raw)


def _rights(member: pb.Member) -> Rights:
    # An unknown value of a newer release is treated as absent, hence denied.
    return Rights(
        user_id=member.user_id,
        can_send=member.can_send,
        refusal=_REFUSALS.get(member.refusal, Refused.UNDELIVERABLE),
        message_limit=member.message_limit if member.HasField("message_limit") else None,
        folder=_FOLDERS.get(member.folder, Folder.NONE),
        state=_STATES[member.state],
        version=member.version,
        shares_receipts=member.shares_receipts,
        left=member.left,
        links_clickable=member.links_clickable,
        receipts_hidden=member.receipts_hidden,
    )


def timestamp(at: datetime) -> Timestamp:
    """A protobuf timestamp."""
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def instant(stamp: Timestamp) -> datetime:
    """An aware UTC datetime."""
    return stamp.ToDatetime(UTC)


def refusal_to_proto(refused: Refused) -> pb.Refusal:
    """A refusal as the contract names it."""
    return pb.Refusal(reason=_REFUSALS_OUT[refused])


def folder_to_proto(folder: Folder) -> pb.Folder.ValueType:
    """A folder; NONE is the unspecified one."""
    return _FOLDERS_OUT.get(folder, pb.FOLDER_UNSPECIFIED)


def state_to_proto(state: State) -> pb.ConversationState.ValueType:
    """A state."""
    return _STATES_OUT[state]


def message_to_proto(message: StoredMessage) -> pb.Message:
    """A stored message, with the links it has: see `StoredMessage.shown_to`."""
    return pb.Message(
        id=str(message.id),
        client_message_id=message.client_message_id,
        conversation_id=str(message.conversation_id),
        seq=message.seq,
        change_seq=message.change_seq,
        sender_id=message.sender_id,
        kind=_KINDS_OUT[message.kind],
        text=message.text,
        created_at=timestamp(message.created_at),
        reply_to_id="" if message.reply_to_id is None else str(message.reply_to_id),
        edited_at=None if message.edited_at is None else timestamp(message.edited_at),
        redacted_at=None if message.redacted_at is None else timestamp(message.redacted_at),
        redacted_by=message.redacted_by or "",
        links=[pb.Link(start=link.start, end=link.end, url=link.url) for link in message.links],
    )
