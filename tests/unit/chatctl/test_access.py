"""Until when somebody is banned, as it is typed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chatctl.access import moment

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_time_to_come_is_taken_in_any_zone() -> None:
    assert moment("2026-03-04T05:06:08Z", NOW) == datetime(2026, 3, 4, 5, 6, 8, tzinfo=UTC)
    assert moment("2026-03-05T02:00:00+02:00", NOW) == datetime(2026, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("tomorrow", "no time"),
        ("2026-03-05", "zone"),
        ("2026-03-05T00:00:00", "zone"),
        ("2026-03-04T05:06:07Z", "over"),
    ],
)
def test_what_is_no_time_to_come_is_told(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        moment(text, NOW)
