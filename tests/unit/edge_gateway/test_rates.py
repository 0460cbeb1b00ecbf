"""How much one may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_gateway.rates import Bucket, Policy, Taken, policy
from edge_gateway.settings import EdgeSettings


def test_a_policy_is_written_as_quota_and_seconds_or_off() -> None:
    assert policy("300/60") == Policy(300, 60)
    assert policy("off") is None


@pytest.mark.parametrize("text", ["", "0/60", "5", "5/0", "-1/5", "5/5/5", "5.5/1", "on", " 5/5", "5/5\n"])
def test_what_is_no_policy_is_no_setting(text: str) -> None:
    with pytest.raises(ValidationError):
        EdgeSettings(rate_send=text)


def test_the_headers_say_what_holds_and_what_is_left() -> None:
    taken = Taken("send", Policy(300, 60), allowed=True, left=12, retry_ms=0, full_ms=57_001)
    assert taken.headers == {"RateLimit-Policy": '"send";q=300;w=60', "RateLimit": '"send";r=12;t=58'}


def test_a_bucket_gives_its_quota_at_once_and_then_at_its_rate() -> None:
    bucket = Bucket(Policy(4, 2), now=100.0)
    assert [bucket.take(100.0) for _ in range(5)] == [0, 0, 0, 0, 500]
    assert bucket.take(100.4) == 100
    assert bucket.take(100.5) == 0
    assert bucket.take(50.0) > 0  # a clock that goes back gives nothing


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_more_is_given_than_the_quota_and_what_came_back(pauses: list[float]) -> None:
    bucket, now, given_out = Bucket(Policy(5, 10), now=0.0), 0.0, 0
    for pause in pauses:
        now += pause
        given_out += bucket.take(now) == 0
        assert given_out <= 5 + now * 0.5 + 1e-6
