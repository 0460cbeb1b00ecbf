"""A round of each kind of `make faults`: nothing acknowledged is lost, all views converge, jobs are once."""

from __future__ import annotations

import pytest

from tests.ledger.faults import KINDS, rabbitmq_away
from tests.ledger.rounds import play
from tests.ledger.world import World

# The ten minutes of `make faults`.
AWAY_SECONDS = 4.0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rabbitmq_away"])
async def test_every_promise_is_kept_through(world: World, kind: str) -> None:
    played = await play(world, KINDS[kind], world.new_name(kind.replace("_", "")), seed=20)

    assert played.violations == []
    # Of a hundred answers that a round waits for at least; some are refusals, as of writing to who blocks.
    assert played.acknowledged > 50


async def test_rabbitmq_away_stops_no_send_and_each_job_is_done_once(world: World) -> None:
    played = await play(world, rabbitmq_away(AWAY_SECONDS), world.new_name("away"), seed=20)

    assert played.violations == []
    assert played.away_seconds
    assert played.backlog > 0
    assert played.effects > 0
    assert played.mails > 0
