"""The worker: wires the consumers and the jobs of this service that are no part of its API."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import structlog

from conversation_svc import consumers
from conversation_svc.actions.send_reminders import BATCH, MailDeps, send_reminders
from conversation_svc.app import SERVICE
from conversation_svc.mail import Letters, Post
from conversation_svc.messages import Messages
from conversation_svc.settings import ConversationSettings
from conversation_svc.store import reminders
from servicekit.clock import SystemClock
from servicekit.consumer import Consumer, Subscription, forget_consumed
from servicekit.db import connect_pool
from servicekit.identity import Signer
from servicekit.runner import keep_what_stands, repeat

_FORGET_SECONDS = 3600.0

log = structlog.get_logger(__name__)


async def work(
    settings: ConversationSettings,
    stop: asyncio.Event,
    *,
    consumer_name: str = "mail",
) -> None:
    """Works until `stop` is set. Another `consumer_name` has queues of its own."""
    signer = Signer.from_file(SERVICE, settings.service_key_file)
    pool = await connect_pool(
        settings.database_url,
        schema=SERVICE,
        min_size=settings.database_pool_min,
        max_size=settings.database_pool_max,
        statement_timeout_ms=settings.database_statement_timeout_ms,
        application_name=f"{SERVICE} worker",
    )
    messages = Messages(settings.message_svc_target, signer, timeout=settings.message_svc_timeout_seconds)
    delay = timedelta(seconds=settings.unread_mail_delay_seconds)
    hearable = consumers.mail_events(every_message=True)
    wanted = consumers.mail_events(every_message=settings.mail_hears_every_message)
    heard = wanted if settings.mail_enabled else ()
    subscription = Subscription(
        SERVICE,
        consumer_name,
        routing_keys=heard,
        dropped_keys=tuple(key for key in hearable if key not in heard),
        prefetch=settings.consumer_prefetch,
    )
    # Of what is heard no more nothing comes any more; what is in the queue still goes by.
    handler = consumers.remind_of_messages(delay) if settings.mail_enabled else consumers.ignore_messages
    consumer = Consumer(settings.amqp_url, subscription, pool, handler)
    keep = timedelta(days=settings.consumed_keep_days)

    async def forget() -> None:
        await forget_consumed(pool, keep)

    keep_what_stands()
    tasks = [consumer.run(stop), repeat(stop, "forget_consumed", _FORGET_SECONDS, forget)]
    if settings.mail_enabled:
        deps = MailDeps(
            pool=pool,
            messages=messages,
            clock=SystemClock(),
            letters=Letters(sender=settings.mail_from, page_url=settings.public_url),
            post=Post(settings.smtp_url, timeout_s=settings.smtp_timeout_seconds),
            delay=delay,
            again=timedelta(seconds=settings.mail_retry_seconds),
            stop=stop,
        )
        tasks.append(repeat(stop, "mail", settings.mail_poll_seconds, partial(_mail, deps)))
    else:
        log.info("mail is not enabled: unread messages are not mailed about")
        tasks.append(
            repeat(stop, "clear_reminders", _FORGET_SECONDS, partial(reminders.clear_reminders, pool))
        )
    try:
        await asyncio.gather(*tasks)
    finally:
        await messages.close()
        await pool.close()


async def _mail(deps: MailDeps) -> None:
    while await send_reminders(deps) == BATCH and not deps.stop.is_set():
        pass
