"""A replay whose reader is slow: what is redacted meanwhile is not told, though the replay began before."""

from __future__ import annotations

import asyncio

from deploy.local.system import System
from tests.support.edge_metrics import metric
from tests.support.people import Json, Town, new_message
from tests.support.rawsocket import RawSocket
from tests.support.waiting import eventually

MESSAGES = 100
"""Of 32 KB: more than a kernel left to itself takes for one reader."""
ON_ITS_WAY = 512 * 1024
"""Far above what one connection may be handed ahead of its reader, with the buffers on both ends."""
PADDING = "\U0001f600" * 7900


async def test_a_body_redacted_while_its_replay_is_read_slowly_is_not_told(
    town: Town, system: System
) -> None:
    recruiter, candidate, where = await town.talking()
    bodies = [new_message(f"secret {number}. {PADDING}") for number in range(MESSAGES)]
    sent: list[Json] = []
    async with candidate.live() as live:
        cursor = live.cursor
        for body in bodies:
            reply = await recruiter.request("POST", "/conversations/{id}/messages", body, id=where)
            assert reply.status == 201
            sent.append(reply.body)
        await live.frame("message.created", lambda frame: frame["data"]["message"]["id"] == sent[-1]["id"])

    async def told() -> float:
        return await metric(system, "edge_frames_out_total")

    before = await told()
    headers = {"Origin": candidate.edge_url, "Sec-WebSocket-Protocol": f"chat.v1, bearer.{candidate.token}"}
    url = f"{candidate.edge_url}/ws/chat"
    raw = await RawSocket.connect(url, headers, receive_buffer=4096, query=f"cursor={cursor}")
    assert (await raw.json())["data"]["resumed"] is True
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def stalled() -> bool:
        then = await told()
        await asyncio.sleep(0.3)  # only makes the test see more: it holds however far the replay is
        return then > before and await told() == then

    await eventually(stalled)
    first = -(-ON_ITS_WAY // len(bodies[0]["text"].encode()))
    redacted = range(first, MESSAGES, 8)
    for number in redacted:
        assert (await recruiter.redact(sent[number])).status == 200

    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    texts: dict[int, list[str]] = {}
    while (frame := await raw.json())["type"] != "system.caught_up":
        if "message" in frame["data"]:
            message = frame["data"]["message"]
            texts.setdefault(message["seq"], []).append(message["text"])
    for number, message in enumerate(sent):
        assert set(texts[message["seq"]]) == {"" if number in redacted else bodies[number]["text"]}, number
    raw.abort()
