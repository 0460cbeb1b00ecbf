"""The checker: what a journal, Postgres and fresh views say of the promises. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.ledger.done import jobs_are_done_once
from tests.ledger.flags import flags_are_kept
from tests.ledger.forbidden import (
    nobody_elses,
    nothing_after_a_block,
    nothing_after_a_closing,
    redacted_is_gone,
)
from tests.ledger.history import Action, History
from tests.ledger.truth import Stored, Truth
from tests.ledger.views import devices_agree, views_are_counted
from tests.ledger.violations import Column, Json, View, Violation


def check(history: History, truth: Truth, views: Mapping[str, View]) -> list[Violation]:
    """All violations. I4 and I9 may need a moment after a fault: ask again, for at most 60 s."""
    return [
        *acknowledged_is_stored(history, truth),
        *stored_was_wanted(history, truth),
        *once(history, truth),
        *numbered(truth),
        *views_are_counted(truth, views),
        *devices_agree(history, views),
        *flags_are_kept(history, truth),
        *nothing_after_a_block(history, truth),
        *nothing_after_a_closing(history),
        *redacted_is_gone(history, views),
        *nobody_elses(history, views),
        *all_told(truth),
        *jobs_are_done_once(history, truth),
    ]


def acknowledged_is_stored(history: History, truth: Truth) -> Iterator[Violation]:
    """I1, for messages, read marks, answers to requests and blocks."""
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
    for conversation, state in _acknowledged_states(history).items():
        if truth.states.get(conversation) != state:
            text = f"{conversation} is to be {state}, stored {truth.states.get(conversation)}"
            yield Violation("I1", Column.LOST, text)
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


def all_told(truth: Truth) -> Iterator[Violation]:
    """I4: nothing is left in an outbox, and each message's event has reached RabbitMQ."""
    if truth.owed:
        yield Violation("I4", Column.OTHER, f"{truth.owed} events are not published", backlog=True)
    untold = sorted(row.id for row in truth.messages if row.id not in truth.told)
    if untold:
        text = f"RabbitMQ has not heard of {len(untold)}: {untold[:5]}"
        yield Violation("I4", Column.OTHER, text, backlog=True)
    for message, events in truth.told.items():
        if len(events) > 1:
            yield Violation("I7", Column.DOUBLED, f"{message} was told of as {sorted(events)}")


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


def _acknowledged_states(history: History) -> dict[str, str]:
    """What answers to requests made of conversations. One that was declined can still be withdrawn."""
    states: dict[str, str] = {}
    for op, state in (("accept", "active"), ("decline", "declined"), ("withdraw", "withdrawn")):
        for action in history.of(op):
            if action.acknowledged:
                states[action.wanted["conversation"]] = state
    return states


def _last_block_changes(history: History) -> dict[tuple[str, str], Action]:
    return {(action.user, action.wanted["whom"]): action for action in history.of("block", "unblock")}
