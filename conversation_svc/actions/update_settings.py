"""Changes what a person shows of themself."""

from __future__ import annotations

from conversation_svc import events, store
from conversation_svc.actions.changing import changing
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import owed_gates, push_gates, save_change
from conversation_svc.domain import Gate, Settings, Situation, advance
from servicekit.db import Executor


async def update_settings(
    deps: Deps,
    user_id: str,
    *,
    read_receipts: bool | None = None,
    typing_indicators: bool | None = None,
    presence: bool | None = None,
) -> Settings:
    """The settings, once what is named (not None) holds in every conversation of theirs. Repeatable.

    One transaction, however many conversations: what a crash leaves unpushed, the sweeper finds.

    Raises:
        ChatError: UNAVAILABLE when it is saved but not enforced yet.
    """
    now = deps.clock.now()
    situations: list[Situation] = []
    gates: list[Gate] = []
    async with changing(deps) as change:
        conn = change.conn
        await store.lock_settings(conn, user_id)
        before = await store.get_settings(conn, user_id)
        after = Settings(
            read_receipts=before.read_receipts if read_receipts is None else read_receipts,
            typing_indicators=before.typing_indicators if typing_indicators is None else typing_indicators,
            presence=before.presence if presence is None else presence,
        )
        if read_receipts is not None:
            ids = await store.lock_conversations_of(conn, user_id)
            situations = await store.get_situations(conn, ids)
        if after.read_receipts != before.read_receipts:
            await _change_receipts(deps, conn, user_id, situations, hidden=not after.read_receipts)
        if after != before:
            await store.put_settings(conn, user_id, after, now)
        if (after.typing_indicators, after.presence) != (before.typing_indicators, before.presence):
            change.concerned.add(user_id)
        if situations:
            gates = await owed_gates(conn, [each.conversation.id for each in situations])
    await push_gates(deps, gates)
    return after


async def _change_receipts(
    deps: Deps, conn: Executor, user_id: str, situations: list[Situation], *, hidden: bool
) -> None:
    now = deps.clock.now()
    changed: list[Situation] = []
    owed: list[events.Owed] = []
    for before in situations:
        after = advance(
            before,
            before.with_receipts(user_id, hidden=hidden),
            now,
        )
        changed.append(after)
        owed += events.updated(before, after, now)
    await save_change(deps, conn, changed, owed, now)
