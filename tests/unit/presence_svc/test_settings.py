"""Settings that would contradict each other."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from presence_svc.settings import PresenceSettings


def test_times_are_milliseconds_in_the_rules() -> None:
    rules = PresenceSettings(presence_ttl_seconds=1.5, last_seen_every_seconds=2).rules()
    assert (rules.ttl_ms, rules.save_every_ms, rules.max_connections) == (1500, 2000, 32)


def test_a_state_may_not_be_forgotten_before_its_leases() -> None:
    with pytest.raises(ValidationError, match="PRESENCE_KEEP_SECONDS"):
        PresenceSettings(presence_ttl_seconds=90, presence_keep_seconds=100)
