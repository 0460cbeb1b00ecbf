"""What each may do in every state, block and role, and what each may know of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from conversation_svc.domain import (
    Folder,
    Member,
    Policy,
    PolicyReason,
    Refusal,
    Situation,
    State,
    View,
    advance,
    compute_gate,
    view_of,
)
from conversation_svc.wire import gate_to_proto
from tests.support.situations import BLOCKS, CASES, NOW, situation

PENDING, CLOSED = Refusal.REQUEST_PENDING, Refusal.REQUEST_CLOSED
UNDELIVERABLE, ACCEPT = Refusal.UNDELIVERABLE, Refusal.ACCEPT_REQUIRED
SEND = None
SENT, REQUESTS, INBOX, NONE = Folder.SENT, Folder.REQUESTS, Folder.INBOX, Folder.NONE

Row = tuple[dict[str, Refusal | None], Folder, State]
# case -> (what a send answers by who blocks, folder, state) for ada and for bob
TRUTH: dict[str, tuple[Row, Row]] = {
    "request": (
        ({"nobody": SEND, "ada": PENDING, "bob": PENDING, "both": PENDING}, SENT, State.REQUEST),
        (
            {"nobody": ACCEPT, "ada": ACCEPT, "bob": UNDELIVERABLE, "both": UNDELIVERABLE},
            REQUESTS,
            State.REQUEST,
        ),
    ),
    "active": (
        (
            {"nobody": SEND, "ada": UNDELIVERABLE, "bob": UNDELIVERABLE, "both": UNDELIVERABLE},
            INBOX,
            State.ACTIVE,
        ),
        (
            {"nobody": SEND, "ada": UNDELIVERABLE, "bob": UNDELIVERABLE, "both": UNDELIVERABLE},
            INBOX,
            State.ACTIVE,
        ),
    ),
    "declined": (
        (dict.fromkeys(BLOCKS, PENDING), SENT, State.REQUEST),
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.DECLINED),
    ),
    "withdrawn": (
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.WITHDRAWN),
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.WITHDRAWN),
    ),
    "withdrawn, was declined": (
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.WITHDRAWN),
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.DECLINED),
    ),
    "expired": (
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.EXPIRED),
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.EXPIRED),
    ),
    "expired, was declined": (
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.EXPIRED),
        (dict.fromkeys(BLOCKS, CLOSED), NONE, State.DECLINED),
    ),
}


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("case", CASES)
def test_the_gate_enforces_the_table_of_rights(case: str, blocks: str) -> None:
    gate = compute_gate(situation(case, blocks))

    active = case == "active"
    expected = []
    for user_id, version, (refusals, folder, state) in zip(("ada", "bob"), (3, 5), TRUTH[case], strict=True):
        refusal = refusals[blocks]
        expected.append(
            Member(
                user_id=user_id,
                can_send=refusal is SEND,
                refusal=refusal,
                message_limit=1 if case == "request" and refusal is SEND else None,
                links_clickable=active,
                attachments_allowed=active,
                folder=folder,
                shares_receipts=active and blocks == "nobody",
                left=False,
                state=state,
                version=version,
            )
        )
    assert gate.members == tuple(expected)
    assert (gate.version, gate.state) == (7, CASES[case][0])


OPEN = Policy(True, None, True, True, None)
WAITING = Policy(False, PolicyReason.REQUEST_PENDING, False, False, 0)
ASKED = Policy(False, PolicyReason.ACCEPT_REQUIRED, False, False, None)
OVER = Policy(False, PolicyReason.REQUEST_CLOSED, False, False, None)


def blocking(policy: Policy) -> Policy:
    return replace(policy, can_send=False, reason=PolicyReason.BLOCKED_BY_ME)


# case -> what ada and bob read while they block nobody, and while they block the other
VIEWS = {
    "request": ((WAITING, WAITING), (ASKED, blocking(ASKED))),
    "active": ((OPEN, blocking(OPEN)), (OPEN, blocking(OPEN))),
    "declined": ((WAITING, WAITING), (OVER, OVER)),
    **dict.fromkeys(
        ("withdrawn", "withdrawn, was declined", "expired", "expired, was declined"),
        ((OVER, OVER), (OVER, OVER)),
    ),
}


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("case", CASES)
def test_a_viewer_reads_their_own_block_and_never_the_others(case: str, blocks: str) -> None:
    here = situation(case, blocks)
    for index, viewer in enumerate(here.participants):
        i_block = blocks in (viewer.user_id, "both")
        _, folder, state = TRUTH[case][index]
        assert view_of(here, viewer) == View(
            state=state,
            folder=folder,
            policy=VIEWS[case][index][i_block],
            blocked_by_me=i_block,
            receipts_hidden=False,
        )


def versions(here: Situation) -> list[int]:
    return [person.version for person in here.participants]


@pytest.mark.parametrize(
    ("before", "after", "ada_moves", "bob_moves"),
    [
        (situation("request"), situation("active"), True, True),
        (situation("request"), situation("declined"), False, True),
        (situation("request"), situation("withdrawn"), True, True),
        (situation("declined"), situation("withdrawn, was declined"), True, False),
        (situation("request"), situation("expired"), True, True),
        (situation("declined"), situation("expired, was declined"), True, False),
    ],
)
def test_a_version_moves_for_those_who_may_know_of_the_change(
    before: Situation, after: Situation, ada_moves: bool, bob_moves: bool
) -> None:
    later = NOW + timedelta(hours=1)

    moved = advance(before, after, later)

    assert versions(moved) == [3 + ada_moves, 5 + bob_moves]
    assert [person.updated_at for person in moved.participants] == [
        later if ada_moves else NOW,
        later if bob_moves else NOW,
    ]
    assert moved.conversation.gate_version == 8


@pytest.mark.parametrize("case", CASES)
def test_a_block_moves_the_blockers_version_alone(case: str) -> None:
    before = situation(case)
    blocked = advance(before, replace(before, blocks=BLOCKS["bob"]), NOW)
    lifted = advance(blocked, replace(blocked, blocks=BLOCKS["nobody"]), NOW)

    assert versions(blocked) == [3, 6]
    assert versions(lifted) == [3, 7]
    assert lifted.conversation.gate_version == 9


def test_whoever_left_may_nothing_and_stands_nowhere() -> None:
    here = situation("active")
    ada, bob = here.participants
    gone = replace(here, participants=(ada, replace(bob, left_at=NOW)))

    [_, member] = compute_gate(gone).members

    assert (member.can_send, member.refusal, member.left) == (False, Refusal.NOT_FOUND, True)
    assert (member.folder, member.links_clickable, member.shares_receipts) == (NONE, False, False)
    assert gone.find("bob") is None


@pytest.mark.parametrize("case", CASES)
def test_hidden_receipts_are_in_the_gate_and_move_the_hiders_version_where_there_are_any(case: str) -> None:
    before = situation(case)

    hidden = advance(before, before.with_receipts("bob", hidden=True), NOW)
    shown = advance(hidden, hidden.with_receipts("bob", hidden=False), NOW)

    gates = [compute_gate(each) for each in (before, hidden, shown)]
    assert [gate.members[1].receipts_hidden for gate in gates] == [False, True, False]
    assert not any(gate.members[0].receipts_hidden for gate in gates)
    moved = case == "active"
    assert [versions(each) for each in (hidden, shown)] == [[3, 5 + moved], [3, 5 + 2 * moved]]
    ada = before.participants[0]
    assert view_of(hidden, ada) == view_of(before, ada)


def test_a_gate_without_hidden_receipts_has_the_bytes_of_before() -> None:
    here = situation("active")
    gate = gate_to_proto(compute_gate(here))
    hidden = gate_to_proto(compute_gate(here.with_receipts("bob", hidden=True)))

    assert not any(member.HasField("receipts_hidden") for member in gate.members)
    assert [member.receipts_hidden for member in hidden.members] == [False, True]
