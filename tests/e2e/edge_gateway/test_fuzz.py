"""A short form of `make fuzz`, over sockets."""

from __future__ import annotations

from bench.world import Pair
from deploy.local.system import System
from tests.fuzz.overnetwork import fuzz
from tests.support.people import Town

FRAMES, SEED = 4000, 20
STRANGERS = 40
"""So many that few of their frames are too many for one person."""


async def two(town: Town) -> Pair:
    """Two people with an accepted conversation."""
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    await bob.post("accept", where)
    return Pair(where, ada.user_id, bob.user_id, ada.token, bob.token)


async def test_odd_frames_and_payloads_come_to_nothing_but_what_may_be(
    town: Town, system: System, redis_url: str
) -> None:
    pairs = [await two(town) for _ in range(1 + STRANGERS // 2)]

    report = await fuzz(system, redis_url, pairs, FRAMES, SEED, print)

    assert report.wrong == []
    assert report.counts["answers"] > FRAMES / 4
