"""An SMTP server that keeps what it gets, and conversation_svc's worker on queues of its own."""

from __future__ import annotations

import asyncio
import email
import email.policy
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aio_pika
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from conversation_svc.consumers import mail_events
from conversation_svc.settings import ConversationSettings
from conversation_svc.worker import work
from deploy.local.ports import LOOPBACK, free_port
from servicekit.consumer import Subscription
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.waiting import eventually


@dataclass
class Catcher:
    """What arrived.

    `answers` are given to the next mails instead of taking them; the next `hang_ups` connections end before
    that, when they name the sender.
    """

    url: str
    letters: list[EmailMessage] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    hang_ups: int = 0
    holds: bool = False
    """Whether a mail that has arrived waits for its answer; `has_come` says that one does."""
    has_come: bool = False

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.hang_ups:
            self.hang_ups -= 1
            assert server.transport is not None
            server.transport.close()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.has_come = True
        while self.holds:
            await asyncio.sleep(0.02)
        if self.answers:
            return self.answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        letter = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        """What arrived for somebody, in order."""
        return [letter for letter in self.letters if letter["To"] == address]


@contextmanager
def catching() -> Iterator[Catcher]:
    """A catcher at work."""
    port = free_port()
    catcher = Catcher(f"smtp://{LOOPBACK}:{port}")
    controller = Controller(catcher, hostname=LOOPBACK, port=port)
    controller.start()
    try:
        yield catcher
    finally:
        controller.stop()


@dataclass
class MailRoom:
    """The worker's settings and its own queues, which are there before it runs."""

    service: ConversationService
    consumer: str
    values: dict[str, Any]
    channel: aio_pika.abc.AbstractChannel
    queue: str

    @asynccontextmanager
    async def working(self, workers: int = 1, **settings: object) -> AsyncIterator[None]:
        """Workers, stopped in good order at the end."""
        stop = asyncio.Event()
        chosen = ConversationSettings(**{**self.values, **settings})
        tasks = [asyncio.create_task(work(chosen, stop, consumer_name=self.consumer)) for _ in range(workers)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def due(self, conversation: str) -> int | None:
        """How many wait to be reminded; None when nothing is known of the conversation."""
        row = await self.service.pool.fetchrow(
            "SELECT count(*) AS known, count(due_at) AS due FROM mail_reminders WHERE conversation_id = $1",
            conversation,
        )
        assert row is not None
        return row["due"] if row["known"] else None

    async def waiting(self) -> int:
        """How many events are in the queue, taken by nobody."""
        queue = await self.channel.declare_queue(self.queue, passive=True)
        return queue.declaration_result.message_count or 0

    async def look_now(self) -> None:
        """Ends all leases and waits."""
        await self.service.pool.execute("UPDATE mail_reminders SET due_at = now() WHERE due_at IS NOT NULL")


@asynccontextmanager
async def mail_room(
    service: ConversationService, amqp_url: str, keys: Path, message_svc_target: str, smtp_url: str
) -> AsyncIterator[MailRoom]:
    """Queues of its own, deleted in the end; nothing waits before a mail."""
    consumer = f"mail_{secrets.token_hex(5)}"
    subscription = Subscription("conversation_svc", consumer, mail_events(every_message=False))
    values = {
        "database_url": await service.database.url("conversation_svc"),
        "amqp_url": amqp_url,
        "service_key_file": keys / "conversation_svc.pem",
        "service_trust_file": keys / "trust.json",
        "message_svc_target": message_svc_target,
        "mail_enabled": True,
        "smtp_url": smtp_url,
        "unread_mail_delay_seconds": 0,
        "mail_poll_seconds": 0.1,
        "mail_retry_seconds": 0.2,
        "public_url": "https://chat.example.com/c/{conversationId}",
        "mail_from": "chat@example.com",
    }
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await subscription.declare(channel)
        yield MailRoom(service, consumer, values, channel, subscription.queue)
        names = {subscription.queue, subscription.dead_queue}
        for name in names | {subscription.retry_queue(number) for number in (1, 2, 3)}:
            await channel.queue_delete(name)


async def two(service: ConversationService) -> tuple[ActingUser, ActingUser]:
    """Two people with addresses."""
    ada = new_person("recruiter", email="ada@example.com")
    bob = new_person("candidate", email="bob@example.com")
    await service.meet(ada, bob)
    return ada, bob


async def talking(service: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    """Two people in an accepted conversation of one message, which the recipient has not read."""
    ada, bob = await two(service)
    conversation = await service.start(ada, bob)
    await service.accept(bob, conversation)
    return ada, bob, conversation


async def handled(room: MailRoom, conversation: str) -> None:
    """All events have come and nothing waits."""
    await eventually(lambda: room.due(conversation), until=lambda due: due == 0)
