"""What calls are answered: results of actions and rows of the store -> proto. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from message_svc import store
from message_svc.actions.apply_gates import Held
from message_svc.actions.send_messages import Lost, Outcome
from message_svc.codec import (
    folder_to_proto,
    message_to_proto,
    refusal_to_proto,
    state_to_proto,
    timestamp,
)
from message_svc.domain import Placed, Refused, Repeated, StoredMessage
from servicekit.errors import Reason


def seen_by(sender_id: str, decision: Placed | Repeated) -> StoredMessage:
    """The message as whoever sent it sees it."""
    if isinstance(decision, Repeated):
        return decision.message
    return decision.message.shown_to(decision.gate.snapshot.rights.get(sender_id))


def send_outcome(sender_id: str, found: Outcome) -> rpc.SendOutcome:
    """What became of one send."""
    if isinstance(found, Placed):
        return rpc.SendOutcome(stored=message_to_proto(seen_by(sender_id, found)))
    if isinstance(found, Repeated):
        return rpc.SendOutcome(repeated=message_to_proto(found.message))
    if isinstance(found, Refused):
        return rpc.SendOutcome(refused=refusal_to_proto(found))
    if isinstance(found, Lost):
        code, message = Reason.UNAVAILABLE, "The message was not stored; send it again."
    else:
        code, message = Reason.VALIDATION_FAILED, "The message cannot be stored."
    return rpc.SendOutcome(fault=rpc.SendFault(code=code.value, message=message))


def held_gate(held: Held) -> rpc.HeldGate:
    """A gate as it is held now."""
    return rpc.HeldGate(
        conversation_id=str(held.conversation_id),
        gate_version=held.gate_version,
        differs=held.differs,
        opened=held.opened,
    )


def unread_totals(totals: store.Totals) -> pb.UnreadTotals:
    """Totals of unread."""
    return pb.UnreadTotals(
        messages=totals.messages, conversations=totals.conversations, requests=totals.requests
    )


def _pointers(view: store.View) -> Sequence[pb.ReadPointer]:
    return [pb.ReadPointer(user_id=user_id, last_read_seq=seq) for user_id, seq in view.read_pointers]


def member_view(view: store.View) -> pb.MemberView:
    """A line of somebody's inbox."""
    member = view.member
    return pb.MemberView(
        conversation_id=str(member.conversation_id),
        folder=folder_to_proto(member.folder),
        last_read_seq=member.last_read_seq,
        unread_count=member.unread,
        muted=member.muted,
        archived=member.archived,
        last_seq=view.last_seq,
        change_seq=view.last_change,
        last_message_at=timestamp(view.last_message.created_at),
        last_message=message_to_proto(view.last_message),
        read_pointers=_pointers(view),
        version=member.version,
        changed_at=timestamp(member.changed_at),
        state=state_to_proto(member.state),
    )


def watch_item(item: store.Watched) -> rpc.WatchItem:
    """An entry of somebody's watch list."""
    member = item.member
    return rpc.WatchItem(
        conversation_id=str(member.conversation_id),
        version=member.version,
        last_seq=item.last_seq,
        change_seq=item.last_change,
        last_read_seq=member.last_read_seq,
        changed_at=timestamp(member.changed_at),
        removed=member.left_at is not None,
        state=state_to_proto(member.state),
    )
