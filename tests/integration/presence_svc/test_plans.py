"""How the service's statements find what they read."""

from __future__ import annotations

from itertools import chain

from presence_svc.store import access, last_seen
from tests.support.plans import plans_of
from tests.support.presence_svc import PresenceService


async def test_plans_made_while_the_tables_were_empty_read_by_key(service: PresenceService) -> None:
    plans = await plans_of(service.pool, chain(last_seen.q, access.q))
    one_row = {"access_version"}
    whole = {plan.name: plan.scanned_whole - one_row for plan in plans}
    assert {name: tables for name, tables in whole.items() if tables} == {}
