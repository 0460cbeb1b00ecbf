"""Whose presence people may ask for, and whose they may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import PresenceRight, sees_presence


class Question(NamedTuple):
    """Somebody who asks about people."""

    viewer_id: str
    user_ids: Sequence[str]


async def get_presence_rights(deps: Deps, questions: Sequence[Question]) -> list[list[PresenceRight]]:
    """For each question those of its people whom the viewer shares an active conversation with, each once.
    One read for all.

    The viewer is none of them: nobody is in a conversation with themself.
    """
    pairs = dict.fromkeys((viewer_id, each) for viewer_id, asked in questions for each in asked)
    acquainted = await store.list_acquainted(deps.pool, list(pairs))
    return [
        [
            PresenceRight(each, sees_presence(acquainted[viewer_id, each]))
            for each in dict.fromkeys(asked)
            if (viewer_id, each) in acquainted
        ]
        for viewer_id, asked in questions
    ]
