"""Pushes that do not reach message_svc: a service that hurries, and what it owes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from splits.chat.message.v1 import message_pb2

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

UNDELIVERABLE = message_pb2.REFUSAL_REASON_UNDELIVERABLE
QUICK: dict[str, Any] = {
    "push_owed_after_seconds": 0.2,
    "push_sweep_seconds": 0.1,
    "reconcile_seconds": 0.3,
    "unopened_ttl_seconds": 30.0,
}


@asynccontextmanager
async def away(between: Proxy) -> AsyncIterator[None]:
    """message_svc cannot be reached."""
    await between.cut()
    try:
        yield
    finally:
        await between.heal()


async def unavailable(call: Awaitable[object]) -> None:
    with pytest.raises(ChatError) as refused:
        await call
    assert refused.value.reason is Reason.UNAVAILABLE
    assert refused.value.retryable


async def talking(service: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora)
    await service.accept(cora, conversation)
    return rita, cora, conversation


async def owed(service: ConversationService, *conversations: str) -> int:
    """How many of them wait for a push."""
    count: int = await service.pool.fetchval(
        "SELECT count(*) FROM conversations"
        " WHERE gate_pushed < gate_version AND id = ANY ($1::text[]::uuid[])",
        conversations,
    )
    return count


async def pushed(service: ConversationService, *conversations: str) -> None:
    await eventually(lambda: owed(service, *conversations), until=lambda count: count == 0, within=60)


async def refused_to(messages: MessageService, who: ActingUser, conversation: str) -> bool:
    outcome = await messages.send(who.user_id, conversation, f"try-{uuid.uuid4().hex}")
    return outcome.refused.reason == UNDELIVERABLE
