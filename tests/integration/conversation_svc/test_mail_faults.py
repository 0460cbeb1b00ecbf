"""Postgres goes away in the middle of a mail about unread messages."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from structlog.testing import capture_logs

from tests.support.conversation_svc import ConversationService
from tests.support.mail import Catcher, MailRoom, handled, talking
from tests.support.message_svc import MessageService
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

Logs = Sequence[MutableMapping[str, Any]]
LEASED = """
SELECT count(*) FROM mail_reminders WHERE conversation_id = $1 AND due_at > now() + interval '1 minute'
"""
MAILED = "SELECT mailed_seq FROM mail_reminders WHERE conversation_id = $1"


async def logged(logs: Logs, event: str) -> None:
    """Returns once a line says so."""

    async def found() -> bool:
        return any(line["event"] == event for line in logs)

    await eventually(found)


async def test_a_mail_that_went_out_while_postgres_was_away_is_noted_once_it_is_back(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    catcher.holds = True
    with capture_logs() as logs:
        async with (
            proxy_to(room.values["database_url"]) as postgres,
            room.working(database_url=postgres.url),
        ):
            await eventually(lambda: asyncio.sleep(0, catcher.has_come))
            await postgres.cut()
            catcher.holds = False
            await logged(logs, "reminder_not_noted")
            await postgres.heal()
            await eventually(lambda: service.pool.fetchval(MAILED, conversation), until=lambda seq: seq == 1)
            await handled(room, conversation)
    assert len(catcher.letters) == 1


async def test_a_mail_that_was_not_begun_when_postgres_went_away_goes_out_once_it_is_back(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    with capture_logs() as logs:
        async with (
            proxy_to(room.values["database_url"]) as postgres,
            proxy_to(f"tcp://{messages.target}") as between,
        ):
            between.freeze()
            target = urlsplit(between.url).netloc
            async with room.working(
                database_url=postgres.url, message_svc_target=target, message_svc_timeout_seconds=60
            ):
                await eventually(lambda: service.pool.fetchval(LEASED, conversation))
                await postgres.cut()
                await between.heal()
                await logged(logs, "reminder_waits")
                await postgres.heal()
                await handled(room, conversation)
    assert len(catcher.letters) == 1


async def test_a_worker_that_stops_does_not_wait_for_postgres(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    catcher.holds = True
    with capture_logs() as logs:
        async with (
            proxy_to(room.values["database_url"]) as postgres,
            room.working(database_url=postgres.url),
        ):
            await eventually(lambda: asyncio.sleep(0, catcher.has_come))
            await postgres.cut()
            catcher.holds = False
            await logged(logs, "reminder_not_noted")
    assert await service.pool.fetchval(LEASED, conversation)  # so it did not wait for the lease
    await room.look_now()
    async with room.working():  # what nobody noted goes out once more
        await handled(room, conversation)
    first, second = catcher.letters
    assert first["Message-ID"] == second["Message-ID"]
