"""A random walk of everything that moves counts, folders and previews: after each step they are what a naive
recount of the messages says.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService

STEPS = 120


@dataclass
class Line:
    """What the model knows of one person's line of the inbox."""

    folder: int
    last_read: int = 0
    muted: bool = False
    archived: bool = False
    left: bool = False


@dataclass
class Model:
    """One conversation as a naive observer keeps it."""

    id: str
    people: list[str]
    version: int
    lines: dict[str, Line]
    state: str = "request"
    messages: list[pb.Message] = field(default_factory=list)

    def add(self, message: pb.Message) -> None:
        self.messages.append(message)
        for line in self.lines.values():
            if not line.left and not line.muted:
                line.archived = False

    def replace(self, message: pb.Message) -> None:
        self.messages[message.seq - 1] = message

    def unread(self, user: str) -> int:
        after = self.lines[user].last_read
        return sum(
            1
            for message in self.messages
            if message.seq > after and message.sender_id != user and not message.HasField("redacted_at")
        )


class Walk:
    """Steps, each against the service and the model."""

    def __init__(self, service: MessageService, seed: int) -> None:
        self.service = service
        self.chance = random.Random(seed)
        self.ada, self.bob, self.eve = new_people(3)
        self.models: list[Model] = []
        self.count = 0

    async def ask(self, method: str, request: Any, user: str) -> Any:
        client = self.service.client()
        return await client.call(
            getattr(client.stub, method), request, timeout=TIMEOUT, acting=ActingUser(user, "recruiter")
        )

    async def start(self) -> None:
        conversation, people = new_conversation_id(), [self.ada, self.bob]
        answer = await self.service.open(
            request_gate(conversation, 1, *people), self.ada, f"start {self.count}"
        )
        lines = {self.ada: Line(pb.FOLDER_SENT), self.bob: Line(pb.FOLDER_REQUESTS)}
        self.models.append(Model(conversation, people, 1, lines, messages=[answer.message]))

    async def push(self, model: Model, **left: bool) -> None:
        """The gate of the model's state, once more."""
        model.version += 1
        active = model.state == "active"
        state = pb.CONVERSATION_STATE_ACTIVE if active else pb.CONVERSATION_STATE_DECLINED
        members = [
            member(
                user,
                can_send=active,
                state=state,
                folder=pb.Folder.ValueType(line.folder),
                left=line.left,
                version=model.version,
            )
            for user, line in model.lines.items()
        ]
        await self.service.apply(active_gate(model.id, model.version, members))

    async def accept(self, model: Model) -> None:
        if model.state != "request":
            return
        model.state = "active"
        for line in model.lines.values():
            line.folder = pb.FOLDER_INBOX
        await self.push(model)

    async def decline(self, model: Model) -> None:
        if model.state != "request" or self.chance.random() < 0.7:
            return
        model.state = "declined"
        model.lines[self.bob].folder = pb.FOLDER_UNSPECIFIED
        model.lines[self.bob].archived = False
        await self.push(model)

    async def join_or_leave(self, model: Model) -> None:
        if model.state != "active":
            return
        line = model.lines.get(self.eve)
        if line is None or line.left:
            # A joiner starts at the last message; flags do not survive leaving.
            model.lines[self.eve] = Line(pb.FOLDER_INBOX, last_read=len(model.messages))
        else:
            line.left = True
        await self.push(model)

    async def send(self, model: Model) -> None:
        user = self.chance.choice([self.ada, self.bob, self.eve])
        outcome = await self.service.send(user, model.id, f"c{self.count}", f"text {self.count}")
        line = model.lines.get(user)
        allowed = model.state == "active" and line is not None and not line.left
        assert outcome.HasField("stored") == allowed
        if allowed:
            model.add(outcome.stored)

    def somebody(self, model: Model) -> str:
        return self.chance.choice([user for user, line in model.lines.items() if not line.left])

    async def read(self, model: Model) -> None:
        user, wanted = self.somebody(model), self.chance.randrange(len(model.messages) + 3)
        line = model.lines[user]
        line.last_read = max(line.last_read, min(wanted, len(model.messages)))
        mark = await self.service.read(user, model.id, wanted)
        assert (mark.last_read_seq, mark.unread_count) == (line.last_read, model.unread(user))

    async def flag(self, model: Model) -> None:
        user = self.somebody(model)
        line, name = model.lines[user], self.chance.choice(["muted", "archived"])
        value = self.chance.random() < 0.5
        setattr(line, name, value)
        await self.ask("SetFlags", rpc.SetFlagsRequest(conversation_id=model.id, **{name: value}), user)

    async def edit(self, model: Model) -> None:
        message = self.chance.choice(model.messages)
        request = rpc.EditMessageRequest(
            conversation_id=model.id, message_id=message.id, text=f"edited {self.count}"
        )
        answer = await self.ask("EditMessage", request, message.sender_id)
        if answer.HasField("message"):
            model.replace(answer.message)

    async def redact(self, model: Model) -> None:
        message = self.chance.choice(model.messages)
        request = rpc.RedactMessageRequest(conversation_id=model.id, message_id=message.id)
        answer = await self.ask("RedactMessage", request, message.sender_id)
        if answer.HasField("message"):
            model.replace(answer.message)

    async def check(self) -> None:
        for user in (self.ada, self.bob, self.eve):
            await self.check_person(user)

    async def check_person(self, user: str) -> None:
        own = [model for model in self.models if user in model.lines and not model.lines[user].left]
        expected: dict[rpc.InboxList.ValueType, list[str]] = {rpc.INBOX_LIST_ARCHIVED: []}
        folders: dict[int, rpc.InboxList.ValueType] = {
            pb.FOLDER_INBOX: rpc.INBOX_LIST_INBOX,
            pb.FOLDER_REQUESTS: rpc.INBOX_LIST_REQUESTS,
            pb.FOLDER_SENT: rpc.INBOX_LIST_SENT,
        }
        for listed in folders.values():
            expected[listed] = []
        for model in own:
            line = model.lines[user]
            if line.archived:
                expected[rpc.INBOX_LIST_ARCHIVED].append(model.id)
            elif line.folder in folders:
                expected[folders[line.folder]].append(model.id)
        by_id = {model.id: model for model in own}
        for listed, ids in expected.items():
            page = await self.ask("ListInbox", rpc.ListInboxRequest(list=listed, limit=100), user)
            assert sorted(view.conversation_id for view in page.views) == sorted(ids)
            for view in page.views:
                model = by_id[view.conversation_id]
                assert view.unread_count == model.unread(user)
                assert view.last_message.text == model.messages[-1].text
                assert view.last_seq == len(model.messages)
                assert view.last_read_seq == model.lines[user].last_read
                assert view.change_seq == max(message.change_seq for message in model.messages)
        counted = [
            model
            for model in own
            if not (model.lines[user].muted or model.lines[user].archived)
            and model.lines[user].folder in folders
        ]
        totals = (await self.ask("GetUnread", rpc.GetUnreadRequest(), user)).unread
        assert totals.messages == sum(model.unread(user) for model in counted)
        assert totals.conversations == sum(1 for model in counted if model.unread(user))
        assert totals.requests == sum(
            1 for model in counted if model.lines[user].folder == pb.FOLDER_REQUESTS
        )


@pytest.mark.parametrize("seed", range(3))
async def test_counts_folders_and_previews_are_exact_after_every_step(
    service: MessageService, seed: int
) -> None:
    walk = Walk(service, seed)
    await walk.start()
    steps = [
        *([walk.send] * 4),
        walk.read,
        walk.read,
        walk.accept,
        walk.decline,
        walk.join_or_leave,
        walk.flag,
        walk.flag,
        walk.edit,
        walk.redact,
    ]
    for walk.count in range(1, STEPS):
        if len(walk.models) < 6 and walk.chance.random() < 0.08:
            await walk.start()
        await walk.chance.choice(steps)(walk.chance.choice(walk.models))
        await walk.check()
