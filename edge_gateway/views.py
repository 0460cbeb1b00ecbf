"""Protobuf to the JSON of the public contract. Pure: each function returns what orjson writes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_service_pb
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_service_pb
from splits.chat.presence.v1 import service_pb2 as presence_pb

Json = dict[str, Any]

ROLES: Mapping[int, str | None] = {
    conversation_pb.ROLE_UNSPECIFIED: None,
    conversation_pb.ROLE_RECRUITER: "recruiter",
    conversation_pb.ROLE_COMPANY: "company",
    conversation_pb.ROLE_CANDIDATE: "candidate",
    conversation_pb.ROLE_MODERATOR: "moderator",
    conversation_pb.ROLE_ADMIN: "admin",
}
PRESENCES: Mapping[int, str] = {
    presence_pb.STATUS_ONLINE: "online",
    presence_pb.STATUS_AWAY: "away",
    presence_pb.STATUS_OFFLINE: "offline",
}
STATES: Mapping[int, str] = {
    message_pb.CONVERSATION_STATE_REQUEST: "request",
    message_pb.CONVERSATION_STATE_ACTIVE: "active",
    message_pb.CONVERSATION_STATE_DECLINED: "declined",
    message_pb.CONVERSATION_STATE_WITHDRAWN: "withdrawn",
    message_pb.CONVERSATION_STATE_EXPIRED: "expired",
}
KINDS: Mapping[int, str] = {
    conversation_pb.CONVERSATION_KIND_DIRECT: "direct",
    conversation_pb.CONVERSATION_KIND_TEAM: "team",
}
SIDES: Mapping[int, str] = {
    conversation_pb.SIDE_INITIATOR: "initiator",
    conversation_pb.SIDE_RECIPIENT: "recipient",
}
MESSAGE_KINDS: Mapping[int, str] = {
    message_pb.MESSAGE_KIND_TEXT: "text",
    message_pb.MESSAGE_KIND_SYSTEM: "system",
}
FOLDERS: Mapping[int, str | None] = {
    message_pb.FOLDER_UNSPECIFIED: None,
    message_pb.FOLDER_INBOX: "inbox",
    message_pb.FOLDER_REQUESTS: "requests",
    message_pb.FOLDER_SENT: "sent",
}
POLICY_REASONS: Mapping[int, str | None] = {
    conversation_pb.POLICY_REASON_UNSPECIFIED: None,
    conversation_pb.POLICY_REASON_REQUEST_PENDING: "request_pending",
    conversation_pb.POLICY_REASON_ACCEPT_REQUIRED: "accept_required",
    conversation_pb.POLICY_REASON_REQUEST_CLOSED: "request_closed",
    conversation_pb.POLICY_REASON_BLOCKED_BY_ME: "blocked_by_me",
}
_CONTEXT_FIELDS = {
    "job_id": "jobId",
    "job_title": "jobTitle",
    "company_name": "companyName",
    "company_logo_url": "companyLogoUrl",
    "application_id": "applicationId",
    "url": "url",
}


def rfc3339(at: datetime) -> str:
    """UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time(at: Timestamp) -> str:
    """A timestamp, its parts below a millisecond cut off."""
    return f"{_second(at.seconds)}.{at.nanos // 1_000_000:03}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Many messages are of the same one."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


@lru_cache(maxsize=4096)
def unix_time(seconds: float) -> str:
    """Seconds since 1970; a time beyond the year 9999 is its end. Many tokens are over at the same one."""
    return rfc3339(datetime.fromtimestamp(min(seconds, 253_402_300_799.0), UTC))


def user(profile: conversation_pb.Profile) -> Json:
    """`User`. `role` is null for somebody the chat has only an id of."""
    return {
        "id": profile.user_id,
        "displayName": profile.display_name,
        "avatarUrl": profile.avatar_url or None,
        "role": ROLES.get(profile.role),
        "orgId": profile.org_id or None,
        "orgName": profile.org_name or None,
        "orgVerified": profile.org_verified,
    }


def unread(totals: message_pb.UnreadTotals) -> Json:
    """`Unread`."""
    return {
        "messages": totals.messages,
        "conversations": totals.conversations,
        "requests": totals.requests,
    }


def message(stored: message_pb.Message) -> Json:
    """`Message`. A redacted one has no text, whatever reached us."""
    redacted = stored.HasField("redacted_at")
    return {
        "id": stored.id,
        "clientMessageId": stored.client_message_id,
        "conversationId": stored.conversation_id,
        "seq": stored.seq,
        "changeSeq": stored.change_seq,
        "senderId": stored.sender_id,
        "kind": MESSAGE_KINDS[stored.kind],
        "text": "" if redacted else stored.text,
        "links": []
        if redacted
        else [{"start": link.start, "end": link.end, "url": link.url} for link in stored.links],
        "attachments": [],
        "replyToId": stored.reply_to_id or None,
        "createdAt": time(stored.created_at),
        "editedAt": _maybe_time(stored, "edited_at"),
        "redactedAt": time(stored.redacted_at) if redacted else None,
        "redactedBy": stored.redacted_by or None,
    }


