"""Muted and archived (I1): what was acknowledged stands, and a new message takes out of the archive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.ledger.history import Action, History
from tests.ledger.truth import Truth
from tests.ledger.violations import Column, Violation


def flags_are_kept(history: History, truth: Truth) -> Iterator[Violation]:
    """The last acknowledged flag is the stored one, but for what messages did to the archive since."""
    changes: dict[tuple[str, str], list[Action]] = defaultdict(list)
    for action in history.of("flag"):
        if action.acknowledged and action.ended is not None:
            changes[action.wanted["conversation"], action.user].append(action)
    sends: dict[str, list[Action]] = defaultdict(list)
    for action in history.of("send"):
        sends[action.wanted["conversation"]].append(action)
    for row in truth.members:
        mine = changes[row.conversation, row.user]
        if row.muted != _last(mine, "muted"):
            yield Violation("I1", Column.LOST, f"muted, acknowledged {_last(mine, 'muted')}, stored {row}")
        allowed = _archived(mine, sends[row.conversation])
        if row.archived not in allowed:
            yield Violation("I1", Column.LOST, f"archived, to be {sorted(allowed)}, stored {row}")


def _last(changes: Sequence[Action], flag: str) -> bool:
    return next((action.wanted[flag] for action in reversed(changes) if flag in action.wanted), False)


def _archived(changes: Sequence[Action], sends: Sequence[Action]) -> set[bool]:
    """What may be stored, by all that is known of the order of these changes and the messages."""
    archiving = next((action for action in reversed(changes) if "archived" in action.wanted), None)
    if archiving is None or not archiving.wanted["archived"] or archiving.ended is None:
        return {False}
    allowed = {True, False}
    later = [send for send in sends if send.ended is None or send.ended > archiving.began]
    if not any(_maybe_stored(send) and False in _muted_during(changes, send) for send in later):
        allowed.discard(False)
    if any(
        send.status == 201 and send.began > archiving.ended and _muted_during(changes, send) == {False}
        for send in later
    ):
        allowed.discard(True)
    return allowed


def _maybe_stored(send: Action) -> bool:
    return send.acknowledged or send.doubts > 0


def _muted_during(changes: Sequence[Action], send: Action) -> set[bool]:
    """What the flag may have been when the message was stored."""
    values = {False}
    for action in changes:
        if "muted" not in action.wanted or (send.ended is not None and action.began > send.ended):
            continue
        over = action.ended is not None and action.ended < send.began
        values = {action.wanted["muted"]} if over else values | {action.wanted["muted"]}
    return values
