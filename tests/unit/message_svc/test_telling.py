"""When the bus is told that somebody wrote: every message is told of or covered by one that was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from message_svc.domain import Told, tell

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_what_somebody_writes_is_told_once_in_a_window() -> None:
    first = tell(None, "ada", NOON, MINUTE)
    assert first == Told(NOON + MINUTE, ("ada",))
    assert tell(first, "ada", NOON + MINUTE / 2, MINUTE) is first
    assert tell(first, "ada", NOON + MINUTE, MINUTE) == Told(NOON + 2 * MINUTE, ("ada",))


def test_who_writes_meanwhile_is_told_of_by_themselves_and_no_longer() -> None:
    both = tell(tell(None, "ada", NOON, MINUTE), "bob", NOON + MINUTE / 2, MINUTE)
    assert both == Told(NOON + MINUTE, ("ada", "bob"))
    assert tell(both, "ada", NOON + MINUTE / 2, MINUTE) is both
    assert tell(both, "bob", NOON + MINUTE, MINUTE) is not both


def test_without_a_window_each_message_is_told() -> None:
    told = tell(None, "ada", NOON, timedelta())
    assert tell(told, "ada", NOON, timedelta()) is not told


@given(
    st.lists(st.tuples(st.sampled_from(["ada", "bob", "eve"]), st.integers(0, 90)), max_size=40),
    st.integers(0, 120),
)
def test_every_message_is_told_of_or_covered(written: list[tuple[str, int]], window_s: int) -> None:
    window, at = timedelta(seconds=window_s), NOON
    told: Told | None = None
    covered: dict[str, datetime] = {}
    for sender, pause_s in written:
        at += timedelta(seconds=pause_s)
        after = tell(told, sender, at, window)
        if after is not told:
            assert window_s == 0 or sender not in covered or at >= covered[sender]
            covered[sender] = after.until
        else:
            assert at < covered[sender]
        told = after
