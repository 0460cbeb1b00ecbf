"""What viewers may be shown of the conversations on their screens."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from presence_svc.actions.deps import Deps


async def watch_conversations(
    deps: Deps, screens: Sequence[tuple[str, UUID]]
) -> list[tuple[str, ...] | None]:
    """Whose presence each viewer may see there, for at most 64 (viewer, conversation), in their order.

    None = the viewer is not in the conversation.
    """
    companies = await deps.relations.get_companies(screens)
    return [None if company is None else company.presence for company in companies]
