"""What viewers may be shown of the others in conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Company, company_of


class Viewing(NamedTuple):
    """Somebody who looks at a conversation."""

    viewer_id: str
    conversation_id: UUID


async def get_companies(deps: Deps, viewings: Sequence[Viewing]) -> list[Company | None]:
    """The company of each, in their order; None where the viewer is not in the conversation. One read."""
    companies = await store.list_companies(deps.pool, viewings)
    return [None if others is None else company_of(others) for others in companies]
