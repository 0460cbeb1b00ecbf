"""An edge that is told to stop, with something of its clients still in flight."""

from __future__ import annotations

import asyncio
import signal

from deploy.local.system import System
from tests.support.people import Town
from tests.support.system import bring_back

_SAID = 30
"""Many times what an edge handles in one turn, and not more than it reads ahead: what it has not read has no
answer, and is to be said again."""
_DRAIN_S = 1.0
"""Of the edges of `system`; at its end nothing but answers is waited for."""


async def test_what_was_in_flight_is_answered_before_the_end_and_may_be_said_again(
    system: System, town: Town
) -> None:
    stays, stops = system.edges[:2]  # others have settings of their own
    slow = system.programs["message_svc"].running
    recruiter, candidate, where = await town.talking()
    recruiter, candidate = recruiter.at(stays.url), candidate.at(stops.url)
    for number in range(2, _SAID + 1):
        assert (await recruiter.send(where, f"number {number}")).status == 201
    try:
        async with candidate.live() as live:
            slow.send(signal.SIGSTOP)
            try:
                sending = asyncio.create_task(candidate.send(where, "in flight", "once"))
                for seq in range(1, _SAID + 1):
                    await live.say(type="read.receipt", id=str(seq), conversationId=where, lastReadSeq=seq)
                stopping = asyncio.create_task(system.terminate(stops.program.name))
                await live.frame("system.goaway")
                closed = asyncio.create_task(live.closed())
                await asyncio.wait({closed}, timeout=_DRAIN_S * 1.5)
                assert not closed.done()
            finally:
                slow.send(signal.SIGCONT)
            assert await closed == 1012
            answers = {each["replyTo"]: each["type"] for each in live.frames if "replyTo" in each}
        assert set(answers) == {str(seq) for seq in range(1, _SAID + 1)}
        assert (await sending).status == 201
        assert await stopping == 0
        candidate = candidate.at(stays.url)
        assert (await candidate.send(where, "in flight", "once")).status == 200
        async with candidate.live() as again:
            # Refused was what took too long: it is told, and goes through now.
            for name in [each for each, outcome in answers.items() if outcome == "error"]:
                await again.say(type="read.receipt", id=name, conversationId=where, lastReadSeq=int(name))
                assert (await again.reply(name))["type"] == "ack"
        view = await candidate.view(where)
        assert (view["lastReadSeq"], view["lastSeq"]) == (_SAID, _SAID + 1)
    finally:
        await bring_back(system, stops.program.name)
