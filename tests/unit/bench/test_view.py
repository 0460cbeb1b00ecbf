"""A view that is kept up to date equals a fresh one, and one that missed something does not."""

from __future__ import annotations

from typing import Any

import orjson

from bench.load.view import View

WHERE = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def welcome(*, last: int, unread: int, resumed: bool = False, listed: bool = True) -> bytes:
    items = [{"conversationId": WHERE, "lastSeq": last}] if listed else []
    data: dict[str, Any] = {"userId": "bob", "resumed": resumed, "watchList": items}
    data["unread"] = {"messages": unread, "conversations": 1, "requests": 0}
    return orjson.dumps({"type": "system.welcome", "data": data})


def message(seq: int, sender: str = "ada") -> bytes:
    data = {"message": {"conversationId": WHERE, "seq": seq, "senderId": sender}}
    return orjson.dumps({"cursor": f"17-{seq}", "type": "message.created", "data": data})


def view(*frames: bytes) -> View:
    made = View()
    for frame in frames:
        made.take(frame)
    return made


def test_events_bring_a_view_to_what_a_fresh_one_is() -> None:
    fresh = view(welcome(last=4, unread=2))
    assert view(welcome(last=1, unread=0), message(2), message(3, "bob"), message(4)).facts == fresh.facts


def test_what_is_replayed_and_was_in_the_welcome_counts_once() -> None:
    fresh = view(welcome(last=3, unread=2))
    back = view(welcome(last=1, unread=0), welcome(last=3, unread=2, resumed=True), message(2), message(3))
    assert back.facts == fresh.facts
    assert back.cursor == "17-3"


def test_what_has_not_changed_stays_when_it_resumes() -> None:
    fresh = view(welcome(last=1, unread=0))
    assert view(fresh_one := welcome(last=1, unread=0), fresh_one).facts == fresh.facts
    resumed = welcome(last=0, unread=0, resumed=True, listed=False)
    assert view(welcome(last=1, unread=0), resumed).facts == fresh.facts


def test_a_view_that_missed_a_message_is_another() -> None:
    fresh = view(welcome(last=3, unread=2))
    assert view(welcome(last=1, unread=0), message(2)).facts != fresh.facts
