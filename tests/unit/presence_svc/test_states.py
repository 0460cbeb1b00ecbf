"""The stored form of a state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_svc.domain import NOTHING, Lease, State, Status
from presence_svc.store import ABSENT, decode, encode

moments = st.integers(0, 2**53)
leases = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.builds(Lease, st.sampled_from([Status.ONLINE, Status.AWAY]), moments),
    max_size=3,
)


@given(
    st.builds(
        State,
        leases,
        seen_ms=st.none() | moments,
        told=st.sampled_from(Status),
        saved_ms=st.none() | moments,
        kept_ms=st.none() | moments,
        told_ms=st.none() | moments,
        changed_ms=st.none() | moments,
    )
)
def test_a_state_comes_back_as_it_was(state: State) -> None:
    assert decode(encode(state)) == state
    assert encode(decode(encode(state))) == encode(state)


def test_a_state_of_the_release_before_is_read_as_it_was_meant() -> None:
    held = b'{"leases":{"a":["away",9]},"seen":%d,"told":"away","told_at":5,"saved":7}'
    lease = {"a": Lease(Status.AWAY, 9)}
    kept = State(lease, seen_ms=6, told=Status.AWAY, told_ms=5, saved_ms=7, kept_ms=6)
    assert decode(held % 6) == kept
    assert decode(held % 8) == replace(kept, seen_ms=8, kept_ms=None)


@pytest.mark.parametrize(
    "garbage",
    [
        ABSENT,
        b"null",
        b"{",
        b"[]",
        b"\xff",
        b'{"leases": {}}',
        b'{"leases": {"a": ["here", 1]}, "told": "away"}',
    ],
)
def test_what_cannot_be_read_is_as_nothing(garbage: bytes) -> None:
    assert decode(garbage) == NOTHING
