"""Domain <-> contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2

from conversation_svc.domain import (
    Company,
    Context,
    Folder,
    Gate,
    Kind,
    Member,
    Participant,
    Policy,
    PolicyReason,
    Profile,
    Refusal,
    Role,
    Settings,
    Side,
    Situation,
    StartKey,
    State,
    view_of,
)
from conversation_svc.domain.mail import View
from servicekit.errors import ChatError, Reason, Violation

_STATES = {
    State.REQUEST: message_pb2.CONVERSATION_STATE_REQUEST,
    State.ACTIVE: message_pb2.CONVERSATION_STATE_ACTIVE,
    State.DECLINED: message_pb2.CONVERSATION_STATE_DECLINED,
    State.WITHDRAWN: message_pb2.CONVERSATION_STATE_WITHDRAWN,
    State.EXPIRED: message_pb2.CONVERSATION_STATE_EXPIRED,
}
_FOLDERS = {
    Folder.NONE: message_pb2.FOLDER_UNSPECIFIED,
    Folder.INBOX: message_pb2.FOLDER_INBOX,
    Folder.REQUESTS: message_pb2.FOLDER_REQUESTS,
    Folder.SENT: message_pb2.FOLDER_SENT,
}
_FROM_FOLDERS = {number: folder for folder, number in _FOLDERS.items()}
_REFUSALS = {
    Refusal.NOT_FOUND: message_pb2.REFUSAL_REASON_NOT_FOUND,
    Refusal.REQUEST_PENDING: message_pb2.REFUSAL_REASON_REQUEST_PENDING,
    Refusal.REQUEST_CLOSED: message_pb2.REFUSAL_REASON_REQUEST_CLOSED,
    Refusal.UNDELIVERABLE: message_pb2.REFUSAL_REASON_UNDELIVERABLE,
    Refusal.IDEMPOTENCY_CONFLICT: message_pb2.REFUSAL_REASON_IDEMPOTENCY_CONFLICT,
    Refusal.ACCEPT_REQUIRED: message_pb2.REFUSAL_REASON_ACCEPT_REQUIRED,
    Refusal.FORBIDDEN: message_pb2.REFUSAL_REASON_FORBIDDEN,
    Refusal.REPLY_NOT_FOUND: message_pb2.REFUSAL_REASON_REPLY_NOT_FOUND,
}
_FROM_REFUSALS = {number: refusal for refusal, number in _REFUSALS.items()}
_ROLES = {
    Role.RECRUITER: pb.ROLE_RECRUITER,
    Role.COMPANY: pb.ROLE_COMPANY,
    Role.CANDIDATE: pb.ROLE_CANDIDATE,
    Role.MODERATOR: pb.ROLE_MODERATOR,
    Role.ADMIN: pb.ROLE_ADMIN,
}
_FROM_ROLES = {number: role for role, number in _ROLES.items()}
_KINDS = {Kind.DIRECT: pb.CONVERSATION_KIND_DIRECT, Kind.TEAM: pb.CONVERSATION_KIND_TEAM}
_SIDES = {Side.INITIATOR: pb.SIDE_INITIATOR, Side.RECIPIENT: pb.SIDE_RECIPIENT}
_POLICY_REASONS: dict[PolicyReason | None, pb.PolicyReason.ValueType] = {
    None: pb.POLICY_REASON_UNSPECIFIED,
    PolicyReason.REQUEST_PENDING: pb.POLICY_REASON_REQUEST_PENDING,
    PolicyReason.ACCEPT_REQUIRED: pb.POLICY_REASON_ACCEPT_REQUIRED,
    PolicyReason.REQUEST_CLOSED: pb.POLICY_REASON_REQUEST_CLOSED,
    PolicyReason.BLOCKED_BY_ME: pb.POLICY_REASON_BLOCKED_BY_ME,
}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(at: datetime) -> Timestamp:
    """A time of ours (aware) as the contract has it."""
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def instant(stamp: Timestamp) -> datetime:
    """A time of the contract, aware, in UTC, to the microsecond. ValueError outside the years 1 to 9999."""
    return stamp.ToDatetime(tzinfo=UTC)


def refusal_to_proto(refusal: Refusal) -> message_pb2.Refusal:
    return message_pb2.Refusal(reason=_REFUSALS[refusal])


def refusal_from_proto(refusal: message_pb2.Refusal) -> Refusal:
    """One that a newer message_svc made up reads as UNDELIVERABLE: it tells least."""
    return _FROM_REFUSALS.get(refusal.reason, Refusal.UNDELIVERABLE)


def gate_to_proto(gate: Gate) -> message_pb2.Gate:
    """The same gate makes the same bytes: message_svc compares them."""
    return message_pb2.Gate(
        conversation_id=str(gate.conversation_id),
        gate_version=gate.version,
        state=_STATES[gate.state],
        members=[_member(member) for member in gate.members],
    )


def _member(member: Member) -> message_pb2.Member:
    made = message_pb2.Member(
        user_id=member.user_id,
        can_send=member.can_send,
        links_clickable=member.links_clickable,
        attachments_allowed=member.attachments_allowed,
        folder=_FOLDERS[member.folder],
        shares_receipts=member.shares_receipts,
        left=member.left,
        state=_STATES[member.state],
        version=member.version,
    )
    if member.refusal is not None:
        made.refusal = _REFUSALS[member.refusal]
    if member.message_limit is not None:
        made.message_limit = member.message_limit
    if member.receipts_hidden:  # absent, not false: so a gate has the bytes that earlier releases gave it
        made.receipts_hidden = True
    return made


def profile_to_proto(profile: Profile) -> pb.Profile:
    return pb.Profile(
        user_id=profile.user_id,
        display_name=profile.display_name,
        avatar_url=profile.avatar_url,
        role=_ROLES[profile.role] if profile.role else pb.ROLE_UNSPECIFIED,
        org_id=profile.org_id,
        org_name=profile.org_name,
        org_verified=profile.org_verified,
    )


def profile_from_proto(profile: pb.Profile) -> Profile:
    """`role` is None when it is unspecified."""
    return Profile(
        user_id=profile.user_id,
        display_name=profile.display_name,
        avatar_url=profile.avatar_url,
        role=_FROM_ROLES.get(profile.role),
        org_id=profile.org_id,
        org_name=profile.org_name,
        org_verified=profile.org_verified,
    )


def settings_to_proto(settings: Settings) -> rpc.Settings:
    return rpc.Settings(
        read_receipts=settings.read_receipts,
        typing_indicators=settings.typing_indicators,
        presence=settings.presence,
    )


def company_to_proto(company: Company | None) -> rpc.Company:
    """None = the viewer is not in that conversation."""
    companions = company.companions if company else ()
    return rpc.Company(
        found=company is not None,
        companions=[
            rpc.Companion(user_id=each.user_id, presence=each.presence, typing=each.typing)
            for each in companions
        ],
    )


def view_from_proto(view: message_pb2.MemberView) -> View:
    """What the mail about unread messages goes by."""
    return View(
        folder=_FROM_FOLDERS.get(view.folder, Folder.NONE),
        unread=view.unread_count,
        last_read_seq=view.last_read_seq,
        last_seq=view.last_seq,
        muted=view.muted,
        archived=view.archived,
    )


def context_from_proto(context: pb.Context) -> Context:
    """As the client gave it; `company_name` is not theirs to give."""
    return Context(
        job_id=context.job_id,
        job_title=context.job_title,
        company_logo_url=context.company_logo_url,
        application_id=context.application_id,
        url=context.url,
    )


def start_key_from_proto(request: rpc.CreateConversationRequest) -> StartKey | None:
    """The request's key and the hash of all else in it; None without a key.

    Over JSON and not over the wire's bytes, so that the hash outlives a release: a field that is empty, or
    new and not given, leaves it as it was. What is ignored in a request is left out.
    """
    if not request.idempotency_key:
        return None
    body = rpc.CreateConversationRequest()
    body.CopyFrom(request)
    body.ClearField("idempotency_key")
    body.context.ClearField("company_name")
    content = MessageToDict(body)
    if not content.get("context"):
        content.pop("context", None)
    digest = blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=32).digest()
    return StartKey(request.idempotency_key, digest)


def conversation_to_proto(situation: Situation, viewer: Participant) -> pb.Conversation:
    """The conversation as the viewer may see it."""
    conversation = situation.conversation
    view = view_of(situation, viewer)
    return pb.Conversation(
        id=str(conversation.id),
        state=_STATES[view.state],
        kind=_KINDS[conversation.kind],
        initiator_id=conversation.initiator_id,
        participants=[_participant(participant) for participant in situation.participants],
        policy=_policy(view.policy),
        blocked_by_me=view.blocked_by_me,
        version=viewer.version,
        created_at=timestamp(conversation.created_at),
        updated_at=timestamp(viewer.updated_at),
        context=None if conversation.context is None else _context(conversation.context),
    )


def _participant(participant: Participant) -> pb.Participant:
    return pb.Participant(
        user=profile_to_proto(participant.user),
        side=_SIDES[participant.side],
        joined_at=timestamp(participant.joined_at),
        left_at=None if participant.left_at is None else timestamp(participant.left_at),
    )


def _policy(policy: Policy) -> pb.Policy:
    return pb.Policy(
        can_send=policy.can_send,
        links_clickable=policy.links_clickable,
        attachments_allowed=policy.attachments_allowed,
        reason=_POLICY_REASONS[policy.reason],
        messages_left=policy.messages_left,
    )


def _context(context: Context) -> pb.Context:
    return pb.Context(
        job_id=context.job_id,
        job_title=context.job_title,
        company_name=context.company_name,
        company_logo_url=context.company_logo_url,
        application_id=context.application_id,
        url=context.url,
    )


def refuse_nul(request: Message) -> None:
    """ChatError VALIDATION_FAILED when a text holds NUL, which Postgres cannot."""
    found = list(_nul_pointers(request, ""))
    if found:
        violations = [Violation(pointer, "string.not_contains", "Must not hold NUL.") for pointer in found]
        raise ChatError(Reason.VALIDATION_FAILED, "The request is not valid.", violations=violations)


def _nul_pointers(value: object, pointer: str) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield pointer
    elif isinstance(value, Message):
        for field, content in value.ListFields():
            yield from _nul_pointers(content, f"{pointer}/{field.json_name}")
    elif isinstance(value, Mapping):
        if any("\0" in text for item in value.items() for text in item if isinstance(text, str)):
            yield pointer  # a key may be what is at fault, so none is named
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for number, item in enumerate(value):
            yield from _nul_pointers(item, f"{pointer}/{number}")
