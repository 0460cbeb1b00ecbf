"""A small true story, told three times: as a journal, as rows of Postgres, and as fresh views."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.ledger.check import check
from tests.ledger.history import read_history
from tests.ledger.truth import Member, Stored, Truth, Written
from tests.ledger.violations import View, Violation

Json = dict[str, Any]
ADA, BOB, EVE, TALK = "ada", "bob", "eve", "talk"


def message(seq: int, sender: str, **changes: Any) -> Json:
    """As the contract shows it."""
    return {
        "id": f"id{seq}",
        "clientMessageId": f"c{seq}",
        "conversationId": TALK,
        "seq": seq,
        "changeSeq": seq,
        "senderId": sender,
        "kind": "text",
        "text": f"text {seq}",
        "redactedAt": None,
        **changes,
    }


def conversation(user: str, *, last: Json | None, unread: int, read: int, **changes: Any) -> Json:
    """The view of one of the two; the other has read nothing that is shown."""
    return {
        "id": TALK,
        "state": "active",
        "version": 2,
        "folder": "inbox",
        "policy": {"canSend": True},
        "blockedByMe": False,
        "muted": False,
        "archived": False,
        "lastSeq": last["seq"] if last else 0,
        "changeSeq": last["changeSeq"] if last else 0,
        "lastMessage": last,
        "lastReadSeq": read,
        "unreadCount": unread,
        "participants": [
            {"user": {"id": each}, "lastReadSeq": read if each == user else None} for each in (ADA, BOB)
        ],
        **changes,
    }


@dataclass
class Story:
    """What happened. Change one of the tellings, and `check` must say so."""

    journal: list[Json] = field(default_factory=list)
    truth: Truth = field(default_factory=Truth)
    views: dict[str, View] = field(default_factory=dict)
    _actions: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def note(self, kind: str, **fields: Any) -> None:
        """One more entry of the journal."""
        self.journal.append({"at": float(len(self.journal)), "kind": kind, **fields})

    def act(self, op: str, user: str, status: int = 0, body: Any = None, **wanted: Any) -> str:
        """An action, answered if `status` is given, else in doubt."""
        action = f"a{next(iter(self._actions))}"
        self.note("attempt", action=action, op=op, user=user, **wanted)
        if status:
            self.note("answer", action=action, status=status, body=body)
        else:
            self.note("doubt", action=action, why="503")
        return action

    def send(self, seq: int, sender: str, status: int = 201) -> None:
        """A message on its way to row `seq`."""
        body = message(seq, sender)
        self.act("send", sender, status, body, conversation=TALK, clientId=f"c{seq}", text=body["text"])

    def frame(self, device: str, name: str = "message.created", where: str = TALK, /, **data: Any) -> None:
        """A durable event on a device."""
        number = len(self.journal)
        self.note(
            "frame",
            device=device,
            frame={
                "type": name,
                "eventId": f"e{number}",
                "cursor": f"{number}-0",
                "conversationId": where,
                "data": data,
            },
        )

    def violations(self) -> list[Violation]:
        """What the checker says."""
        return check(read_history(self.journal), self.truth, self.views)

    def found(self) -> set[str]:
        """The invariants that were violated."""
        return {violation.invariant for violation in self.violations()}

    def change(self, seq: int, /, **changes: Any) -> None:
        """Another row for message `seq`."""
        rows = [replace(row, **changes) if row.seq == seq else row for row in self.truth.messages]
        self.truth = replace(self.truth, messages=rows)

    def drop(self, seq: int) -> None:
        """No row for message `seq`."""
        rows = [row for row in self.truth.messages if row.seq != seq]
        self.truth = replace(self.truth, messages=rows)

    def change_member(self, user: str, **changes: Any) -> None:
        """Another member row."""
        rows = [replace(row, **changes) if row.user == user else row for row in self.truth.members]
        self.truth = replace(self.truth, members=rows)

    def see(self, user: str, **changes: Any) -> None:
        """Another fresh view of the conversation."""
        view = self.views[user]
        item = {**view.conversations[TALK], **changes}
        self.views[user] = replace(view, folders={"inbox": [item]})


def stored(seq: int, sender: str) -> Stored:
    """The row of `message(seq, sender)`."""
    return Stored(TALK, seq, seq, f"id{seq}", sender, f"c{seq}", f"text {seq}")


def true_story() -> Story:
    """Ada writes twice, Bob once; Ada has read all, Bob the first. Eve is in nothing. Each has a device.

    Ada's device loaded the first message and was told the rest; Bob's loaded everything.
    """
    story = Story()
    for user in (ADA, BOB, EVE):
        story.note("person", user=user)
        story.note("opened", device=f"{user}/0", user=user)
        story.note("reloading", device=f"{user}/0")
    story.note("conversation", conversation=TALK, members=[ADA, BOB])
    story.note("reloaded", device="eve/0", conversations=[], messages={})
    first, second, third = message(1, ADA), message(2, BOB), message(3, ADA)
    story.send(1, ADA)
    story.frame("ada/0", message=first)  # held back: it is younger than what is being loaded
    story.note(
        "reloaded",
        device="ada/0",
        conversations=[conversation(ADA, last=first, unread=0, read=0)],
        messages={TALK: [first]},
    )
    story.send(2, BOB)
    story.frame("ada/0", message=second)
    story.send(3, ADA)
    story.frame("ada/0", message=third)
    story.act("read", ADA, 200, {"lastReadSeq": 3}, conversation=TALK)
    story.frame("ada/0", "read.receipt", userId=ADA, lastReadSeq=3)
    story.act("read", BOB, 200, {"lastReadSeq": 1}, conversation=TALK)
    for_bob = conversation(BOB, last=third, unread=1, read=1)
    for_ada = conversation(ADA, last=third, unread=0, read=3)
    everything = [first, second, third]
    story.note("reloaded", device="bob/0", conversations=[for_bob], messages={TALK: everything})
    story.truth = Truth(
        messages=[stored(1, ADA), stored(2, BOB), stored(3, ADA)],
        members=[Member(TALK, ADA, "inbox", 3, None, 0), Member(TALK, BOB, "inbox", 1, None, 1)],
        counters={TALK: (3, 3)},
        states={TALK: "active"},
        told={f"id{seq}": {f"created{seq}"} for seq in range(1, 5)},
        written=[
            Written(f"event{seq}", TALK, seq, sender, until=1.0)
            for seq, sender in ((1, ADA), (2, BOB), (3, ADA))
        ],
    )
    story.views = {
        ADA: View(_totals(0), {"inbox": [for_ada]}, {TALK: everything}),
        BOB: View(_totals(1), {"inbox": [for_bob]}, {TALK: everything}),
        EVE: View(_totals(0), {"inbox": []}),
    }
    return story


def one_more(story: Story) -> Story:
    """A fourth message of Ada's that everybody is told of."""
    story.send(4, ADA)
    fourth = message(4, ADA)
    for user in (ADA, BOB):
        story.frame(f"{user}/0", message=fourth)
    story.truth = replace(
        story.truth, messages=[*story.truth.messages, stored(4, ADA)], counters={TALK: (4, 4)}
    )
    everything = [message(1, ADA), message(2, BOB), message(3, ADA), fourth]
    story.change_member(BOB, unread=2)
    for user, unread, read in ((ADA, 0, 3), (BOB, 2, 1)):
        item = conversation(user, last=fourth, unread=unread, read=read)
        totals = {"messages": unread, "conversations": int(unread > 0), "requests": 0}
        story.views[user] = View(totals, {"inbox": [item]}, {TALK: everything})
    return story


def _totals(unread: int) -> Json:
    return {"messages": unread, "conversations": unread, "requests": 0}
