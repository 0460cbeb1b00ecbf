"""What edges under test may show on screens: answers of a scripted presence_svc, and what Redis carries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import redis.asyncio as redis
from splits.chat.presence.v1 import service_pb2 as presence_rpc

from presence_svc import events
from presence_svc.domain import Status
from servicekit import control
from servicekit.control import Kind, News
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.ids import new_id
from servicekit.outbox.events import rfc3339
from servicekit.realtime import EVERYBODY, conversation_channel, presence_channel
from tests.support.rawsocket import RawSocket, frame
from tests.support.scripted import Scripted
from tests.support.waiting import eventually

_STATUSES = {
    Status.ONLINE: presence_rpc.STATUS_ONLINE,
    Status.AWAY: presence_rpc.STATUS_AWAY,
    Status.OFFLINE: presence_rpc.STATUS_OFFLINE,
}


@dataclass
class Sights:
    """Who is in which conversation and sees whom there; how people are."""

    seen: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By conversation and viewer; a viewer who is not named is not in it."""
    people: dict[str, Status] = field(default_factory=dict)
    watch_gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether questions who may be seen are answered."""
    presence_gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether questions how people are are answered; what is answered was read before."""
    away: bool = False
    watched: int = 0
    looked: int = 0

    def __post_init__(self) -> None:
        self.watch_gate.set()
        self.presence_gate.set()

    def script(self, services: Scripted) -> None:
        """presence_svc says what stands here."""
        services.answers["Watch"] = self._watch
        services.answers["GetPresence"] = self._presence

    async def _watch(self, where: str, viewer: ActingUser | None) -> presence_rpc.Watch:
        assert viewer is not None
        self.watched += 1
        seen = self.seen.get((where, viewer.user_id))
        answer = presence_rpc.Watch(found=seen is not None, presence_of=sorted(seen or ()))
        await self.watch_gate.wait()
        if self.away:
            raise ChatError(Reason.UNAVAILABLE, "The test has presence_svc away.")
        return answer

    async def _presence(self, request: Any, _viewer: ActingUser | None) -> presence_rpc.GetPresenceResponse:
        self.looked += 1
        people = [
            presence_rpc.Presence(user_id=user_id, status=_STATUSES[self.people[user_id]])
            for user_id in request.user_ids
            if user_id in self.people
        ]
        await self.presence_gate.wait()
        return presence_rpc.GetPresenceResponse(people=people)


async def publish_presence(publisher: redis.Redis, user_id: str, status: Status) -> None:
    """Says it on the person's channel, as presence_svc does."""
    payload = events.presence_frame(user_id, status, None, datetime.now(UTC))
    await publisher.publish(presence_channel(user_id), payload)


async def publish_typing(
    publisher: redis.Redis, where: str, user_id: str, people: list[str], *, typing: bool = True
) -> None:
    """Says it on the conversation's channel, as presence_svc does."""
    payload = events.typing_payload(user_id, UUID(where), typing, people, datetime.now(UTC))
    await publisher.publish(conversation_channel(where), payload)


async def publish_news(publisher: redis.Redis, *user_ids: str) -> None:
    """Tells every edge that something changed for these people."""
    await publisher.publish(control.CHANNEL, control.encode(News(Kind.RELATIONS, user_ids)))


async def subscribers(publisher: redis.Redis, channel: str, number: int) -> None:
    """Returns when so many edges listen on a channel."""

    async def count() -> int:
        [(_, found)] = await publisher.pubsub_numsub(channel)
        return int(found)

    await eventually(count, until=lambda found: found == number, within=10)


async def open_conversation(raw: RawSocket, where: str) -> list[Any]:
    """What comes before the answer, and the answer."""
    return await ask(raw, type="conversation.open", conversationId=where)


async def ask(raw: RawSocket, **body: object) -> list[Any]:
    """Says something; everything that comes until its answer, the answer too."""
    raw.send(frame(orjson.dumps({"id": "asked", **body})))
    found: list[Any] = []
    while not found or found[-1].get("replyTo") != "asked":
        found.append(await following(raw))
    return found


async def heard(raw: RawSocket, publisher: redis.Redis) -> list[Any]:
    """Everything that came of what was published until now.

    A notice to everybody comes behind it, by the same connection to Redis; other sockets are told it too.
    """
    notice = {
        "type": "system.notice",
        "eventId": str(new_id()),
        "eventVersion": 1,
        "occurredAt": rfc3339(datetime.now(UTC)),
        "data": {"noticeId": "fence", "code": "announcement", "severity": "info", "text": "fence"},
    }
    await publisher.publish(EVERYBODY, orjson.dumps(notice))
    found: list[Any] = []
    while True:
        each = await raw.json()
        if each.get("eventId") == notice["eventId"]:
            return found
        if each["type"] != notice["type"]:
            found.append(each)


async def following(raw: RawSocket) -> Any:
    """The next frame that is no notice."""
    while True:
        each = await raw.json()
        if each["type"] != "system.notice":
            return each


def statuses(frames: list[Any]) -> list[tuple[str, str, Any]]:
    """Who was told to be how, of frames that are all about presence."""
    assert {each["type"] for each in frames} <= {"presence.updated"}
    return [(each["data"]["userId"], each["data"]["status"], each["data"]["lastSeenAt"]) for each in frames]
