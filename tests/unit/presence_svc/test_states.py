"""The stored form of a state."""

from __future__ import annotations

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
    st.builds(State, leases, st.none() | moments, st.sampled_from(Status), st.none() | moments),
)
def test_a_state_comes_back_as_it_was(state: State) -> None:
    assert decode(encode(state)) == state
    assert encode(decode(encode(state))) == encode(state)


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
