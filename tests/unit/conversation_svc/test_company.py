"""Who sees whom: presence and typing between two people of a conversation."""

from __future__ import annotations

from itertools import product

import pytest

from conversation_svc.domain import (
    Between,
    Companion,
    Settings,
    State,
    company_of,
    sees_presence,
    sees_typing,
)

ALL = Settings()
HIDES_PRESENCE = Settings(presence=False)
HIDES_TYPING = Settings(typing_indicators=False)
HIDES_RECEIPTS = Settings(read_receipts=False)


def between(
    mine: Settings = ALL, theirs: Settings = ALL, *, state: State = State.ACTIVE, blocked: bool = False
) -> Between:
    return Between(state, blocked, (mine, theirs))


def test_in_an_active_conversation_everything_passes() -> None:
    assert sees_presence(between())
    assert sees_typing(between())


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE])
def test_nothing_passes_unless_the_conversation_is_active(state: State) -> None:
    assert not sees_presence(between(state=state))
    assert not sees_typing(between(state=state))


def test_nothing_passes_a_block() -> None:
    assert not sees_presence(between(blocked=True))
    assert not sees_typing(between(blocked=True))


@pytest.mark.parametrize(
    ("mine", "theirs"), [(HIDES_PRESENCE, ALL), (ALL, HIDES_PRESENCE), (HIDES_PRESENCE, HIDES_PRESENCE)]
)
def test_who_hides_that_they_are_here_does_not_see_it_of_others(mine: Settings, theirs: Settings) -> None:
    assert not sees_presence(between(mine, theirs))
    assert sees_typing(between(mine, theirs))


@pytest.mark.parametrize(
    ("mine", "theirs"), [(HIDES_TYPING, ALL), (ALL, HIDES_TYPING), (HIDES_TYPING, HIDES_TYPING)]
)
def test_who_hides_that_they_type_does_not_see_it_of_others(mine: Settings, theirs: Settings) -> None:
    assert not sees_typing(between(mine, theirs))
    assert sees_presence(between(mine, theirs))


def test_hidden_receipts_hide_nothing_else() -> None:
    for mine, theirs in product((ALL, HIDES_RECEIPTS), repeat=2):
        assert sees_presence(between(mine, theirs))
        assert sees_typing(between(mine, theirs))


def test_a_company_names_only_those_between_whom_and_the_viewer_something_passes() -> None:
    company = company_of(
        {
            "open": between(),
            "silent": between(theirs=HIDES_TYPING),
            "unseen": between(theirs=HIDES_PRESENCE),
            "hidden": between(theirs=Settings(presence=False, typing_indicators=False)),
            "blocked": between(blocked=True),
        }
    )

    assert company.companions == (
        Companion("open", presence=True, typing=True),
        Companion("silent", presence=True, typing=False),
        Companion("unseen", presence=False, typing=True),
    )
    assert company_of({"ada": between(state=State.REQUEST)}).companions == ()
