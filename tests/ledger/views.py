"""Views: what people see who load the chat anew (I4), and what their devices know without loading (I9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tests.ledger.history import History
from tests.ledger.model import fresh
from tests.ledger.truth import Member, Stored, Truth
from tests.ledger.violations import Column, View, Violation

_COUNTED = ("inbox", "requests", "sent")


def views_are_counted(truth: Truth, views: Mapping[str, View]) -> Iterator[Violation]:
    """I4: lists, counts, previews and read pointers are what a naive count of the rows says."""
    by_conversation: dict[str, list[Stored]] = defaultdict(list)
    for message in sorted(truth.messages, key=lambda row: row.seq):
        by_conversation[message.conversation].append(message)
    pointers = {(row.conversation, row.user): row.shared_read_seq for row in truth.members}
    for user, view in views.items():
        mine = {row.conversation: row for row in truth.members if row.user == user}
        unread = {key: _unread(row, by_conversation[key]) for key, row in mine.items()}
        told = [key for key, row in mine.items() if row.listed_in in _COUNTED and not row.muted]
        totals = {
            "messages": sum(unread[key] for key in told),
            "conversations": sum(unread[key] > 0 for key in told),
            "requests": sum(mine[key].listed_in == "requests" for key in told),
        }
        if view.unread != totals:
            yield Violation("I4", Column.VIEWS, f"totals of {user}: {view.unread}, counted {totals}")
        for name, items in view.folders.items():
            shown = {item["id"] for item in items}
            counted = {key for key, row in mine.items() if row.listed_in == name}
            if shown != counted or len(items) != len(shown):
                text = f"{name} of {user}: {sorted(shown)}, counted {sorted(counted)}"
                yield Violation("I4", Column.VIEWS, text)
        for key, item in {**view.conversations, **view.unlisted}.items():
            rows = by_conversation[key]
            if key not in mine or not rows:
                continue  # told above
            expected = {
                "lastSeq": len(rows),
                "unreadCount": unread[key],
                "stored unread": unread[key],
                "lastReadSeq": mine[key].last_read_seq,
                "muted": mine[key].muted,
                "archived": mine[key].archived,
                "last message": rows[-1].id,
                "read by": {
                    each["user"]["id"]: pointers.get((key, each["user"]["id"]))
                    for each in item["participants"]
                    if each["user"]["id"] != user
                },
                "messages": [row.id for row in rows],
            }
            shown_item = {
                "lastSeq": item["lastSeq"],
                "unreadCount": item["unreadCount"],
                "stored unread": mine[key].unread,
                "lastReadSeq": item["lastReadSeq"],
                "muted": item["muted"],
                "archived": item["archived"],
                "last message": (item["lastMessage"] or {}).get("id"),
                "read by": {
                    each["user"]["id"]: each["lastReadSeq"]
                    for each in item["participants"]
                    if each["user"]["id"] != user
                },
                "messages": [message["id"] for message in view.messages[key]],
            }
            for what, right in expected.items():
                if shown_item[what] != right:
                    text = f"{what} of {key} for {user}: {shown_item[what]}, counted {right}"
                    yield Violation("I4", Column.VIEWS, text)


def devices_agree(history: History, views: Mapping[str, View]) -> Iterator[Violation]:
    """I9: what a device loaded, and the events since, make what a fresh load shows."""
    for device, model in history.devices.items():
        view = views[model.user]
        known = model.shown()
        there = {**view.conversations, **view.unlisted}
        missing, strange = view.conversations.keys() - known.keys(), known.keys() - there.keys()
        if missing or strange:
            text = f"{device} does not know {sorted(missing)}, and knows {sorted(strange)}"
            yield Violation("I9", Column.VIEWS, text)
        for key, conversation in there.items():
            right = fresh(model.user, conversation, view.messages[key])
            for what, value in known.get(key, {}).items():
                if value != right[what]:
                    text = f"{device}, {what} of {key}: {_differing(value, right[what])}"
                    yield Violation("I9", Column.VIEWS, text)


def _unread(member: Member, messages: list[Stored]) -> int:
    return sum(
        row.seq > member.last_read_seq
        and row.sender != member.user
        and row.kind == "text"
        and not row.redacted
        for row in messages
    )


def _differing(known: Any, right: Any) -> str:
    if isinstance(known, dict) and isinstance(right, dict):
        keys = [key for key in sorted({*known, *right}, key=str) if known.get(key) != right.get(key)]
        return "; ".join(f"{key}: {known.get(key)}, fresh {right.get(key)}" for key in keys[:5])
    return f"{known}, fresh {right}"