def context(given: conversation_pb.Context) -> Json:
    """`Context`: only what is set."""
    return {public: value for field, public in _CONTEXT_FIELDS.items() if (value := getattr(given, field))}


def policy(of: conversation_pb.Policy) -> Json:
    """`Policy`."""
    return {
        "canSend": of.can_send,
        "reason": POLICY_REASONS.get(of.reason),
        "linksClickable": of.links_clickable,
        "attachmentsAllowed": of.attachments_allowed,
        "messagesLeft": of.messages_left if of.HasField("messages_left") else None,
    }


def folder(view: message_pb.MemberView) -> str | None:
    """In which list it stands; null = in none (declined, withdrawn or expired: readable by id)."""
    return "archived" if view.archived else FOLDERS.get(view.folder)


def version(details: conversation_pb.Conversation, view: message_pb.MemberView) -> int:
    """The version that both services know. A member view without one is an older release's."""
    return min(details.version, view.version) if view.version else details.version


def conversation(details: conversation_pb.Conversation, view: message_pb.MemberView, viewer_id: str) -> Json:
    """`Conversation` as one participant sees it: who and what about, joined with what was said and read."""
    read = {pointer.user_id: pointer.last_read_seq for pointer in view.read_pointers}
    read[viewer_id] = view.last_read_seq
    return {
        "id": details.id,
        "state": STATES[details.state],
        "kind": KINDS[details.kind],
        "initiatorId": details.initiator_id,
        "assigneeId": details.assignee_id or None,
        "participants": [
            {
                "user": user(participant.user),
                "side": SIDES[participant.side],
                "joinedAt": time(participant.joined_at),
                "leftAt": _maybe_time(participant, "left_at"),
                "lastReadSeq": read.get(participant.user.user_id),
            }
            for participant in details.participants
        ],
        "context": _context_or_none(details),
        "policy": policy(details.policy),
        "lastMessage": message(view.last_message) if view.HasField("last_message") else None,
        "lastMessageAt": _maybe_time(view, "last_message_at"),
        "lastSeq": view.last_seq,
        "changeSeq": view.change_seq,
        "lastReadSeq": view.last_read_seq,
        "unreadCount": view.unread_count,
        "folder": folder(view),
        "muted": view.muted,
        "archived": view.archived,
        "blockedByMe": details.blocked_by_me,
        "version": version(details, view),
        "createdAt": time(details.created_at),
        "updatedAt": time(details.updated_at),
    }


def conversation_event(
    details: conversation_pb.Conversation, view: message_pb.MemberView, totals: message_pb.UnreadTotals
) -> Json:
    """`data` of the `conversation.*` frames: the conversation, and the receiver's own side of it."""
    return {
        "conversation": {
            "id": details.id,
            "state": STATES[details.state],
            "kind": KINDS[details.kind],
            "initiatorId": details.initiator_id,
            "assigneeId": details.assignee_id or None,
            "participantIds": [
                participant.user.user_id
                for participant in details.participants
                if not participant.HasField("left_at")
            ],
            "context": _context_or_none(details),
            "version": version(details, view),
            "lastSeq": view.last_seq,
            "changeSeq": view.change_seq,
            "lastMessageAt": _maybe_time(view, "last_message_at"),
        },
        "self": {
            "folder": folder(view),
            "lastReadSeq": view.last_read_seq,
            "unreadCount": view.unread_count,
            "muted": view.muted,
            "archived": view.archived,
            "policy": policy(details.policy),
            "blockedByMe": details.blocked_by_me,
        },
        "unread": unread(totals),
    }


def watch_item(item: message_service_pb.WatchItem) -> Json:
    """One row of the watch list; `removed` stands there only when true."""
    row: Json = {
        "conversationId": item.conversation_id,
        "state": STATES[item.state],
        "version": item.version,
        "lastSeq": item.last_seq,
        "changeSeq": item.change_seq,
        "lastReadSeq": item.last_read_seq,
        "changedAt": time(item.changed_at),
    }
    if item.removed:
        row["removed"] = True
    return row


def read_mark(answer: message_service_pb.MarkReadResponse) -> Json:
    """Answer of `PUT /read`."""
    return {
        "lastReadSeq": answer.last_read_seq,
        "unreadCount": answer.unread_count,
        "unread": unread(answer.unread),
    }


def settings(of: conversation_service_pb.Settings) -> Json:
    """`Settings`."""
    return {
        "readReceipts": of.read_receipts,
        "typingIndicators": of.typing_indicators,
        "presence": of.presence,
    }


def block(entry: conversation_service_pb.Block) -> Json:
    """One row of `GET /blocks`."""
    return {"user": user(entry.user), "blockedAt": time(entry.blocked_at)}


def presence(person: presence_pb.Presence) -> Json:
    """`Presence`, as its viewer may see it."""
    return {
        "userId": person.user_id,
        "status": PRESENCES[person.status],
        "lastSeenAt": time(person.last_seen_at) if person.HasField("last_seen_at") else None,
    }


def _context_or_none(details: conversation_pb.Conversation) -> Json | None:
    return (context(details.context) or None) if details.HasField("context") else None


def _maybe_time(holder: ProtoMessage, field: str) -> str | None:
    return time(getattr(holder, field)) if holder.HasField(field) else None
