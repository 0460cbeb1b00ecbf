"""Changes of who sees whom are told to every edge; changes of anything else are not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from conversation_svc.actions.changing import changing
from conversation_svc.actions.expire_requests import expire_requests
from servicekit.identity import ActingUser
from tests.support.backing import MakeDatabase
from tests.support.control import Ear, listening, relations
from tests.support.conversation_svc import ConversationService, new_person, run_conversation_service
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy, proxy_to
from tests.support.pushes import away, talking, unavailable

MOST_S = 0.5 + 2.0
"""For a change: the publisher's timeout, and what a busy machine takes for the rest."""


@pytest_asyncio.fixture(loop_scope="session")
async def ear(redis_url: str) -> AsyncIterator[Ear]:
    async with listening(redis_url) as listener:
        yield listener


async def asked(service: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    """A request that waits."""
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    return rita, cora, await service.start(rita, cora)


async def test_a_block_and_its_end_are_told_of_both_and_repeats_are_not(
    service: ConversationService, ear: Ear
) -> None:
    rita, cora, _ = await talking(service)
    await ear.heard()

    await service.block(cora, rita)
    assert await ear.heard(rita, cora) == [relations(rita, cora)]
    await service.block(cora, rita)
    assert await ear.heard(rita, cora) == []
    await service.unblock(cora, rita)
    assert await ear.heard(rita, cora) == [relations(rita, cora)]
    await service.unblock(cora, rita)
    assert await ear.heard(rita, cora) == []


async def test_strangers_who_block_each_other_are_told_of_too(service: ConversationService, ear: Ear) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.block(rita, cora)  # on one side of a team they might see each other
    assert await ear.heard(rita, cora) == [relations(rita, cora)]


async def test_an_acceptance_is_told_of_everybody_in_it_once(service: ConversationService, ear: Ear) -> None:
    rita, cora, conversation = await asked(service)
    assert await ear.heard(rita, cora) == []

    await service.accept(cora, conversation)
    await service.accept(cora, conversation)

    assert await ear.heard(rita, cora) == [relations(rita, cora)]


async def test_whoever_was_added_to_a_team_is_told_of_like_its_first_two(
    service: ConversationService, ear: Ear
) -> None:
    rita, cora, conversation = await asked(service)
    ruth = new_person()
    await service.pool.execute(
        "INSERT INTO participants (conversation_id, user_id, side, joined_at, updated_at)"
        " VALUES ($1::text::uuid, $2, 'initiator', now(), now())",
        conversation,
        ruth.user_id,
    )

    await service.accept(cora, conversation)
    assert await ear.heard(ruth) == [relations(rita, cora, ruth)]
    await service.update_settings(ruth, presence=False)
    assert await ear.heard(ruth) == [relations(ruth)]
    await service.block(ruth, rita)
    assert await ear.heard(ruth) == [relations(rita, ruth)]


@pytest.mark.parametrize("setting", ["presence", "typing_indicators"])
async def test_a_setting_that_hides_or_shows_is_told_of_its_owner(
    service: ConversationService, ear: Ear, setting: str
) -> None:
    rita, cora, _ = await talking(service)
    await ear.heard()

    for value in (False, False, True):
        await service.update_settings(cora, **{setting: value})

    assert await ear.heard(rita, cora) == [relations(cora)] * 2


async def test_receipts_are_no_matter_of_the_edges(service: ConversationService, ear: Ear) -> None:
    rita, cora, _ = await talking(service)
    await ear.heard()

    await service.update_settings(cora, read_receipts=False)

    assert await ear.heard(rita, cora) == []


async def test_a_request_shows_nothing_so_its_end_is_not_told(service: ConversationService, ear: Ear) -> None:
    people: list[ActingUser] = []
    for end in ("declined", "withdrawn", "expired"):
        rita, cora, conversation = await asked(service)
        people += [rita, cora]
        match end:
            case "declined":
                await service.decline(cora, conversation)
            case "withdrawn":
                await service.withdraw(rita, conversation)
            case "expired":
                await service.pool.execute(
                    "UPDATE conversations SET expires_at = now() - interval '1 day'"
                    " WHERE id = $1::text::uuid",
                    conversation,
                )
                assert await expire_requests(service.app.deps)

    assert await ear.heard(*people) == []


async def test_a_decline_that_blocks_is_told_of_both(service: ConversationService, ear: Ear) -> None:
    rita, cora, conversation = await asked(service)

    await service.decline(cora, conversation, block=True)

    assert await ear.heard(rita, cora) == [relations(rita, cora)]


async def test_what_was_refused_or_rolled_back_is_not_told(service: ConversationService, ear: Ear) -> None:
    rita, cora, conversation = await asked(service)

    async def roll_back() -> None:
        async with changing(service.app.deps) as change:
            change.concerned.add(rita.user_id)
            raise RuntimeError("no commit")

    assert (await service.accept(rita, conversation)).HasField("refused")
    with pytest.raises(RuntimeError, match="no commit"):
        await roll_back()

    assert await ear.heard(rita, cora) == []


async def test_what_is_committed_is_told_though_its_push_fails(
    quick: ConversationService, between: Proxy, ear: Ear
) -> None:
    rita, cora, _ = await talking(quick)
    await ear.heard()

    async with away(between):
        await unavailable(quick.block(cora, rita))
        assert await ear.heard(rita, cora) == [relations(rita, cora)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def redis_between(redis_url: str) -> AsyncIterator[Proxy]:
    """What stands between the service and Redis."""
    async with proxy_to(redis_url) as proxy:
        yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def behind(
    redis_between: Proxy,
    make_database: MakeDatabase,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
) -> AsyncIterator[ConversationService]:
    """A service that reaches Redis through `redis_between`."""
    async with run_conversation_service(
        make_database, redis_between.url, amqp_url, key_folder, messages.target
    ) as running:
        yield running


@pytest.mark.parametrize("how", ["refuses", "hangs", "hangs after it was used"])
async def test_a_redis_that_is_away_costs_a_change_one_timeout_and_the_next_is_told(
    behind: ConversationService, redis_between: Proxy, ear: Ear, how: str
) -> None:
    rita, cora, _ = await talking(behind)
    if how != "hangs after it was used":
        await redis_between.cut()  # and every connection there was
        await redis_between.heal()
    if how == "refuses":
        await redis_between.cut()
    else:
        redis_between.freeze()
    await ear.heard()

    began = time.monotonic()
    await behind.block(cora, rita)
    took = time.monotonic() - began
    await redis_between.heal()

    assert took < MOST_S
    await behind.unblock(cora, rita)
    assert relations(rita, cora) in await ear.heard(rita, cora)
