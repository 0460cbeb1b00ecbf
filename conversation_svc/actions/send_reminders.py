"""Mails those who left messages unread. Why and how often: docs/adr (a mail is sent at most twice)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from conversation_svc.domain.mail import MOST_SENDINGS, Drop, Reminder, Send, Wait, decide_mail
from conversation_svc.mail import EndUnknown, Letters, NotSent, Post, RefusedForGood
from conversation_svc.messages import Messages
from conversation_svc.store import reminders
from servicekit.clock import Clock
from servicekit.faults import as_unavailable

BATCH = 8
# Longer than a look at message_svc and a sending together may take: see mail.MOST_SECONDS.
_LEASE = timedelta(minutes=3)
_NOTE_AGAIN_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MailDeps:
    """Wired once, in worker.py."""

    pool: asyncpg.Pool
    messages: Messages
    clock: Clock
    letters: Letters
    post: Post
    delay: timedelta
    """How long messages stay unread before they are mailed about."""
    again: timedelta
    """After a fault of what is needed for it."""
    stop: asyncio.Event
    """Once it is set, nothing is waited for any more."""


async def send_reminders(deps: MailDeps) -> int:
    """Looks after one batch of what is due; how many that were.

    Raises what one of them failed with, once all are done; then its lease ends by itself. So it does of what
    was claimed without an answer: that these are ours is not known.
    """
    now = deps.clock.now()
    claimed = await reminders.claim_reminders(deps.pool, now, now + _LEASE, BATCH)
    outcomes = await asyncio.gather(
        *(_look_after(deps, reminder) for reminder in claimed), return_exceptions=True
    )
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
    return len(claimed)


async def _look_after(deps: MailDeps, reminder: Reminder) -> None:
    try:
        decision = await _decide(deps, reminder)
        if _goes_out(reminder, decision) and not await reminders.begin_sending(deps.pool, reminder):
            return
    except Exception as error:
        fault = as_unavailable(error)
        if fault is None:
            raise
        # Nothing is on its way yet. A try that was counted without an answer is taken back.
        log.warning("reminder_waits", cause=type(error).__name__, reason=fault.reason.value)
        await _again(deps, reminder, tries=reminder.tries)
        return
    match decision:
        case Drop(seen_seq):
            await _finish(deps, reminder, mailed_seq=0, seen_seq=seen_seq)
        case Wait(first_seq):
            await _restart(deps, reminder, first_seq=first_seq)
        case Send():
            await _send(deps, reminder, decision)


async def _decide(deps: MailDeps, reminder: Reminder) -> Send | Wait | Drop:
    if not reminder.email or reminder.role is None or reminder.sender_blocked:
        return Drop(reminder.last_seq)
    view = await deps.messages.get_view(reminder.user_id, reminder.role, reminder.conversation_id)
    return decide_mail(reminder, view)


def _goes_out(reminder: Reminder, decision: Send | Wait | Drop) -> bool:
    return isinstance(decision, Send) and reminder.tries < MOST_SENDINGS


async def _send(deps: MailDeps, reminder: Reminder, decision: Send) -> None:
    """Sends, the try being counted, and notes the end. Killed in between, the try stays counted."""
    if _goes_out(reminder, decision):
        letter = deps.letters.unread(reminder, decision.view, deps.clock.now())
        try:
            await deps.post.send(letter)
        except NotSent as error:
            log.warning("mail_not_sent", cause=error.cause)
            await _again(deps, reminder, tries=reminder.tries)
            return
        except RefusedForGood as error:
            log.warning("mail_refused", cause=error.cause, mail_id=str(reminder.mail_id))
        except EndUnknown as error:
            log.warning("mail_end_unknown", cause=error.cause, mail_id=str(reminder.mail_id))
            await _again(deps, reminder, tries=reminder.tries + 1)
            return
        else:
            log.info("mail_sent", mail_id=str(reminder.mail_id))
    last_seq = decision.view.last_seq
    await _finish(deps, reminder, mailed_seq=last_seq, seen_seq=last_seq)


async def _finish(deps: MailDeps, reminder: Reminder, *, mailed_seq: int, seen_seq: int) -> None:
    async def write() -> None:
        await reminders.finish_reminder(
            deps.pool,
            reminder,
            mailed_seq=mailed_seq,
            seen_seq=seen_seq,
            looked_at=reminder.lease - _LEASE,  # when it was claimed, so not later than what was looked at
            next_due=deps.clock.now() + deps.delay,
            delay=deps.delay,
        )

    await _note(deps, reminder, write)


async def _restart(deps: MailDeps, reminder: Reminder, *, first_seq: int) -> None:
    async def write() -> None:
        next_due = deps.clock.now() + deps.delay
        await reminders.restart_reminder(deps.pool, reminder, next_due, first_seq=first_seq)

    await _note(deps, reminder, write)


async def _again(deps: MailDeps, reminder: Reminder, *, tries: int) -> None:
    async def write() -> None:
        await reminders.postpone_reminder(deps.pool, reminder, deps.clock.now() + deps.again, tries=tries)

    await _note(deps, reminder, write)


async def _note(deps: MailDeps, reminder: Reminder, write: Callable[[], Awaitable[None]]) -> None:
    """Writes what became of it; while Postgres is away again and again, until the lease ends.

    Only we know it: whoever claims the reminder after us would send once more what has gone out. A write that
    was done without an answer has ended the lease, and does nothing the second time.
    """
    while True:
        try:
            return await write()
        except Exception as error:
            fault = as_unavailable(error)
            if fault is None or deps.stop.is_set() or deps.clock.now() >= reminder.lease:
                raise
            log.warning("reminder_not_noted", cause=type(error).__name__)
        with suppress(TimeoutError):
            await asyncio.wait_for(deps.stop.wait(), _NOTE_AGAIN_S)
