"""The ledger is believed because it sees what is wrong: each build or setting here breaks one promise."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.ledger import broken
from tests.ledger.check import Column
from tests.ledger.faults import KINDS
from tests.ledger.rounds import Round, play
from tests.ledger.world import World

TRIES = 8
# What does not heal by itself is not waited for as long as what must.
UNHEALED = 8.0


@pytest_asyncio.fixture
async def intact_again(world: World) -> AsyncIterator[None]:
    yield
    await world.system.exchange("message_svc")


async def run_broken(world: World, build: str, **settings: str) -> None:
    await world.system.exchange(
        "message_svc", module=broken.MODULE, settings={"BROKEN_BUILD": build, **settings}
    )


async def until_seen(world: World, kind: str, name: str, invariant: str, *, within: float = 0.0) -> Round:
    """Rounds until the invariant was violated, a few at most: some mistakes need a chance to show."""
    for number in range(TRIES):
        played = await play(world, KINDS[kind], f"{name}{number}", seed=number, within=within)
        if any(violation.invariant == invariant for violation in played.violations):
            return played
    raise AssertionError(f"{invariant} was not seen to be violated in {TRIES} rounds")


async def test_commits_that_do_not_wait_for_the_disk_lose_messages(world: World) -> None:
    await world.execute(
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "SELECT pg_reload_conf()",
    )
    try:
        played = await until_seen(world, "postgres", "asynchronous", "I1")
    finally:
        await world.execute(
            "ALTER SYSTEM RESET synchronous_commit",
            "ALTER SYSTEM RESET wal_writer_delay",
            "SELECT pg_reload_conf()",
        )
    assert any(violation.column is Column.LOST for violation in played.violations)


async def test_a_send_acknowledged_before_its_commit_is_seen_to_be_lost(
    world: World, intact_again: None
) -> None:
    await run_broken(world, "acknowledged_before_commit")
    played = await until_seen(world, "message_svc", "early", "I1")
    assert any(violation.column is Column.LOST for violation in played.violations)


async def test_numbers_taken_before_the_decision_are_seen_as_gaps(world: World, intact_again: None) -> None:
    await run_broken(world, "numbers_from_a_sequence")
    played = await until_seen(world, "flushall", "sequence", "I3")
    assert any(violation.column is Column.GAPS for violation in played.violations)


async def test_counts_in_a_transaction_of_their_own_are_seen_to_be_wrong(
    world: World, intact_again: None
) -> None:
    await run_broken(world, "counted_later")
    played = await until_seen(world, "message_svc", "later", "I4", within=UNHEALED)
    assert any("unread" in violation.text for violation in played.violations)


async def test_devices_that_are_not_told_without_a_relay_are_seen_not_to_converge(
    world: World, intact_again: None
) -> None:
    # The immediate publish has room for one event; the others are the relay's.
    await run_broken(world, "no_relay", OUTBOX_QUEUE_LIMIT="1")
    played = await until_seen(world, "flushall", "norelay", "I9", within=UNHEALED)
    assert any(violation.column is Column.VIEWS for violation in played.violations)


async def test_the_relay_alone_brings_devices_to_the_truth(world: World, intact_again: None) -> None:
    await world.system.exchange("message_svc", settings={"OUTBOX_QUEUE_LIMIT": "1"})
    played = await play(world, KINDS["flushall"], "relayonly", seed=1)
    assert played.violations == []


async def test_a_block_acknowledged_and_not_enforced_is_seen(world: World, intact_again: None) -> None:
    await run_broken(world, "blocks_forgotten")
    await until_seen(world, "flushall", "blocks", "I5")


async def test_a_repeat_that_is_stored_again_is_seen_as_doubled(world: World, intact_again: None) -> None:
    await world.execute(  # the last test here: with its rows the constraint cannot come back
        "ALTER TABLE message_svc.message"
        " DROP CONSTRAINT message_conversation_id_sender_id_client_message_id_key"
    )
    await run_broken(world, "repeats_stored_again")
    played = await until_seen(world, "flushall", "again", "I2")
    assert any(violation.column is Column.DOUBLED for violation in played.violations)
