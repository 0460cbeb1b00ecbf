"""Protobuf to the JSON of the contract."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc
from splits.chat.presence.v1 import service_pb2 as presence_rpc

from edge_gateway import views
from edge_gateway.sockets import ephemeral
from tests.support import contract

AT = Timestamp(seconds=1732752000, nanos=123_999_999)
TIME = "2024-11-28T00:00:00.123Z"


def profile(user_id: str, **more: object) -> conversation_pb.Profile:
    fields: dict[str, object] = {
        "user_id": user_id,
        "display_name": user_id,
        "role": conversation_pb.ROLE_RECRUITER,
    }
    return conversation_pb.Profile(**{**fields, **more})  # type: ignore[arg-type]


def a_message(**more: object) -> message_pb.Message:
    fields: dict[str, object] = {
        "id": "m",
        "client_message_id": "c",
        "conversation_id": "k",
        "seq": 1,
        "change_seq": 1,
        "sender_id": "ada",
        "kind": message_pb.MESSAGE_KIND_TEXT,
        "text": "hi",
        "created_at": AT,
    }
    return message_pb.Message(**{**fields, **more})  # type: ignore[arg-type]


def details(**more: object) -> conversation_pb.Conversation:
    fields: dict[str, object] = {
        "id": "k",
        "state": message_pb.CONVERSATION_STATE_ACTIVE,
        "kind": conversation_pb.CONVERSATION_KIND_DIRECT,
        "initiator_id": "ada",
        "participants": [
            conversation_pb.Participant(
                user=profile("ada"), side=conversation_pb.SIDE_INITIATOR, joined_at=AT
            ),
            conversation_pb.Participant(
                user=profile("bob"), side=conversation_pb.SIDE_RECIPIENT, joined_at=AT
            ),
            conversation_pb.Participant(
                user=profile("eve"), side=conversation_pb.SIDE_RECIPIENT, joined_at=AT, left_at=AT
            ),
        ],
        "policy": conversation_pb.Policy(can_send=True),
        "version": 4,
        "created_at": AT,
        "updated_at": AT,
    }
    return conversation_pb.Conversation(**{**fields, **more})  # type: ignore[arg-type]


def a_view(**more: object) -> message_pb.MemberView:
    fields: dict[str, object] = {
        "conversation_id": "k",
        "folder": message_pb.FOLDER_INBOX,
        "last_read_seq": 1,
        "unread_count": 2,
        "last_seq": 3,
        "change_seq": 5,
        "last_message_at": AT,
        "last_message": a_message(),
        "read_pointers": [message_pb.ReadPointer(user_id="bob", last_read_seq=0)],
    }
    return message_pb.MemberView(**{**fields, **more})  # type: ignore[arg-type]


def test_a_conversation_is_what_both_services_know() -> None:
    shown = views.conversation(details(), a_view(), "ada")
    contract.check_schema("Conversation", shown)
    assert (shown["lastSeq"], shown["changeSeq"], shown["unreadCount"], shown["version"]) == (3, 5, 2, 4)
    assert shown["createdAt"] == shown["lastMessageAt"] == TIME
    assert shown["context"] is None
    read = {each["user"]["id"]: each["lastReadSeq"] for each in shown["participants"]}
    assert read == {"ada": 1, "bob": 0, "eve": None}


def test_every_state_folder_side_and_reason_has_its_word() -> None:
    for state in views.STATES:
        contract.check_schema("Conversation", views.conversation(details(state=state), a_view(), "ada"))
    for folder in views.FOLDERS:
        contract.check_schema("Conversation", views.conversation(details(), a_view(folder=folder), "ada"))
    for reason in conversation_pb.PolicyReason.values():
        policy = conversation_pb.Policy(reason=reason, messages_left=0)
        contract.check_schema("Policy", views.policy(policy))
    named = {
        message_pb.ConversationState: views.STATES,
        conversation_pb.ConversationKind: views.KINDS,
        conversation_pb.Side: views.SIDES,
        message_pb.MessageKind: views.MESSAGE_KINDS,
    }
    for enum, words in named.items():
        assert set(enum.values()) - {0} == set(words)
    for enum, optional in ((conversation_pb.Role, views.ROLES), (message_pb.Folder, views.FOLDERS)):
        assert set(enum.values()) == set(optional)
    assert set(conversation_pb.PolicyReason.values()) == set(views.POLICY_REASONS)


def test_an_archived_conversation_stands_in_the_archive() -> None:
    assert views.folder(a_view(archived=True)) == "archived"


def test_a_policy_tells_no_limit_from_none_left() -> None:
    assert views.policy(conversation_pb.Policy())["messagesLeft"] is None
    assert views.policy(conversation_pb.Policy(messages_left=0))["messagesLeft"] == 0


def test_a_redacted_message_has_no_text_whatever_reached_us() -> None:
    shown = views.message(a_message(redacted_at=AT, redacted_by="mod"))
    contract.check_schema("Message", shown)
    assert (shown["text"], shown["redactedAt"], shown["redactedBy"]) == ("", TIME, "mod")


def test_a_context_shows_only_what_is_set() -> None:
    assert views.context(conversation_pb.Context(job_id="j")) == {"jobId": "j"}
    shown = views.conversation(details(context=conversation_pb.Context()), a_view(), "ada")
    assert shown["context"] is None


def test_somebody_of_whom_only_the_id_is_known_is_still_a_user() -> None:
    shown = views.user(conversation_pb.Profile(user_id="ghost"))
    contract.check_schema("User", shown)
    assert (shown["role"], shown["displayName"], shown["avatarUrl"]) == (None, "", None)


def test_an_event_names_those_who_are_in_it() -> None:
    data = views.conversation_event(details(), a_view(), message_pb.UnreadTotals(messages=2))
    frame = {
        "type": "conversation.updated",
        "eventId": "e",
        "eventVersion": 1,
        "occurredAt": TIME,
        "cursor": "1-0",
        "conversationId": "k",
        "data": data,
    }
    contract.check_frame(frame)
    assert data["conversation"]["participantIds"] == ["ada", "bob"]
    assert data["unread"] == {"messages": 2, "conversations": 0, "requests": 0}


def test_a_watch_items_removal_is_told_only_when_true() -> None:
    item = message_rpc.WatchItem(
        conversation_id="k", state=message_pb.CONVERSATION_STATE_ACTIVE, changed_at=AT, last_seq=1
    )
    assert "removed" not in views.watch_item(item)
    item.removed = True
    assert views.watch_item(item)["removed"] is True


def test_a_block_and_a_read_mark_are_as_the_contract_has_them() -> None:
    block = views.block(conversation_rpc.Block(user=profile("eve"), blocked_at=AT))
    contract.check_schema("BlockPage", {"items": [block], "nextCursor": None})
    contract.check_schema("ReadMark", views.read_mark(message_rpc.MarkReadResponse(last_read_seq=3)))


def test_somebody_who_was_never_seen_reads_as_one_who_is_not_to_be_seen() -> None:
    never = presence_rpc.Presence(user_id="eve", status=presence_rpc.STATUS_OFFLINE)
    assert views.presence(never) == ephemeral.gone("eve")
    for status, word in views.PRESENCES.items():
        person = presence_rpc.Presence(user_id="eve", status=status, last_seen_at=AT)  # type: ignore[arg-type]
        assert views.presence(person) == {"userId": "eve", "status": word, "lastSeenAt": TIME}
        contract.check_schema("Presence", views.presence(person))


def test_times_are_utc_with_milliseconds() -> None:
    assert views.time(Timestamp(seconds=0)) == "1970-01-01T00:00:00.000Z"
    assert views.unix_time(1e30) == "9999-12-31T23:59:59.000Z"
    assert views.rfc3339(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"
