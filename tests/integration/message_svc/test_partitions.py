"""The migration to partitions: on a table with rows, under a service that goes on writing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from message_svc.app import MIGRATIONS, SERVICE
from servicekit.migrations import migrate
from tests.support.backing import MakeDatabase
from tests.support.gates import active_gate, new_conversation_id, new_people
from tests.support.message_svc import run_message_service
from tests.support.races import at_last

WRITERS = 12
KIND_OF_TABLE = "SELECT relkind FROM pg_class WHERE oid = 'message'::regclass"


async def test_rows_are_carried_over_under_a_service_that_goes_on_writing(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    files = sorted(MIGRATIONS.glob("*.sql"))
    earlier = tmp_path / "migrations"
    earlier.mkdir()
    before, partitions, after = files[:2], files[2], files[3:]
    for file in before:
        shutil.copy(file, earlier)
    async with run_message_service(
        make_database, redis_url, amqp_url, tmp_path / "keys", migrations=earlier
    ) as service:
        assert await service.pool.fetchval(KIND_OF_TABLE) == b"r"
        for file in after:  # what this release needs, of which the migration itself knows nothing
            await service.pool.execute(file.read_text())
        ada, bob = new_people(2)
        conversations = [new_conversation_id() for _ in range(WRITERS)]
        for conversation in conversations:
            await service.open(active_gate(conversation, 1, [ada, bob]), ada)
        stop = asyncio.Event()
        sent: dict[str, list[str]] = {conversation: [] for conversation in conversations}

        async def write(conversation: str) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                client_id = f"c{number}"
                outcome = await at_last(
                    lambda client_id=client_id: service.send(ada, conversation, client_id)  # type: ignore[misc]
                )
                message = outcome.stored if outcome.HasField("stored") else outcome.repeated
                assert message.id, outcome
                sent[conversation].append(message.id)

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for conversation in conversations:
                group.create_task(write(conversation))

            async def written(at_least: int) -> None:
                while min(map(len, sent.values())) < at_least:
                    await asyncio.sleep(0.01)

            await written(5)
            shutil.copy(partitions, earlier)
            done = await migrate(service.database.services[SERVICE], schema=SERVICE, directory=earlier)
            assert done == ["0003_message_partitions.sql"]
            await written(max(map(len, sent.values())) + 5)
            stop.set()

        assert await service.pool.fetchval(KIND_OF_TABLE) == b"p"
        rows = await service.pool.fetch(
            "SELECT conversation_id, tableoid, seq, id::text AS id FROM message ORDER BY conversation_id, seq"
        )
        for conversation in conversations:
            own = [row for row in rows if str(row["conversation_id"]) == conversation]
            assert [row["seq"] for row in own] == list(range(1, len(own) + 1))
            assert [row["id"] for row in own[1:]] == sent[conversation]
            assert len({row["tableoid"] for row in own}) == 1
            again = await service.send(ada, conversation, "c1")  # from before the migration: no second row
            assert again.repeated.id == sent[conversation][0]
        assert len({row["tableoid"] for row in rows}) > 1
