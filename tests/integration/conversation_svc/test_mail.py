"""The mail about unread messages: from a send in message_svc to an SMTP server."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2 as message_rpc

from deploy.local.folders import CHECKOUT
from message_svc.actions.remembered_gates import RememberedGates
from message_svc.actions.send_messages import Repeats, SendDeps, send_messages
from message_svc.domain import NewMessage, Placed, hash_body
from servicekit.bus import EXCHANGE
from servicekit.clock import SystemClock
from servicekit.identity import ActingUser
from servicekit.ids import new_id
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.mail import Catcher, MailRoom, handled, talking, two
from tests.support.message_svc import TIMEOUT, MessageService
from tests.support.waiting import eventually


async def test_an_unread_message_is_mailed_once_and_says_nothing_of_its_text(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.letters))
        await handled(room, conversation)
    (letter,) = catcher.letters
    assert letter["To"] == "bob@example.com"
    assert letter["From"] == "Splits Network Chat <chat@example.com>"
    assert letter["Subject"] == "You have an unread message"
    assert letter["Message-ID"].endswith("@example.com>")
    text, html = (part.get_content() for part in letter.iter_parts())
    assert "Recruiter wrote to you" in text
    for part in (text, html):
        assert f"https://chat.example.com/c/{conversation}" in part
        assert part.count("http") == 1
        assert "hello" not in part


async def test_a_request_is_mailed_about_as_one(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    ada, bob = await two(service)
    await service.start(ada, bob)
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.letters))
    assert [letter["Subject"] for letter in catcher.letters] == ["A message request waits for you"]


async def test_what_is_read_muted_or_has_nowhere_to_go_is_not_mailed_about(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    _, bob, read = await talking(service)
    await messages.read(bob.user_id, read, 1)
    _, bob, muted = await talking(service)
    edge = messages.client()
    flags = message_rpc.SetFlagsRequest(conversation_id=muted, muted=True)
    await edge.call(edge.stub.SetFlags, flags, timeout=TIMEOUT, acting=bob)
    ada, nowhere = new_person("recruiter"), new_person("candidate", email="not an address")
    await service.meet(ada, nowhere)
    without = await service.start(ada, nowhere)
    async with room.working():
        for conversation in (read, muted, without):
            await handled(room, conversation)
    assert catcher.letters == []


async def test_one_mail_until_they_have_read(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    ada, bob, conversation = await talking(service)
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.letters))
        await messages.send(ada.user_id, conversation, "second")
        await eventually(
            lambda: service.pool.fetchval(
                "SELECT last_seq FROM mail_reminders WHERE conversation_id = $1", conversation
            ),
            until=lambda seq: seq == 2,
        )
        await handled(room, conversation)
        assert len(catcher.letters) == 1
        await messages.read(bob.user_id, conversation, 2)
        await messages.send(ada.user_id, conversation, "third")
        await eventually(lambda: asyncio.sleep(0, catcher.letters), until=lambda all: len(all) == 2)
        await handled(room, conversation)
    first, second = catcher.letters
    assert first["Message-ID"] != second["Message-ID"]


async def write(messages: MessageService, sender: ActingUser, conversation: str, window: timedelta) -> None:
    """One message, told of as under that window."""
    text = str(new_id())
    new = NewMessage(
        new_id(), UUID(conversation), sender.user_id, text, text, hash_body(b"a key of sixteen", text)
    )
    nothing = RememberedGates(0, locked_s=0)
    deps = SendDeps(messages.pool, messages.app.outbox, SystemClock(), Repeats(0), nothing, window)
    [outcome] = await send_messages(deps, [new])
    assert isinstance(outcome, Placed)


async def test_what_comes_unheard_just_after_the_look_is_mailed_about_too(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    ada, bob, conversation = await talking(service)
    window = timedelta(seconds=1)
    await write(messages, ada, conversation, window)
    catcher.holds = True
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.has_come))
        await messages.read(bob.user_id, conversation, 2)
        await write(messages, ada, conversation, window)
        catcher.holds = False
        await eventually(lambda: asyncio.sleep(0, catcher.letters), until=lambda all: len(all) == 2)
        await handled(room, conversation)
    heard = "SELECT last_seq FROM mail_reminders WHERE conversation_id = $1"
    assert await service.pool.fetchval(heard, conversation) == 2  # so nobody told of the third
    assert len({letter["Message-ID"] for letter in catcher.letters}) == 2


async def test_who_was_looked_after_in_vain_is_mailed_about_what_comes_unheard(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    ada, nobody = new_person("recruiter"), new_person("candidate", email="not an address")
    await service.meet(ada, nobody)
    conversation = await service.start(ada, nobody)
    await service.accept(nobody, conversation)
    window = timedelta(seconds=1)
    await write(messages, ada, conversation, window)
    looked = "SELECT first_seq FROM mail_reminders WHERE conversation_id = $1"
    async with room.working():
        await eventually(lambda: service.pool.fetchval(looked, conversation), until=lambda seq: seq == 3)
        await service.meet(replace(nobody, email="now@example.com"))
        await write(messages, ada, conversation, window)
        await eventually(lambda: asyncio.sleep(0, catcher.to("now@example.com")))
        await handled(room, conversation)
    assert len(catcher.letters) == 1


async def test_sends_and_read_marks_that_race_lose_no_mail_and_make_none_too_many(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    talks = [await talking(service) for _ in range(12)]
    window = timedelta(seconds=0.3)
    async with room.working():

        async def race(number: int) -> None:
            ada, bob, conversation = talks[number]
            for turn in range(1, 6):
                sent = write(messages, ada, conversation, window)
                await asyncio.gather(sent, messages.read(bob.user_id, conversation, turn + number % 2))

        await asyncio.gather(*(race(number) for number in range(len(talks))))
        for _, _, conversation in talks:
            await handled(room, conversation)
    texts = [part.get_content() for letter in catcher.letters for part in letter.iter_parts()]
    for _, bob, conversation in talks:
        assert sum(conversation in text for text in texts) <= 2 * 6  # two parts a mail, and five read marks
        row = await messages.pool.fetchrow(
            "SELECT unread, last_read_seq FROM member WHERE conversation_id = $1 AND user_id = $2",
            UUID(conversation),
            bob.user_id,
        )
        assert row is not None
        last_mailed = await service.pool.fetchval(
            "SELECT mailed_seq FROM mail_reminders WHERE conversation_id = $1", conversation
        )
        assert bool(row["unread"]) == (last_mailed > row["last_read_seq"])


async def test_what_an_earlier_message_svc_tells_is_heard_as_long_as_it_is_asked_for(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    queue = await room.channel.get_queue(room.queue)  # as an earlier release left it
    await queue.bind(EXCHANGE, "message.created.v1")
    await queue.unbind(EXCHANGE, "conversation.written.v1")
    talks = [await talking(service)]
    await eventually(room.waiting)
    async with room.working(mail_hears_every_message=True):
        await eventually(lambda: asyncio.sleep(0, catcher.letters))
        await handled(room, talks[0][2])
    talks.append(await talking(service))
    await eventually(room.waiting, until=lambda count: count == 2)  # both events of one message
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.letters), until=lambda all: len(all) == 2)
        await handled(room, talks[1][2])
        assert await room.waiting() == 0
    talks.append(await talking(service))
    await messages.all_told()
    await eventually(room.waiting, until=lambda count: count == 1)
    assert len({letter["Message-ID"] for letter in catcher.letters}) == len(catcher.letters) == 2


async def test_a_mail_that_the_server_would_not_take_yet_goes_out_once(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    catcher.answers += ["451 later"] * 4
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.letters))
        await handled(room, conversation)
    assert len(catcher.letters) == 1


async def test_a_connection_that_ends_before_the_mail_is_on_its_way_counts_for_nothing(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    catcher.hang_ups = 4
    async with room.working():
        await handled(room, conversation)
    assert catcher.hang_ups == 0
    assert len(catcher.letters) == 1


async def test_nobody_is_mailed_about_somebody_they_blocked(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    ada, bob = await two(service)
    request = await service.start(ada, bob)
    await service.block(bob, ada)
    async with room.working():
        await handled(room, request)
    assert catcher.letters == []


async def test_after_tries_of_unknown_end_those_who_read_on_are_mailed_about_the_rest(
    service: ConversationService, messages: MessageService, room: MailRoom, catcher: Catcher
) -> None:
    ada, bob, conversation = await talking(service)
    seen = "SELECT last_seq FROM mail_reminders WHERE conversation_id = $1"
    async with room.working(unread_mail_delay_seconds=3600):
        await eventually(lambda: service.pool.fetchval(seen, conversation), until=lambda seq: seq == 1)
        await messages.send(ada.user_id, conversation, "second")
        await eventually(lambda: service.pool.fetchval(seen, conversation), until=lambda seq: seq == 2)
    # As two workers leave it that were killed in the middle of a sending.
    earlier = await service.pool.fetchval(
        "UPDATE mail_reminders SET tries = 2 WHERE conversation_id = $1 RETURNING mail_id", conversation
    )
    await messages.read(bob.user_id, conversation, 1)
    await room.look_now()

    async with room.working():
        await handled(room, conversation)

    (letter,) = catcher.letters
    assert str(earlier) not in letter["Message-ID"]  # mail programs would take it for the one before


async def test_a_mail_that_is_refused_for_good_is_let_go(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    catcher.answers += ["554 never"]
    async with room.working():
        await handled(room, conversation)
    assert catcher.letters == []
    assert catcher.answers == []


async def test_a_worker_killed_once_the_mail_is_out_repeats_it_once_and_recognisably(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    environment = {name.upper(): str(value) for name, value in room.values.items()}
    for _ in range(2):
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.mail_worker",
            room.consumer,
            cwd=CHECKOUT,
            env={**os.environ, **environment},
        )
        assert await worker.wait() == -9
        await room.look_now()
    async with room.working():  # the third does not try again
        await handled(room, conversation)
    first, second = catcher.letters
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_stop_waits_for_the_mail_that_is_on_its_way(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    catcher.holds = True
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.has_come))
        asyncio.get_running_loop().call_later(0.5, setattr, catcher, "holds", False)

    assert len(catcher.letters) == 1
    mailed = "SELECT mailed_seq FROM mail_reminders WHERE conversation_id = $1"
    assert await service.pool.fetchval(mailed, conversation) == 1  # noted as sent: nobody repeats it


async def test_two_workers_mail_each_person_once(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    conversations = [(await talking(service))[2] for _ in range(8)]
    async with room.working(workers=2):
        for conversation in conversations:
            await handled(room, conversation)
    assert len(catcher.letters) == len({letter["Message-ID"] for letter in catcher.letters}) == 8


async def test_an_address_that_an_earlier_release_took_is_looked_at_again(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, bob, conversation = await talking(service)
    await service.pool.execute(
        "UPDATE mail_addresses SET email = '=?utf-8?q?eve?=@example.com' WHERE user_id = $1", bob.user_id
    )
    async with room.working():
        await handled(room, conversation)
    assert catcher.letters == []


async def test_without_mail_nothing_is_kept_pending(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    _, _, conversation = await talking(service)
    await eventually(room.waiting)  # the worker unbinds its queue, so what is published later never comes
    async with room.working(mail_enabled=False):
        await eventually(
            lambda: service.pool.fetchval("SELECT count(*) FROM consumed WHERE consumer = $1", room.consumer)
        )
        assert await room.due(conversation) is None
    assert catcher.letters == []


async def test_the_marketplace_tells_addresses_and_nobody_is_shown_them(
    service: ConversationService, room: MailRoom, catcher: Catcher
) -> None:
    ada, bob = new_person("recruiter"), new_person("candidate")
    profiles = [
        pb.Profile(user_id=bob.user_id, display_name="Bob", role=pb.ROLE_CANDIDATE),
    ]
    request = rpc.UpsertProfilesRequest(profiles=profiles, emails={bob.user_id: "told@example.com"})
    internal = service.client("ats_sync")
    await internal.call(internal.stub.UpsertProfiles, request, timeout=TIMEOUT)
    await service.meet(ada, bob)  # a token without an address takes none away
    conversation = await service.start(ada, bob)
    (seen,) = await service.get(ada, conversation)
    assert "told@example.com" not in str(seen)
    async with room.working():
        await eventually(lambda: asyncio.sleep(0, catcher.to("told@example.com")))
