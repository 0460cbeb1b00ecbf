"""The ledger is believed because it sees what is wrong: each build or setting here breaks one promise.

A mistake that needs a chance to show gets one in most rounds, and rounds enough: all of them without it are
less likely than 1 in 10,000, whatever the machine. One round is the rule.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest_asyncio

from tests.ledger import broken
from tests.ledger.faults import KINDS, Kind
from tests.ledger.rounds import Round, play
from tests.ledger.violations import Column
from tests.ledger.world import World

MOST_ROUNDS = 15
# What does not heal by itself is not waited for as long as what must; longer than what a build does later.
UNHEALED = broken.LATER_SECONDS + 1.5
ONE_ROW = "message_conversation_id_sender_id_client_message_id_key"


WORKER = "conversation_svc_worker"
# Without a fault: jobs are waited for.
JOBS = replace(KINDS["flushall"], jobs=True)


@pytest_asyncio.fixture
async def intact_again(world: World) -> AsyncIterator[None]:
    yield
    await world.system.exchange("message_svc")


@pytest_asyncio.fixture
async def worker_intact_again(world: World) -> AsyncIterator[None]:
    yield
    await world.system.exchange(WORKER)


async def run_broken(world: World, build: str, program: str = "message_svc") -> None:
    await world.system.exchange(program, module=broken.MODULE, settings={"BROKEN_BUILD": build})


async def until_seen(
    world: World, kind: str | Kind, invariant: str, column: Column | None = None, *, within: float = 0.0
) -> Round:
    """Rounds until the invariant was violated."""
    for number in range(MOST_ROUNDS):
        played = await play(
            world,
            KINDS[kind] if isinstance(kind, str) else kind,
            world.new_name("sees"),
            seed=number,
            within=within,
        )
        seen = {(violation.invariant, violation.column) for violation in played.violations}
        if any(found == invariant and (column or where) is where for found, where in seen):
            return played
    raise AssertionError(f"{invariant} was not seen to be violated in {MOST_ROUNDS} rounds")


@asynccontextmanager
async def without_constraint(world: World, table: str, name: str) -> AsyncIterator[None]:
    """It comes back as it was, once the rows that it would not have let in are gone."""
    definition = await world.fetch_value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2",
        table,
        name,
    )
    columns = definition[definition.index("(") : definition.index(")") + 1]
    await world.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    try:
        yield
    finally:
        await world.execute(
            f"DELETE FROM {table} WHERE {columns} IN"
            f" (SELECT {columns[1:-1]} FROM {table} GROUP BY {columns[1:-1]} HAVING count(*) > 1)",
            f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}",
        )


async def test_commits_that_do_not_wait_for_the_disk_lose_messages(world: World) -> None:
    await world.execute(
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "SELECT pg_reload_conf()",
    )
    try:
        await until_seen(world, "postgres", "I1", Column.LOST)
    finally:
        await world.execute(
            "ALTER SYSTEM RESET synchronous_commit",
            "ALTER SYSTEM RESET wal_writer_delay",
            "SELECT pg_reload_conf()",
        )


async def test_a_send_acknowledged_before_its_commit_is_seen_to_be_lost(
    world: World, intact_again: None
) -> None:
    await run_broken(world, "acknowledged_before_commit")
    await until_seen(world, "message_svc", "I1", Column.LOST, within=UNHEALED)


async def test_numbers_taken_before_the_decision_are_seen_as_gaps(world: World, intact_again: None) -> None:
    await run_broken(world, "numbers_from_a_sequence")
    await until_seen(world, "flushall", "I3", Column.GAPS)


async def test_counts_in_a_transaction_of_their_own_are_seen_to_be_wrong(
    world: World, intact_again: None
) -> None:
    await run_broken(world, "counted_later")
    played = await until_seen(world, "message_svc", "I4", within=UNHEALED)
    assert any("unread" in violation.text for violation in played.violations)


async def test_devices_that_are_not_told_without_a_relay_are_seen_not_to_converge(
    world: World, intact_again: None
) -> None:
    await run_broken(world, "no_relay")
    await until_seen(world, "flushall", "I9", Column.VIEWS, within=UNHEALED)


async def test_the_relay_alone_brings_devices_to_the_truth(world: World, intact_again: None) -> None:
    await run_broken(world, "left_to_the_relay")
    played = await play(world, KINDS["flushall"], world.new_name("relayonly"), seed=1)
    assert played.violations == []


async def test_a_block_acknowledged_and_not_enforced_is_seen(world: World, intact_again: None) -> None:
    await run_broken(world, "blocks_forgotten")
    await until_seen(world, "flushall", "I5")


async def test_a_redacted_text_that_a_cache_still_shows_is_seen(world: World, intact_again: None) -> None:
    await run_broken(world, "read_from_a_cache")
    await until_seen(world, "flushall", "I6")


async def test_a_message_told_to_somebody_else_is_seen(world: World, intact_again: None) -> None:
    await run_broken(world, "told_to_others")
    await until_seen(world, "flushall", "I8")


async def test_events_that_come_twice_take_effect_once(world: World, intact_again: None) -> None:
    await run_broken(world, "told_twice")
    played = await play(world, JOBS, world.new_name("twice"), seed=1)
    assert played.violations == []
    assert played.effects > 0


async def test_events_that_take_effect_twice_are_seen(
    world: World, intact_again: None, worker_intact_again: None
) -> None:
    await run_broken(world, "told_twice")
    await run_broken(world, "consumed_again", WORKER)
    await until_seen(world, JOBS, "I7", Column.DOUBLED)


async def test_a_repeat_that_is_stored_again_is_seen_as_doubled(world: World, intact_again: None) -> None:
    async with without_constraint(world, "message_svc.message", ONE_ROW):
        await run_broken(world, "repeats_stored_again")
        try:
            await until_seen(world, "flushall", "I2", Column.DOUBLED)
        finally:
            await world.system.exchange("message_svc")
