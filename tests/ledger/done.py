"""Jobs take effect once (I7): each event on each who is to be reminded, and mails that nobody gets twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.ledger.history import History
from tests.ledger.jobs import Jobs
from tests.ledger.truth import Truth
from tests.ledger.violations import Column, Violation


def jobs_are_done_once(history: History, truth: Truth) -> Iterator[Violation]:
    """Only where jobs are looked at. What is missing may be on its way: ask again."""
    if truth.jobs is None:
        return
    yield from _effects(history, truth, truth.jobs)
    yield from _mails(history, truth, truth.jobs)


def _effects(history: History, truth: Truth, jobs: Jobs) -> Iterator[Violation]:
    for row in truth.messages:
        if not any(written.covers(row) for written in truth.written):
            text = f"no event that somebody writes stands for {row.seq} of {row.conversation}"
            yield Violation("I7", Column.LOST, text, backlog=True)
    for written in truth.written:
        event = written.event
        if jobs.consumed[event] > 1:
            yield Violation("I7", Column.DOUBLED, f"{event} was consumed {jobs.consumed[event]} times")
        for user in history.members.get(written.conversation, set()) - {written.sender}:
            times = jobs.effects[event, user]
            if times != 1:
                column = Column.DOUBLED if times else Column.LOST
                text = f"{event} took effect {times} times on {user}"
                yield Violation("I7", column, text, backlog=times == 0)
    for (source, user), times in jobs.effects.items():
        if source is None:
            text = f"{times} times something took effect on {user} that was no new event"
            yield Violation("I7", Column.DOUBLED, text)


def _mails(history: History, truth: Truth, jobs: Jobs) -> Iterator[Violation]:
    """Of each conversation one, and one more each time that it was read meanwhile.

    Who mutes, archives or blocks may have been looked after just then and is not counted among those without.
    A block is of the person, so it counts in every conversation with them.
    """
    reads = Counter((action.wanted["conversation"], action.user) for action in history.of("read"))
    flagged = {(action.wanted["conversation"], action.user) for action in history.of("flag")}
    blocked = {(action.user, action.wanted["whom"]) for action in history.of("block")}
    got = Counter((mail.conversation, mail.user) for mail in jobs.mails)
    for key, times in got.items():
        if times > 1 + reads[key]:
            yield Violation("I7", Column.DOUBLED, f"{times} mails about {key}, read {reads[key]} times")
    for mail, times in Counter(mail.id for mail in jobs.mails).items():
        if times > 1:
            yield Violation("I7", Column.DOUBLED, f"the mail {mail} went out {times} times")
    for row in truth.members:
        key = (row.conversation, row.user)
        others = history.members.get(row.conversation, set()) - {row.user}
        busy = key in flagged or any((row.user, other) in blocked for other in others)
        wanted = row.unread and row.folder in {"inbox", "requests"} and not busy
        if wanted and not got[key]:
            noted = jobs.reminders.get(key, "none")
            text = f"no mail to {row.user} about {row.conversation}: {row}; reminder: {noted}"
            yield Violation("I7", Column.LOST, text, backlog=True)
