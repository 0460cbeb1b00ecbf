"""What people do in a round: several of them, in several conversations, all at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.ledger.device import Device
from tests.ledger.journal import Journal
from tests.ledger.person import AWAY, Edges, NotAnsweredError, Person


@dataclass(frozen=True)
class Plan:
    """What a client is to do."""

    journal: str
    edges: list[str]
    issuer: str
    name: str
    """Begins the ids of all its people."""
    seed: int
    pairs: int = 4
    """A recruiter and a candidate each; conversations are between a recruiter and two of the candidates."""
    pause: float = 0.08
    """Between two acts of a person, on average."""


@dataclass(frozen=True)
class Sent:
    """A message that was acknowledged."""

    room: str
    id: str
    client_id: str
    text: str


@dataclass
class Room:
    """A conversation that is being written in."""

    id: str
    members: tuple[Person, Person]

    def other(self, person: Person) -> Person:
        """The one that `person` writes to."""
        return next(each for each in self.members if each is not person)


async def token(http: aiohttp.ClientSession, issuer: str, user: str, role: str) -> str:
    """A token of the development issuer; the same person each time."""
    body = {"userId": user, "role": role, "displayName": user, "email": f"{user}@example.com"}
    async with http.post(f"{issuer}/token", json=body) as answer:
        answer.raise_for_status()
        value: str = (await answer.json())["token"]
        return value


class Load:
    """Several people in several conversations."""

    def __init__(self, plan: Plan, http: aiohttp.ClientSession):
        self._plan = plan
        self._http = http
        self._journal = Journal(Path(plan.journal))
        self._chance = random.Random(plan.seed)
        self._words = itertools.count(1)
        self._rooms: dict[str, list[Room]] = {}
        self._sent: dict[str, list[Sent]] = {}
        self._strangers: list[tuple[Person, Person]] = []
        """(recruiter, candidate) who have nothing with each other yet."""
        self._ended = asyncio.Event()
        self._acts: dict[str, tuple[float, Callable[[Person, Room], Coroutine[None, None, None]]]] = {
            "send": (70, self._send),
            "read": (7, self._read),
            "edit": (6, self._edit),
            "repeat": (5, self._repeat),
            "redact": (2, self._redact),
            "flag": (4, self._flag),
            "block": (2, self._block),
            "begin": (2, self._begin_another),
            "ask": (2, self._ask),
        }
        # What is rare is done first, so that no round is without it.
        self._first = deque(("block", "redact", "repeat", "flag", "ask", "ask", "ask", "edit", "read"))
        self._answers = deque(("decline", "withdraw", "both"))
        self.devices: list[Device] = []

    async def set_up(self) -> None:
        """Everybody is known, connected and in accepted conversations."""
        plan = self._plan
        count = range(plan.pairs)
        recruiters = [await self._person(f"{plan.name}-r{number}", "recruiter") for number in count]
        candidates = [await self._person(f"{plan.name}-c{number}", "candidate") for number in count]
        outsider = await self._person(f"{plan.name}-s", "recruiter")
        self._connect([*recruiters, *candidates, outsider])
        pairs = [
            (recruiter, candidates[(number + step) % plan.pairs])
            for step in count
            for number, recruiter in enumerate(recruiters)
        ]
        self._strangers = pairs[2 * plan.pairs :]
        await asyncio.gather(*(self._begin(*pair) for pair in pairs[: 2 * plan.pairs]))
        self._journal.note("ready")

    def everybody_acts(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        """One for each person in a conversation; each ends after `end`."""
        people = {
            person.user: person for rooms in self._rooms.values() for r in rooms for person in r.members
        }
        return [lambda person=person: self._act(person) for person in people.values()]  # type: ignore[misc]

    def end(self) -> None:
        """No new requests."""
        self._ended.set()
        for device in self.devices:
            device.settled.set()

    def quiet(self) -> None:
        """Every request is answered."""
        self._journal.note("quiet")

    async def _person(self, user: str, role: str) -> Person:
        bearer = await token(self._http, self._plan.issuer, user, role)
        edges = Edges(self._plan.edges, self._chance.randrange(2))
        person = Person(
            self._http,
            edges,
            user,
            bearer,
            journal=self._journal,
            chance=random.Random(self._chance.random()),
        )
        while True:  # a fault of the round before may be healing still
            try:
                await person.get("/me")
                break
            except (*AWAY, NotAnsweredError):
                person.edges.turn()
                await asyncio.sleep(0.2)
        self._journal.note("person", user=user, role=role)
        return person

    def _connect(self, people: list[Person]) -> None:
        """One device each, every third person has a second one on another edge."""
        for number, person in enumerate(people):
            for second in range(2 if number % 3 == 0 else 1):
                self.devices.append(
                    Device(
                        f"{person.user}/{second}",
                        person,
                        Edges(self._plan.edges, number + second),
                        journal=self._journal,
                        chance=random.Random(self._chance.random()),
                    )
                )

    async def _act(self, person: Person) -> None:
        chance = self._chance
        weights = [weight for weight, _ in self._acts.values()]
        while not self._ended.is_set():
            if self._first:
                what = self._first.popleft()
            else:
                [what] = chance.choices(list(self._acts), weights)
            await self._acts[what][1](person, chance.choice(self._rooms[person.user]))
            with contextlib.suppress(TimeoutError):
                pause = chance.expovariate(1 / self._plan.pause)
                await asyncio.wait_for(self._ended.wait(), min(1.0, pause))

    async def _send(self, person: Person, room: Room) -> None:
        number = next(self._words)
        client_id, text = self._client_id(number), f"{number} from {person.user} ✓"
        status, answer = await person.send(room.id, client_id, text)
        if status == 201:
            self._sent.setdefault(person.user, []).append(Sent(room.id, answer["id"], client_id, text))

    async def _one_sent(self, person: Person, room: Room) -> Sent | None:
        """One of the person's messages; None when none can be stored right now."""
        if person.user not in self._sent:
            await self._send(person, room)
        sent = self._sent.get(person.user)
        return self._chance.choice(sent) if sent else None

    async def _repeat(self, person: Person, room: Room) -> None:
        """As a client does that has lost the answer."""
        if sent := await self._one_sent(person, room):
            await person.send(sent.room, sent.client_id, sent.text)

    async def _edit(self, person: Person, room: Room) -> None:
        if sent := await self._one_sent(person, room):
            await person.edit(sent.room, sent.id, f"{sent.text}, edit {next(self._words)}")

    async def _redact(self, person: Person, room: Room) -> None:
        if sent := await self._one_sent(person, room):
            await person.redact(sent.room, sent.id)

    async def _read(self, person: Person, room: Room) -> None:
        """Up to some message, or beyond the newest that the person's device knows."""
        model = next(device.model for device in self.devices if device.model.user == person.user)
        thread = model.threads.get(room.id)
        newest = max(thread.messages, default=0) if thread is not None else 0
        await person.read(room.id, self._chance.randrange(1, newest + 3))

    async def _flag(self, person: Person, room: Room) -> None:
        """Mutes, archives, both, or the contrary."""
        chance = self._chance
        names = chance.choice((("muted",), ("archived",), ("archived",), ("muted", "archived")))
        await person.flag(room.id, **{name: chance.random() < 0.6 for name in names})

    async def _block(self, person: Person, room: Room) -> None:
        """For a while, in which the other tries to write."""
        other = room.other(person)
        status, _ = await person.block(other.user, room.id)
        if status == 204:
            await self._send(other, room)
            await asyncio.sleep(self._chance.uniform(0, 0.4))
            await person.observe(room.id)
        await person.unblock(other.user, room.id)

    async def _begin_another(self, person: Person, room: Room) -> None:
        await self._begin(*room.members)

    async def _begin(self, recruiter: Person, candidate: Person) -> None:
        """A conversation about a job of its own, accepted."""
        request = await self._request(recruiter, candidate)
        if request is not None:
            status, _ = await candidate.accept(request.id)
            if status == 200:
                self._open(request)

    async def _ask(self, _person: Person, _room: Room) -> None:
        """Somebody writes to a stranger; it is declined, withdrawn, or everything at once, and nobody minds.

        After a decline the two are done with each other.
        """
        if not self._strangers:
            return
        recruiter, candidate = pair = self._strangers.pop(0)
        request = await self._request(recruiter, candidate)
        if request is None:
            return
        answer = self._answers.popleft() if self._answers else self._chance.choice(("withdraw", "both"))
        declined = accepted = 0
        if answer == "both":
            (accepted, _), (declined, _), _ = await asyncio.gather(
                candidate.accept(request.id), candidate.decline(request.id), recruiter.withdraw(request.id)
            )
        elif answer == "decline":
            declined, _ = await candidate.decline(request.id)
        else:
            await recruiter.withdraw(request.id)
        await asyncio.gather(*(self._send(each, request) for each in pair))
        if accepted == 200:
            self._open(request)
        elif declined != 200:
            self._strangers.append(pair)

    async def _request(self, recruiter: Person, candidate: Person) -> Room | None:
        """A conversation that waits for the candidate; None when none could be started."""
        number = next(self._words)
        job = f"{self._plan.name}-job{number}"
        _, answer = await recruiter.start(candidate.user, job, self._client_id(number), f"about {job}")
        if "conversation" in answer and answer["conversation"]["state"] == "request":
            return Room(answer["conversation"]["id"], (recruiter, candidate))
        return None

    def _open(self, room: Room) -> None:
        for person in room.members:
            self._rooms.setdefault(person.user, []).append(room)

    def _client_id(self, number: int) -> str:
        return f"{self._plan.name}-{number}"
