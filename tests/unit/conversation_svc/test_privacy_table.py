"""Every cell of the privacy table, by the rules alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from conversation_svc.domain import (
    Between,
    Profile,
    Refusal,
    Role,
    Settings,
    Situation,
    StartNew,
    compute_gate,
    decide_start,
    is_blocked,
    sees_presence,
    sees_typing,
)
from conversation_svc.settings import ConversationSettings
from tests.support.privacy import ROLES, STATES, Cell, Presence, Receipt, Sight, Typing, cells, is_of, pairs
from tests.support.situations import BLOCKS, CASES, NOW, situation

WHO_BLOCKS = {"neither": "nobody", "initiator": "ada", "recipient": "bob", "both": "both"}
TABLE = list(cells())


def situations(cell: Cell) -> Iterator[Situation]:
    """All conversations that the cell is about: a request may have been declined before it ended."""
    names = [name for name, (state, _) in CASES.items() if state.value == cell.state]
    assert names
    for name in names:
        made = situation(name, WHO_BLOCKS[cell.blocks])
        people = [
            replace(
                each,
                user=replace(each.user, role=Role(getattr(cell, each.side.value))),
                hides_receipts=not is_of(each.side.value, cell.shows),
            )
            for each in made.participants
        ]
        yield replace(made, participants=tuple(people))


def settings(cell: Cell, about: str, *, others: bool) -> tuple[Settings, Settings]:
    """Of the initiator and of the recipient: `about` as the cell says, the others alike."""
    names = ("presence", "typing_indicators", "read_receipts")

    def of(side: str) -> Settings:
        return Settings(**{name: is_of(side, cell.shows) if name == about else others for name in names})

    return of("initiator"), of("recipient")


def presence(cell: Cell, made: Situation, *, others: bool) -> Presence:
    if made.conversation.state.value != "active":
        return Presence.LEFT_OUT  # the query answers for active ones only
    blocked = is_blocked(made.blocks, "ada", "bob")
    shown = settings(cell, "presence", others=others)
    visible = sees_presence(Between(made.conversation.state, blocked, shown))
    return Presence.SHOWN if visible else Presence.OFFLINE


def typing(cell: Cell, made: Situation, *, others: bool) -> Typing:
    blocked = is_blocked(made.blocks, "ada", "bob")
    shown = settings(cell, "typing_indicators", others=others)
    visible = sees_typing(Between(made.conversation.state, blocked, shown))
    return Typing.SHOWN if visible else Typing.SILENT


def receipts(made: Situation) -> set[Receipt]:
    """Of either of the two, as their gate has message_svc show it."""
    members = compute_gate(made).members
    if any(member.receipts_hidden for member in members) or made.conversation.state.value != "active":
        assert made.conversation.state.value == "active" or not any(each.shares_receipts for each in members)
        return {Receipt.HIDDEN}
    return {Receipt.SHOWN if member.shares_receipts else Receipt.AS_BEFORE for member in members}


@pytest.mark.parametrize("cell", TABLE, ids=str)
def test_the_rules_show_what_the_contract_says(cell: Cell) -> None:
    for made, others in product(situations(cell), (True, False)):
        [receipt] = receipts(made)
        shown = Sight(presence(cell, made, others=others), typing(cell, made, others=others), receipt)
        assert shown == cell.sight


def test_the_table_has_every_pair_of_roles_that_may_start() -> None:
    rules = ConversationSettings().rules()
    allowed = set()
    for initiator, recipient in product(ROLES, repeat=2):
        start = decide_start(
            Profile("ada", role=Role(initiator)),
            Profile("bob", role=Role(recipient)),
            "",
            of_pair=[],
            blocked=False,
            connected=False,
            now=NOW,
            rules=rules,
        )
        if isinstance(start, StartNew):
            allowed.add((initiator, recipient))
        else:
            assert start is Refusal.FORBIDDEN
    assert set(pairs()) == allowed
    assert set(ROLES) == set(Role) - {Role.MODERATOR, Role.ADMIN}


def test_the_table_has_every_state_and_is_as_long_as_its_columns_say() -> None:
    assert set(STATES) == {state.value for state, _ in CASES.values()}
    assert len(set(TABLE)) == len(TABLE) == 8 * 5 * 4 * 4
    assert set(WHO_BLOCKS.values()) == set(BLOCKS)


def test_of_the_whole_table_eight_cells_show_anything_live() -> None:
    """One for each pair of roles: active, both show, nobody blocks."""
    live = [cell for cell in TABLE if cell.sight == Sight(Presence.SHOWN, Typing.SHOWN, Receipt.SHOWN)]
    assert {(cell.state, cell.shows, cell.blocks) for cell in live} == {("active", "both", "neither")}
    assert len(live) == 8
