"""Frames as lines for a person."""

import pytest

from chatctl.tail import printable, readable

CONVERSATION = "0199c0de-0000-7000-8000-000000000001"


def frame(kind: str, data: object) -> dict[str, object]:
    at = "2025-11-28T09:30:15.123Z"
    return {"type": kind, "eventId": "1-0", "occurredAt": at, "conversationId": CONVERSATION, "data": data}


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (
            "message.created",
            {"message": {"seq": 3, "senderId": "ada", "text": "hi\nthere"}},
            r"#3 ada: hi\nthere",
        ),
        ("read.receipt", {"userId": "ben", "lastReadSeq": 3}, "ben has read to #3"),
        ("block.created", {"userId": "ben", "version": 1}, "ben"),
        (
            "conversation.accepted",
            {"conversation": {"state": "active"}, "self": {"folder": "inbox", "unreadCount": 2}},
            "active, in inbox, 2 unread",
        ),
        ("conversation.updated", {"conversation": {"state": "active"}, "self": None}, "left"),
        ("something.new", {"a": 1}, ""),
    ],
)
def test_a_frame_becomes_one_line(kind: str, data: object, line: str) -> None:
    shown = readable(frame(kind, data))
    assert shown.startswith("09:30:15 " + kind)
    assert CONVERSATION in shown
    assert shown.endswith(line)


def test_the_welcome_tells_the_unread_counts() -> None:
    data = {"userId": "ada", "unread": {"messages": 4, "conversations": 2, "requests": 1}}
    shown = readable({"type": "system.welcome", "occurredAt": "2025-11-28T09:30:15.123Z", "data": data})
    assert shown == "09:30:15 system.welcome         ada: 4 unread, 1 requests"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\u202eb", r"a\u202eb"),
        ("é 好 🎉", "é 好 🎉"),
        ("a\tb\r\n", r"a\tb\r\n"),
    ],
)
def test_what_others_wrote_cannot_steer_the_terminal(written: str, shown: str) -> None:
    assert printable(written) == shown
