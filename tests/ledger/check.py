"""The checker: what a journal, Postgres and fresh views say of the promises. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.ledger.history import Action, History
from tests.ledger.model import fresh
from tests.ledger.truth import Member, Stored, Truth

Json = dict[str, Any]


class Column(StrEnum):
    """Where a violation counts in the table."""

    LOST = "lost"
    DOUBLED = "doubled"
    GAPS = "gaps"
    VIEWS = "views wrong"
    OTHER = "other"


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept."""

    invariant: str
    column: Column
    text: str


@dataclass(frozen=True)
class View:
    """One person's view over REST, loaded from nothing."""

    unread: Json
    folders: Mapping[str, list[Json]]
    messages: Mapping[str, list[Json]] = field(default_factory=dict)
    """By conversation, all of them."""

    @property
    def conversations(self) -> dict[str, Json]:
        """Those of all folders."""
        return {item["id"]: item for items in self.folders.values() for item in items}


def check(history: History, truth: Truth, views: Mapping[str, View]) -> list[Violation]:
    """All violations. I4 and I9 may need a moment after a fault: ask again, for at most 60 s."""
    return [
        *acknowledged_is_stored(history, truth),
        *stored_was_wanted(history, truth),
        *once(history, truth),
        *numbered(truth),
        *views_are_counted(truth, views),
        *devices_agree(history, views),
        *nothing_after_a_block(history, truth),
        *redacted_is_gone(history),
        *nobody_elses(history, views),
        *all_told(truth),
    ]


def acknowledged_is_stored(history: History, truth: Truth) -> Iterator[Violation]:
    """I1, for messages, read marks, acceptances and blocks."""
    rows = {(row.conversation, row.seq): row for row in truth.messages}
    texts = _acknowledged_texts(history)
    pointers = {(row.conversation, row.user): row.last_read_seq for row in truth.members}
    for action in history.actions.values():
        if action.ended is None:
            yield Violation("I1", Column.OTHER, f"never answered: {action.op} {action.wanted}")
        if not action.acknowledged:
            continue
        if action.op in {"send", "start"}:
            message = action.body["message"] if action.op == "start" else action.body
            row = rows.get((message["conversationId"], message["seq"]))
            if row is None or not _same(row, message, action):
                yield Violation("I1", Column.LOST, f"acknowledged {message}, stored {row}")
            elif row.text != texts[row.id]:
                yield Violation("I1", Column.LOST, f"acknowledged {texts[row.id]!r}, stored {row}")
        elif action.op == "read":
            held = pointers.get((action.wanted["conversation"], action.user), 0)
            if held < action.body["lastReadSeq"]:
                yield Violation("I1", Column.LOST, f"read mark {action.body} of {action.user}, stored {held}")
        elif action.op == "accept" and truth.states.get(action.wanted["conversation"]) != "active":
            yield Violation("I1", Column.LOST, f"acceptance of {action.wanted['conversation']}")
    for (who, whom), last in _last_block_changes(history).items():
        if last.acknowledged and (last.op == "block") != ((who, whom) in truth.blocks):
            yield Violation("I1", Column.LOST, f"{last.op} of {whom} by {who}")


def stored_was_wanted(history: History, truth: Truth) -> Iterator[Violation]:
    """Nothing is stored that nobody sent, and nothing that was refused without a doubt."""
    sends: dict[str, list[Action]] = defaultdict(list)
    edits: dict[str, set[str]] = defaultdict(set)
    for action in history.of("edit", "redact"):
        edits[action.wanted["message"]].add(action.wanted.get("text", ""))
    for action in history.of("send", "start"):
        sends[action.wanted["clientId"]].append(action)
    for row in truth.messages:
        mine = [action for action in sends[row.client_id] if action.user == row.sender]
        if row.text not in {action.wanted["text"] for action in mine} | edits[row.id]:
            yield Violation("I1", Column.OTHER, f"stored and never sent: {row}")
        elif all(action.refused and not action.doubts for action in mine):
            yield Violation("I1", Column.OTHER, f"refused and stored: {row}")


