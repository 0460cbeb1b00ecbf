"""Who is not let in any more: when saying it again says something new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from presence_svc.domain import (
    AccessChange,
    Banned,
    NotBanned,
    SessionOver,
    TokensOver,
    is_news,
    tokens_over,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def test_tokens_are_over_by_whole_seconds() -> None:
    assert tokens_over(NOW) == TokensOver(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    assert tokens_over(NOW + timedelta(milliseconds=109)) == tokens_over(NOW)
    assert tokens_over(NOW + timedelta(milliseconds=110)) != tokens_over(NOW)


@pytest.mark.parametrize(
    ("held", "said", "news"),
    [
        (None, tokens_over(NOW), True),
        (None, SessionOver("s"), True),
        (None, Banned(None), True),
        (None, NotBanned(), False),
        (tokens_over(NOW), tokens_over(NOW), False),
        (tokens_over(NOW), tokens_over(LATER), True),
        (tokens_over(LATER), tokens_over(NOW), False),  # a replica whose clock is behind gives nothing back
        (SessionOver("s"), SessionOver("s"), False),
        (Banned(NOW), Banned(NOW), False),
        (Banned(NOW), Banned(LATER), True),
        (Banned(LATER), Banned(NOW), True),
        (Banned(None), Banned(NOW), True),
        (Banned(NOW), Banned(None), True),
        (Banned(NOW), NotBanned(), True),
        (NotBanned(), NotBanned(), False),
        (NotBanned(), Banned(NOW), True),
    ],
)
def test_only_what_changes_anything_is_news(
    held: AccessChange | None, said: AccessChange, news: bool
) -> None:
    assert is_news(held, said) is news
