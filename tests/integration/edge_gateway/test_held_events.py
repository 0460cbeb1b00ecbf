"""What comes while a socket is not live yet, or behind an event that is being joined."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servicekit.realtime import RealtimePublisher, channel
from tests.support.edge import run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.resuming import come, leave, redacted, told
from tests.support.sockets import (
    connect,
    hold_welcomes,
    realtime,
    show_conversation,
    somebody,
    stored_message,
)
from tests.support.waiting import eventually


@pytest.mark.parametrize("resumed", [True, False])
async def test_what_comes_during_the_handshake_is_told_once_as_it_stands_before_the_rest(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher, resumed: bool
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        if resumed:
            await service.publish([realtime("message.created", ada, seq=2)])
        edge.services.keep(*(stored_message(seq, f"m{seq}") for seq in (2, 3)))
        reading, go_on = hold_welcomes(edge)
        query = f"cursor={caught_up['cursor']}" if resumed else ""
        coming = asyncio.create_task(connect(edge, ada, query=query))
        await reading.wait()
        await service.publish([realtime("message.created", ada, seq=3)])
        held = realtime("message.created", ada, seq=4)
        await service.publish([held, held])  # at least once: its event is known by its id
        edge.services.keep(redacted(stored_message(4, "secret")))
        go_on.set()
        frames = await told(await coming)
        texts = [frame["data"]["message"]["text"] for frame in frames[1:-1]]
        assert texts == [*(["m2"] if resumed else []), "m3", ""]
        assert frames[-1]["cursor"] == frames[-2]["cursor"]
        assert edge.count("edge_resumes_total", outcome="resumed" if resumed else "no_cursor") >= 1


@pytest.mark.parametrize(("events", "status"), [(3, 101), (4, 503)])
async def test_who_would_be_told_too_much_at_first_comes_later(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher, events: int, status: int
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_max_held=3) as edge:
        ada = somebody()
        reading, go_on = hold_welcomes(edge)
        coming = asyncio.create_task(connect(edge, ada))
        await reading.wait()
        for seq in range(1, events + 1):
            edge.services.keep(stored_message(seq))
            await service.publish([realtime("message.created", ada, seq=seq)])
        (session,) = edge.app._hub._feeds[channel(ada).encode()].sessions

        async def came() -> int:
            return session.had

        await eventually(came, until=lambda had: had == events)
        go_on.set()
        assert (await coming).status == status


async def test_an_event_in_the_stream_and_on_the_channel_is_told_once(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        profile = edge.services.answers["SyncProfile"]
        reading, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(request: Any, user: Any) -> Any:
            reading.set()
            await go_on.wait()
            return profile(request, user)

        # Between the subscription and the read of the stream.
        edge.services.answers["SyncProfile"] = slowly
        edge.services.keep(stored_message(2), stored_message(3))
        token = edge.issuer.token(ada, name="Renamed")
        coming = asyncio.create_task(connect(edge, ada, token=token, query=f"cursor={caught_up['cursor']}"))
        await reading.wait()
        await service.publish([realtime("message.created", ada, seq=seq) for seq in (2, 3)])
        go_on.set()
        frames = await told(await coming)
        assert [frame["data"]["message"]["seq"] for frame in frames[1:-1]] == [2, 3]


async def test_a_message_behind_one_that_is_joined_is_told_as_it_stands_then(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        gate = asyncio.Event()
        asked = show_conversation(edge, gate=gate)
        ada = somebody()
        raw, _ = await come(edge, ada)
        await service.publish([realtime("conversation.updated", ada)])
        while not asked:
            await asyncio.sleep(0.01)
        await service.publish([realtime("message.created", ada, seq=2)])
        # Another device comes meanwhile: what it was welcomed after is not told to it again.
        other, frames = await come(edge, ada)
        assert [frame["type"] for frame in frames] == ["system.welcome", "system.caught_up"]
        edge.services.keep(redacted(stored_message(2, "secret")), stored_message(3))
        gate.set()
        assert (await raw.json())["type"] == "conversation.updated"
        assert (await raw.json())["data"]["message"]["text"] == ""
        await service.publish([realtime("message.created", ada, seq=3)])
        for each in (raw, other):
            assert (await each.json())["data"]["message"]["seq"] == 3
