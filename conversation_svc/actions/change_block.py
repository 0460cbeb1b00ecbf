"""Makes or lifts a block between two people, in all their conversations: what both verbs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from conversation_svc import events, store
from conversation_svc.actions.changing import Change, changing
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import owed_gates, publish, push_gates, save_change
from conversation_svc.domain import Situation, advance
from servicekit.outbox import BusEvent, RealtimeEvent


async def enforce_block(deps: Deps, blocker_id: str, blocked_id: str, *, created: bool) -> None:
    """Changes the block and returns once every conversation of the two enforces it.

    A repeat changes nothing and still makes sure of that.

    Raises:
        ChatError: UNAVAILABLE when it is changed but not enforced yet.
    """
    now = deps.clock.now()
    async with changing(deps) as change:
        ids = await store.lock_pair(change.conn, blocker_id, blocked_id)
        pair = await store.get_situations(change.conn, ids)
        ripe = await change_block(deps, change, blocker_id, blocked_id, pair, now, created=created)
        gates = await owed_gates(change.conn, ids)
    await publish(deps, ripe)
    await push_gates(deps, gates)


async def change_block(
    deps: Deps,
    change: Change,
    blocker_id: str,
    blocked_id: str,
    pair: Sequence[Situation],
    now: datetime,
    *,
    created: bool,
) -> list[RealtimeEvent | BusEvent]:
    """Writes the change under the locks of the pair and of its conversations, `pair`.

    Every conversation's gate rises, whatever its state: the blocker's own view shows the block in each.
    Returns events to publish after the commit.
    """
    write = store.put_block if created else store.delete_block
    version = await write(change.conn, blocker_id, blocked_id, now)
    if version is None:
        return []
    change.concerned.update((blocker_id, blocked_id))
    block = frozenset({(blocker_id, blocked_id)})
    changed: list[Situation] = []
    owed: list[events.Owed] = []
    for before in pair:
        blocks = before.blocks | block if created else before.blocks - block
        after = advance(
            before,
            replace(before, blocks=blocks),
            now,
        )
        changed.append(after)
        owed += events.updated(before, after, now)
    owed += events.block_changed(
        created=created,
        blocker_id=blocker_id,
        blocked_id=blocked_id,
        version=version,
        pair=changed,
        now=now,
    )
    return await save_change(deps, change.conn, changed, owed, now)
