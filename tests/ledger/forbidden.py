"""What must not be: messages after a door was closed (I5), removed texts (I6), others' affairs (I8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.ledger.history import Action, History
from tests.ledger.truth import Truth
from tests.ledger.violations import Column, View, Violation


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


def nothing_after_a_closing(history: History) -> Iterator[Violation]:
    """I5: once a request was declined or withdrawn nothing is stored in it."""
    closed: dict[str, int] = {}
    for action in history.of("decline", "withdraw"):
        if action.acknowledged and action.ended is not None:
            conversation = action.wanted["conversation"]
            closed[conversation] = min(action.ended, closed.get(conversation, action.ended))
    for action in history.of("send"):
        ended = closed.get(action.wanted["conversation"])
        if ended is not None and action.began > ended and action.acknowledged:
            yield Violation("I5", Column.OTHER, f"{action.wanted} was stored in a closed request")


def redacted_is_gone(history: History, views: Mapping[str, View]) -> Iterator[Violation]:
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
    for user, view in views.items():
        previews = [item["lastMessage"] for item in view.conversations.values() if item["lastMessage"]]
        for message in [*previews, *(message for page in view.messages.values() for message in page)]:
            if message["text"] and message["id"] in gone:
                yield Violation("I6", Column.OTHER, f"{message} is shown to {user} after it was redacted")


def nobody_elses(history: History, views: Mapping[str, View]) -> Iterator[Violation]:
    """I8: no frame and no view of a conversation one is not in, and of nobody else's block or decline."""
    declined = {(action.wanted["conversation"], action.user) for action in history.of("decline")}
    for user, frame in history.frames:
        conversation = frame.get("conversationId")
        if conversation in history.members and user not in history.members[conversation]:
            yield Violation("I8", Column.OTHER, f"{user} was sent {frame['type']} of {conversation}")
        if frame["type"].startswith("block."):
            own = [a for a in history.of("block", "unblock") if a.user == user]
            if frame["data"]["userId"] not in {action.wanted["whom"] for action in own}:
                yield Violation("I8", Column.OTHER, f"{user} was told of somebody else's block: {frame}")
        if frame["type"] == "conversation.declined" and (conversation, user) not in declined:
            yield Violation("I8", Column.OTHER, f"{user} was told of somebody else's decline: {frame}")
    for user, view in views.items():
        for conversation in (*view.conversations, *view.unlisted):
            if user not in history.members.get(conversation, {user}):
                yield Violation("I8", Column.OTHER, f"{user} is shown {conversation}")
    for conversation, who in declined:
        for user in history.members.get(conversation, set()) - {who}:
            view = views[user]
            shown = {**view.conversations, **view.unlisted}.get(conversation)
            if shown is not None and shown["state"] == "declined":
                yield Violation("I8", Column.OTHER, f"{user} can tell that {conversation} was declined")


def _between(history: History, action: Action, pair: set[str]) -> bool:
    return history.members.get(action.wanted["conversation"]) == pair
