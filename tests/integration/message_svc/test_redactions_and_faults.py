"""A redaction while Redis does not answer: what had begun to be published is not begun again afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis.asyncio as redis
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.identity import ActingUser
from tests.support.backing import MakeDatabase
from tests.support.gates import active_gate, new_conversation_id, new_people
from tests.support.message_svc import TIMEOUT, run_message_service
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


async def test_a_body_is_not_sent_to_a_redis_that_comes_back_after_the_redaction(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    async with (
        proxy_to(redis_url) as proxy,
        run_message_service(make_database, proxy.url, amqp_url, tmp_path) as service,
        redis.Redis.from_url(redis_url) as client,
        client.pubsub() as pubsub,
    ):
        await pubsub.subscribe(f"u:{bob}")
        await service.open(active_gate(conversation, 1, [ada, bob]), ada)

        async def frames_until(sign: bytes) -> list[bytes]:
            seen: list[bytes] = []
            while not seen or not all(part in seen[-1] for part in (b'"message.created"', sign)):
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)
                if message is not None:
                    seen.append(message["data"])
            return seen

        async with asyncio.timeout(60):
            await frames_until(b"hello")
            await eventually(
                lambda: service.pool.fetchval("SELECT count(*) FROM outbox_realtime"),
                until=lambda owed: owed == 0,
            )
            # As in a failover: the connection is lost, and the new one takes its time to come about.
            await proxy.cut()
            await proxy.heal()
            proxy.freeze()
            sent = (await service.send(ada, conversation, "c2", "a secret")).stored
            edge = service.client()
            request = rpc.RedactMessageRequest(conversation_id=conversation, message_id=sent.id)
            acting = ActingUser(ada, "recruiter")
            gone = await edge.call(edge.stub.RedactMessage, request, timeout=TIMEOUT, acting=acting)
            assert gone.message.text == ""
            await proxy.heal()
            told = await frames_until(sent.id.encode())

    assert not [frame for frame in told if b"a secret" in frame]