def once(history: History, truth: Truth) -> Iterator[Violation]:
    """I2: a client id makes one row, and every answer names that one."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in truth.messages:
        ids[row.sender, row.client_id].add(row.id)
    for action in history.of("send"):
        if action.acknowledged:
            ids[action.user, action.wanted["clientId"]].add(action.body["id"])
    for key, found in ids.items():
        if len(found) > 1:
            yield Violation("I2", Column.DOUBLED, f"{key} made {sorted(found)}")


def numbered(truth: Truth) -> Iterator[Violation]:
    """I3: seq is 1..n; each change has a number of its own, the last one is the gate's."""
    for conversation, (last_seq, last_change) in truth.counters.items():
        rows = truth.of(conversation)
        if [row.seq for row in rows] != list(range(1, last_seq + 1)):
            yield Violation("I3", Column.GAPS, f"{conversation} to {last_seq}: {[row.seq for row in rows]}")
        changes = sorted(row.change_seq for row in rows)
        whole = len(set(changes)) == len(changes) and changes[-1:] == [last_change][: len(changes)]
        # As long as nothing was changed after it was created, changes are numbered as messages are.
        if not whole or (last_change == last_seq and changes != list(range(1, last_change + 1))):
            yield Violation("I3", Column.GAPS, f"changes of {conversation} to {last_change}: {changes}")


