"""Keys of the pairs' locks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conversation_svc.store import pair_key


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_pair_has_one_key_whoever_comes_first_and_it_fits_postgres(one: str, other: str) -> None:
    key = pair_key(one, other)

    assert key == pair_key(other, one)
    assert -(2**63) <= key < 2**63


def test_names_that_run_into_each_other_are_other_pairs() -> None:
    assert pair_key("ab", "c") != pair_key("a", "bc")
