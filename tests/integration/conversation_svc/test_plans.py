"""How the service's statements find what they read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from conversation_svc.store import pushes, reminders, rows
from servicekit.consumer import consumed
from servicekit.db import Query
from servicekit.outbox import sink
from tests.support.conversation_svc import ConversationService
from tests.support.plans import plans_of


def statements() -> Iterator[Query]:
    """All of the service, and those that every service has."""
    return chain(rows.q, pushes.q, reminders.q, consumed.q, sink.QUERIES)


async def test_plans_made_while_the_tables_were_empty_read_by_key(service: ConversationService) -> None:
    whole = {plan.name: plan.scanned_whole for plan in await plans_of(service.pool, statements())}
    assert {name: tables for name, tables in whole.items() if tables} == {}