def views_are_counted(truth: Truth, views: Mapping[str, View]) -> Iterator[Violation]:
    """I4: lists, counts, previews and read pointers are what a naive count of the rows says."""
    by_conversation: dict[str, list[Stored]] = defaultdict(list)
    for message in sorted(truth.messages, key=lambda row: row.seq):
        by_conversation[message.conversation].append(message)
    pointers = {(row.conversation, row.user): row.shared_read_seq for row in truth.members}
    for user, view in views.items():
        mine = {row.conversation: row for row in truth.members if row.user == user}
        unread = {key: _unread(row, by_conversation[key]) for key, row in mine.items()}
        listed = {key: row for key, row in mine.items() if row.folder != "none"}
        totals = {
            "messages": sum(unread[key] for key in listed),
            "conversations": sum(unread[key] > 0 for key in listed),
            "requests": sum(row.folder == "requests" for row in mine.values()),
        }
        if view.unread != totals:
            yield Violation("I4", Column.VIEWS, f"totals of {user}: {view.unread}, counted {totals}")
        for name, items in view.folders.items():
            shown, counted = {item["id"] for item in items}, {k for k, r in mine.items() if r.folder == name}
            if shown != counted or len(items) != len(shown):
                text = f"{name} of {user}: {sorted(shown)}, counted {sorted(counted)}"
                yield Violation("I4", Column.VIEWS, text)
        for key, item in view.conversations.items():
            rows = by_conversation[key]
            if key not in mine or not rows:
                continue  # told above
            expected = {
                "lastSeq": len(rows),
                "unreadCount": unread[key],
                "stored unread": unread[key],
                "lastReadSeq": mine[key].last_read_seq,
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
        if known.keys() != view.conversations.keys():
            text = f"{device} knows {sorted(known)}, fresh are {sorted(view.conversations)}"
            yield Violation("I9", Column.VIEWS, text)
        for key, conversation in view.conversations.items():
            right = fresh(model.user, conversation, view.messages[key])
            for what, value in known.get(key, {}).items():
                if value != right[what]:
                    text = f"{device}, {what} of {key}: {_differing(value, right[what])}"
                    yield Violation("I9", Column.VIEWS, text)


def nothing_after_a_block(history: History, truth: Truth) -> Iterator[Violation]:
    """I5: from the acknowledgement of a block to the first try to lift it, the two store nothing."""
    changes = list(history.actions.items())
    for index, (name, block) in enumerate(changes):
        if block.op != "block" or not block.acknowledged or block.ended is None:
            continue
        pair = {block.user, block.wanted["whom"]}
        lifted = next(
            (
                later.began
                for _, later in changes[index + 1 :]
                if later.op == "unblock" and later.user == block.user and later.wanted["whom"] in pair
            ),
            None,
        )
        for action in history.of("send"):
            between = action.began > block.ended and (
                lifted is None or (action.ended is not None and action.ended < lifted)
            )
            if between and action.acknowledged and action.status == 201 and _between(history, action, pair):
                yield Violation("I5", Column.OTHER, f"{action.wanted} was stored after {pair} blocked")
        seen = history.observed.get(name, [])
        if lifted is None and seen:
            seen = [*seen, len(truth.of(block.wanted["conversation"]))]
        if len(set(seen)) > 1:
            yield Violation("I5", Column.OTHER, f"{pair} blocked, and numbers went on: {seen}")


def redacted_is_gone(history: History) -> Iterator[Violation]:
    """I6: what was loaded after a redaction was acknowledged does not have the text."""
    gone = {
        action.wanted["message"]: action.ended
        for action in history.of("redact")
        if action.acknowledged and action.ended is not None
    }
    for began, messages in history.loads:
        for message in messages:
            if message["text"] and began > gone.get(message["id"], began):
                yield Violation("I6", Column.OTHER, f"{message} was loaded after it was redacted")


def nobody_elses(history: History, views: Mapping[str, View]) -> Iterator[Violation]:
    """I8: no frame and no view of a conversation that one is not in; nobody hears of others' blocks."""
    for user, frame in history.frames:
        conversation = frame.get("conversationId")
        if conversation in history.members and user not in history.members[conversation]:
            yield Violation("I8", Column.OTHER, f"{user} was sent {frame['type']} of {conversation}")
        if frame["type"].startswith("block."):
            own = [a for a in history.of("block", "unblock") if a.user == user]
            if frame["data"]["userId"] not in {action.wanted["whom"] for action in own}:
                yield Violation("I8", Column.OTHER, f"{user} was told of somebody else's block: {frame}")
    for user, view in views.items():
        for conversation in view.conversations:
            if user not in history.members.get(conversation, {user}):
                yield Violation("I8", Column.OTHER, f"{user} is shown {conversation}")


def all_told(truth: Truth) -> Iterator[Violation]:
    """I4: nothing is left in an outbox, and each message's event has reached RabbitMQ."""
    if truth.owed:
        yield Violation("I4", Column.OTHER, f"{truth.owed} events are not published")
    untold = sorted(row.id for row in truth.messages if row.id not in truth.told)
    if untold:
        yield Violation("I4", Column.OTHER, f"RabbitMQ has not heard of {len(untold)}: {untold[:5]}")


def _same(row: Stored, message: Json, action: Action) -> bool:
    return (row.id, row.sender, row.client_id) == (message["id"], action.user, action.wanted["clientId"])


def _acknowledged_texts(history: History) -> dict[str, str]:
    """What each message reads as, by its id. Its sender alone changes it, one change after the other."""
    texts: dict[str, str] = {}
    for action in history.actions.values():
        if not action.acknowledged:
            continue
        if action.op in {"send", "start"}:
            message = action.body["message"] if action.op == "start" else action.body
            texts.setdefault(message["id"], action.wanted["text"])
        elif action.op in {"edit", "redact"}:
            texts[action.wanted["message"]] = action.wanted.get("text", "")
    return texts


def _last_block_changes(history: History) -> dict[tuple[str, str], Action]:
    return {(action.user, action.wanted["whom"]): action for action in history.of("block", "unblock")}


def _unread(member: Member, messages: list[Stored]) -> int:
    return sum(
        row.seq > member.last_read_seq
        and row.sender != member.user
        and row.kind == "text"
        and not row.redacted
        for row in messages
    )


def _between(history: History, action: Action, pair: set[str]) -> bool:
    return history.members.get(action.wanted["conversation"]) == pair


def _differing(known: Any, right: Any) -> str:
    if isinstance(known, dict) and isinstance(right, dict):
        keys = [key for key in sorted({*known, *right}, key=str) if known.get(key) != right.get(key)]
        return "; ".join(f"{key}: {known.get(key)}, fresh {right.get(key)}" for key in keys[:5])
    return f"{known}, fresh {right}"
