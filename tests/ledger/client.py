"""The load client, a process of its own: `python -m tests.ledger.client PLAN`.

PLAN is a file with the fields of `Plan` as JSON. A line `quiesce` on stdin ends the load: once every request
has its answer the journal says `quiet`. Devices stay connected until stdin ends, and the process with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
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


async def token(http: aiohttp.ClientSession, issuer: str, user: str, role: str) -> str:
    """A token of the development issuer; the same person each time."""
    body = {"userId": user, "role": role, "displayName": user}
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
        self._ended = asyncio.Event()
        self.devices: list[Device] = []

    async def set_up(self) -> None:
        """Everybody is known, connected and in accepted conversations."""
        plan = self._plan
        count = range(plan.pairs)
        recruiters = [await self._person(f"{plan.name}-r{number}", "recruiter") for number in count]
        candidates = [await self._person(f"{plan.name}-c{number}", "candidate") for number in count]
        stranger = await self._person(f"{plan.name}-s", "recruiter")
        self._connect([*recruiters, *candidates, stranger])
        await asyncio.gather(
            *(
                self._begin(recruiter, candidates[(number + step) % plan.pairs])
                for number, recruiter in enumerate(recruiters)
                for step in range(min(2, plan.pairs))
            )
        )
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

    async def _begin(self, recruiter: Person, candidate: Person) -> None:
        """A conversation about a job of its own, accepted."""
        number = next(self._words)
        job = f"{self._plan.name}-job{number}"
        _, answer = await recruiter.start(candidate.user, job, self._client_id(number), f"about {job}")
        if "conversation" in answer and answer["conversation"]["state"] == "request":
            room = Room(answer["conversation"]["id"], (recruiter, candidate))
            status, _ = await candidate.accept(room.id)
            if status == 200:
                for person in room.members:
                    self._rooms.setdefault(person.user, []).append(room)

    async def _act(self, person: Person) -> None:
        chance = self._chance
        while not self._ended.is_set():
            room = chance.choice(self._rooms[person.user])
            other = next(each for each in room.members if each is not person)
            what = chance.random()
            if what < 0.76:
                await self._send(person, room)
            elif what < 0.88 and self._sent.get(person.user):
                await self._return_to(person, chance.choice(self._sent[person.user]))
            elif what < 0.95:
                await person.read(room.id, chance.randrange(1, self._newest(person, room) + 3))
            elif what < 0.98:
                await self._begin(*room.members)
            else:
                await person.block(other.user, room.id, chance.uniform(0, 0.4))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), min(1.0, chance.expovariate(1 / self._plan.pause)))

    async def _send(self, person: Person, room: Room) -> None:
        number = next(self._words)
        client_id, text = self._client_id(number), f"{number} from {person.user} ✓"
        status, answer = await person.send(room.id, client_id, text)
        if status == 201:
            self._sent.setdefault(person.user, []).append(Sent(room.id, answer["id"], client_id, text))

    async def _return_to(self, person: Person, sent: Sent) -> None:
        """Sends it again, as a client does that has lost the answer; edits it; redacts it."""
        what = self._chance.random()
        if what < 0.4:
            await person.send(sent.room, sent.client_id, sent.text)
        elif what < 0.9:
            await person.edit(sent.room, sent.id, f"{sent.text}, edit {next(self._words)}")
        else:
            await person.redact(sent.room, sent.id)

    def _client_id(self, number: int) -> str:
        return f"{self._plan.name}-{number}"

    def _newest(self, person: Person, room: Room) -> int:
        """How far the person's device has come."""
        model = next(device.model for device in self.devices if device.model.user == person.user)
        thread = model.threads.get(room.id)
        return max(thread.messages, default=0) if thread is not None else 0


async def main(plan: Plan) -> None:
    """Loads until told to quiesce, stays until stdin ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
        load = Load(plan, http)
        await load.set_up()
        connected = [group.create_task(device.run()) for device in load.devices]
        acting = [group.create_task(act()) for act in load.everybody_acts()]
        if await lines.readline() == b"quiesce\n":
            load.end()
            await asyncio.wait(acting)
            load.quiet()
            await lines.read()
        for task in (*connected, *acting):
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(Path(sys.argv[1]).read_text()))))
