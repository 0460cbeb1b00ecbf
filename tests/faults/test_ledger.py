"""A round of each kind of `make faults`: nothing acknowledged is lost, and all views converge."""

from __future__ import annotations

import pytest

from tests.ledger.faults import KINDS
from tests.ledger.rounds import play
from tests.ledger.world import World


@pytest.mark.parametrize("kind", KINDS)
async def test_every_promise_is_kept_through(world: World, kind: str) -> None:
    played = await play(world, KINDS[kind], f"short-{kind.replace('_', '')}", seed=20)

    assert played.violations == []
    assert played.acknowledged > 100
