"""Who may edit or redact: the pure rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from message_svc.domain import (
    Changed,
    ChangeDecision,
    Refused,
    StoredMessage,
    Unchanged,
    decide_edit,
    decide_redaction,
    renumber,
)
from tests.unit.message_svc.test_decide import NOW, gate, new, rights, stored

WINDOW = timedelta(minutes=15)


def edit(
    by: str = "ada", message: StoredMessage | None = None, text: str = "better", **changes: object
) -> ChangeDecision:
    held = gate(rights("ada", **changes), rights("bob"), last_seq=5)
    return decide_edit(
        by, held, message or stored(new()), text=text, links=(), now=NOW + timedelta(minutes=1), window=WINDOW
    )


def test_an_edit_takes_the_next_change_and_keeps_the_number() -> None:
    decision = edit()

    assert isinstance(decision, Changed)
    assert (decision.message.seq, decision.message.change_seq, decision.message.text) == (1, 6, "better")
    assert (decision.gate.last_seq, decision.gate.last_change) == (5, 6)
    assert decision.message.edited_at == NOW + timedelta(minutes=1)
    assert decision.message.body_hash == stored(new()).body_hash


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"can_send": False, "refusal": Refused.UNDELIVERABLE}, Refused.UNDELIVERABLE),
        ({"message_limit": 1}, Refused.REQUEST_PENDING),
        ({"left": True}, Refused.NOT_FOUND),
    ],
)
def test_whoever_may_not_write_may_not_edit(changes: dict[str, object], refused: Refused) -> None:
    assert edit(**changes) is refused  # type: ignore[arg-type]


def test_the_same_text_again_is_a_success_whatever_the_rights() -> None:
    decision = edit(text="hello", can_send=False)

    assert isinstance(decision, Unchanged)


def test_an_edit_is_the_senders_and_only_for_a_while() -> None:
    old = replace(stored(new()), created_at=NOW - WINDOW)
    redacted = replace(stored(new()), redacted_at=NOW)

    assert edit(by="bob") is Refused.FORBIDDEN
    assert edit(by="eve") is Refused.NOT_FOUND
    assert edit(message=old) is Refused.EDIT_CLOSED
    assert edit(message=redacted) is Refused.EDIT_CLOSED


def test_the_window_of_an_edit_ends_after_its_last_moment() -> None:
    last = NOW + timedelta(minutes=1) - WINDOW

    assert isinstance(edit(message=replace(stored(new()), created_at=last)), Changed)
    too_old = replace(stored(new()), created_at=last - timedelta(microseconds=1))
    assert edit(message=too_old) is Refused.EDIT_CLOSED
    ahead = replace(stored(new()), created_at=NOW + timedelta(minutes=2))  # another replica's clock
    decision = edit(message=ahead)
    assert isinstance(decision, Changed)
    assert decision.message.edited_at == ahead.created_at


def test_a_redaction_is_the_senders_whatever_they_may_write_or_a_moderators() -> None:
    held = gate(rights("ada", can_send=False), rights("bob"), last_seq=5)
    message = stored(new())

    def redact(by: str, *, moderates: bool = False) -> ChangeDecision:
        return decide_redaction(by, held, message, moderates=moderates, now=NOW)

    for decision in (redact("ada"), redact("mod", moderates=True), redact("bob", moderates=True)):
        assert isinstance(decision, Changed)
        assert (decision.message.text, decision.message.change_seq) == ("", 6)
    assert redact("bob") is Refused.FORBIDDEN
    assert redact("eve") is Refused.NOT_FOUND


def test_a_redaction_is_made_once() -> None:
    redacted = replace(stored(new()), text="", redacted_at=NOW, redacted_by="ada")

    again = decide_redaction("ada", gate(rights("ada")), redacted, moderates=False, now=NOW)

    assert again == Unchanged(redacted)


def test_links_that_come_alive_number_their_messages_in_order() -> None:
    first, second = stored(new()), replace(stored(new()), seq=2)

    after, changed = renumber(gate(rights("ada"), last_seq=5), [first, second])

    assert [(message.seq, message.change_seq) for message in changed] == [(1, 6), (2, 7)]
    assert (after.last_seq, after.last_change) == (5, 7)
