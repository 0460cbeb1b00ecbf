"""`chatctl tail`: what happens to somebody, as it happens."""

import asyncio
import random
from collections.abc import AsyncGenerator

import aiohttp
import orjson

from chatctl.person import token_for
from chatctl.rest import JsonObject
from chatctl.running import Running

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 20.0
FINAL_CODES = range(4500, 5000)


class ClosedError(Exception):
    """The edge closed the socket and does not want it back."""

    def __init__(self, code: int, reason: str) -> None:
        why = f"{reason.lower().replace('_', ' ')} ({code})"
        super().__init__(f"The edge closed the connection for good: {printable(why)}.")


async def frames(running: Running, person: JsonObject) -> AsyncGenerator[JsonObject, None]:
    """Yield every frame, reconnecting when the connection is lost.

    Raises ClosedError, ProblemError, and aiohttp.ClientError when the first connection fails.
    """
    attempt = 0
    welcomed = False
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async for frame in _one_connection(session, running, person):
                    attempt = 0
                    welcomed = True
                    yield frame
            except (aiohttp.ClientError, TimeoutError):
                if not welcomed:
                    raise
            ceiling = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**attempt)
            await asyncio.sleep(random.uniform(FIRST_DELAY_S, ceiling))  # noqa: S311 - jitter
            attempt += 1


async def _one_connection(
    session: aiohttp.ClientSession, running: Running, person: JsonObject
) -> AsyncGenerator[JsonObject, None]:
    token = await token_for(session, running, person)
    headers = {"Authorization": f"Bearer {token}"}
    async with session.ws_connect(
        f"{running.edge_url}/ws/chat", headers=headers, protocols=("chat.v1",), max_msg_size=0
    ) as socket:
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                yield orjson.loads(message.data)
            elif message.type is aiohttp.WSMsgType.CLOSE and message.data in FINAL_CODES:
                raise ClosedError(message.data, message.extra or "")
            elif socket.closed:
                return


def readable(frame: JsonObject) -> str:
    """One line for a person: time, type, where, and what matters of the data."""
    at = str(frame.get("occurredAt", ""))[11:19]
    where = f" {frame['conversationId']}" if frame.get("conversationId") else ""
    return printable(f"{at} {frame.get('type', '?'):<22}{where} {_gist(frame)}".rstrip())


def _gist(frame: JsonObject) -> str:
    data: JsonObject = frame.get("data") or {}
    match frame.get("type"):
        case "system.welcome":
            unread = data["unread"]
            return f"{data['userId']}: {unread['messages']} unread, {unread['requests']} requests"
        case "message.created" | "message.updated":
            message = data["message"]
            return f"#{message['seq']} {message['senderId']}: {message['text']}"
        case "read.receipt":
            return f"{data['userId']} has read to #{data['lastReadSeq']}"
        case "system.notice":
            return f"{data['severity']}: {data['text']}"
        case "block.created" | "block.removed":
            return str(data["userId"])
        case str(kind) if kind.startswith("conversation."):
            own = data.get("self")
            if own is None:
                return "left"
            return f"{data['conversation']['state']}, in {own['folder']}, {own['unreadCount']} unread"
    return ""


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would obey: others wrote it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
