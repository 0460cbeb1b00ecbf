"""Durable events on their way: forwarded as bytes, or kept without what they say."""

from __future__ import annotations

import orjson
import pytest

from edge_gateway.sockets import events
from tests.support.sockets import OTHER, WHERE, event, message_event


def entry(**fields: object) -> dict[bytes, bytes]:
    """Fields of a stream's entry."""
    return {
        name.encode(): value.encode() if isinstance(value, str) else orjson.dumps(value)
        for name, value in fields.items()
    }


def test_an_event_is_forwarded_with_its_cursor_and_otherwise_as_it_was() -> None:
    body = orjson.dumps({"type": "message.created", "eventId": "e", "data": {"message": {"text": 'a "b" {'}}})
    came = events.published(b"17-0\n" + body)
    assert not came.needs_join
    assert came.forwarded().endswith(body[1:])
    assert orjson.loads(came.forwarded()) == {"cursor": "17-0", **orjson.loads(body)}


def test_a_message_that_waits_is_kept_by_its_place_and_without_its_body() -> None:
    came = events.published(message_event(7, "secret"))
    kept = came.event()
    assert kept.message == (WHERE, 7)
    assert "secret" not in repr(kept)
    assert orjson.loads(kept.frame({"message": "as it stands"})) == {
        **orjson.loads(came.forwarded()),
        "data": {"message": "as it stands"},
    }


def test_a_conversations_event_waits_for_the_receivers_own_view() -> None:
    came = events.published(event("conversation.updated", OTHER, number=3))
    assert came.needs_join
    kept = came.event()
    assert (kept.conversation, kept.message) == (OTHER, None)
    assert orjson.loads(kept.frame({"self": None})) == {
        **orjson.loads(came.forwarded()),
        "data": {"self": None},
    }


@pytest.mark.parametrize("name", ["read.receipt", "block.created", "conversation.updated", "message.updated"])
def test_an_event_is_the_same_from_its_channel_and_from_its_stream(name: str) -> None:
    refs = {"userId": "bob", "seq": 4} if name != "conversation.updated" else {"version": 3}
    data = {"message": refs} if name == "message.updated" else refs
    live = events.published(event(name, WHERE, number=9, **data))
    frame = orjson.loads(live.body)
    replayed = events.stored(
        b"17-9",
        entry(type=name, eventId=frame["eventId"], at=frame["occurredAt"], conversationId=WHERE, refs=refs),
    )
    assert live.event() == replayed


@pytest.mark.parametrize("payload", [b"", b"17-0", b"17-0\n", b"17-0\n[]", b'17-0\n{"type"', b"17-0\n{}"])
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not an event"):
        events.published(payload)


AT = "2026-01-02T03:04:05.678Z"
ABOUT = {"eventId": "e", "eventVersion": 1, "occurredAt": AT, "conversationId": WHERE, "data": {"seq": 1}}
DEEP = b"[" * 1000 + b"]" * 1000


@pytest.mark.parametrize(
    "body",
    [
        {"type": "message.created"},
        {"type": "message.created", "eventId": "e", "eventVersion": 1, "occurredAt": AT, "data": {}},
        {"type": "message.created", "eventId": "e", "eventVersion": 1, "occurredAt": AT, "data": []},
        {"type": "conversation.updated", "eventId": "e", "eventVersion": 1, "occurredAt": AT},
        {"type": "read.receipt", "eventId": "e", "eventVersion": [], "occurredAt": AT, "data": {}},
    ],
)
def test_an_event_that_does_not_say_what_it_is_about_is_not_kept(body: object) -> None:
    with pytest.raises(ValueError, match="not an event"):
        events.published(b"17-0\n" + orjson.dumps(body)).event()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", DEEP),
        ("eventId", DEEP),
        ("eventVersion", b"1e999"),
        ("eventVersion", b"true"),
        ("occurredAt", b'"2026-01-02"'),
        ("conversationId", b'"nowhere"'),
        ("data", b'{"message":{"seq":9223372036854775808}}'),
    ],
)
def test_an_event_with_a_member_that_nobody_means_is_not_kept(name: str, value: bytes) -> None:
    good = {"type": "message.updated", **ABOUT, "data": {"message": {"seq": 1}}}
    assert events.published(b"17-0\n" + orjson.dumps(good)).event().message == (WHERE, 1)
    body = orjson.dumps({**good, name: "?"}).replace(b'"?"', value)
    with pytest.raises(ValueError, match="not an event"):
        events.published(b"17-0\n" + body).event()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        entry(type="message.created", eventId="e", at=AT, refs={"seq": 1}),
        entry(type="message.created", eventId="e", at=AT, refs={"seq": "1"}, conversationId=WHERE),
        entry(type="message.created", eventId="e", at=AT, refs={"seq": 0}, conversationId=WHERE),
        entry(type="read.receipt", eventId="e", at=AT, refs=[1], conversationId=WHERE),
        entry(type="read.receipt", eventId="e", at=AT, refs="{", conversationId=WHERE),
        {b"type": b"\xff", b"eventId": b"e", b"at": AT.encode(), b"refs": b"{}"},
        entry(
            type="read.receipt",
            eventId="e",
            at=AT,
            refs='{"a":' * 300 + "1" + "}" * 300,
            conversationId=WHERE,
        ),
        # What a service would refuse, or nobody can read, would end every sync that comes to it.
        entry(type="conversation.updated", eventId="e", at="yesterday", refs={}, conversationId=WHERE),
        entry(
            type="conversation.updated", eventId="e", at="2026-01-02T03:04:05", refs={}, conversationId=WHERE
        ),
        entry(type="conversation.updated", eventId="e", at=AT, refs={}, conversationId="nowhere"),
        entry(type="message.created", eventId="e", at=AT, refs={"seq": 2**63}, conversationId=WHERE),
    ],
)
def test_a_garbage_entry_of_a_stream_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        events.stored(b"17-0", fields)
